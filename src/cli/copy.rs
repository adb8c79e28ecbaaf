//! `convoke copy`: a whole database into another, SQLite to PostgreSQL or back, with progress on stderr and a report on stdout.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::progress::{Progress, rate};
use super::{Failure, prepare};
use crate::config::{Config, DatabaseUrl};
use crate::lifecycle::Lifecycle;
use crate::store::{CopyError, CopyOptions, CopyReport, CopyStep, chain, copy, source_schema};

/// What to copy where. A password on a command line can be seen by others on the machine: leave out the side that is in the
/// settings, and give the other one's in `PGPASSWORD` or `~/.pgpass`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The database to read, `sqlite://…` or `postgres://…`; else that of the settings.
    #[arg(long, value_name = "URL", value_parser = DatabaseUrl::argument)]
    from: Option<DatabaseUrl>,
    /// The empty database to fill; else that of the settings.
    #[arg(long, value_name = "URL", value_parser = DatabaseUrl::argument)]
    to: Option<DatabaseUrl>,
    /// Rows in one commit.
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> Result<ExitCode, Failure> {
    if arguments.from.is_none() && arguments.to.is_none() {
        return Err(Failure::Command("give --from or --to, or both".to_owned()));
    }
    let at = |url: Option<DatabaseUrl>| {
        let mut config = config.clone();
        if let Some(url) = url {
            config.database.url = url;
        }
        config
    };
    let (from, to) = (at(arguments.from), at(arguments.to));
    let shown = format!("{} to {}", from.database.url, to.database.url);
    let started = Instant::now();
    let options = CopyOptions {
        from: prepare::store_settings(&from),
        to: prepare::store_settings(&to),
        batch_rows: arguments.batch as usize,
    };
    let mut progress = Progress::begin();
    let copied = async {
        let schema = source_schema(&options.from)
            .await
            .map_err(|failure| told("the source", failure))?;
        prepare_target(&to, schema).await?;
        copy(&options, &mut |step| tell(&mut progress, step))
            .await
            .map_err(|failure| told("the copy", failure))
    }
    .await;
    progress.end();
    report(&shown, &copied?, started.elapsed())?;
    Ok(ExitCode::SUCCESS)
}

fn told(what: &str, failure: CopyError) -> Failure {
    Failure::Command(match failure {
        CopyError::Database(failure) => format!("{what} failed: {}", chain(&failure)),
        CopyError::Differs(_) => format!(
            "{failure}. Was the service still writing? Stop it, empty the target, and copy again; the target cannot be served"
        ),
        CopyError::Refused(reason) => format!("{what} is refused: {reason}"),
    })
}

/// Brings an empty target to this program's schema, if that is the source's.
async fn prepare_target(config: &Config, schema: i64) -> Result<(), Failure> {
    let failed = |failure: crate::store::Error| {
        Failure::Command(format!("the target cannot be used: {}", chain(&failure)))
    };
    let store = prepare::open_store(config, &Lifecycle::new())
        .await
        .map_err(failed)?;
    let result = async {
        let version = store.schema_version().await.map_err(failed)?;
        if version.applied > 0 {
            return Ok(());
        }
        if version.known != schema {
            return Err(Failure::Command(format!(
                "the source's schema is at version {schema} and this program's at {}; run `convoke migrate` on the source first",
                version.known
            )));
        }
        store.migrate().await.map_err(failed)
    }
    .await;
    store.close().await;
    result
}

fn tell(progress: &mut Progress, step: CopyStep<'_>) {
    match step {
        CopyStep::Resumed => progress.tell(true, || "an unfinished copy goes on".to_owned()),
        CopyStep::Copying { table, rows, done } => {
            progress.tell(done, || format!("{table}: {} of {} rows", rows.0, rows.1));
        }
        CopyStep::Verifying { table } => progress.tell(false, || format!("comparing {table}")),
    }
}

fn report(shown: &str, report: &CopyReport, elapsed: Duration) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<20} {:>10}  {:<64} {:>8} {:>9}",
        "table", "rows", "checksum", "seconds", "rows/s"
    )?;
    let (mut rows, mut written) = (0, 0);
    for table in &report.tables {
        rows += table.checksum.rows;
        written += table.written;
        writeln!(
            out,
            "{:<20} {:>10}  {:<64} {:>8.2} {:>9.0}",
            table.table,
            table.checksum.rows,
            table.checksum.to_string(),
            table.elapsed.as_secs_f64(),
            rate(table.written, table.elapsed)
        )?;
    }
    if written < rows {
        writeln!(
            out,
            "{} rows were there from an earlier run",
            rows - written
        )?;
    }
    writeln!(
        out,
        "copied {shown}: {rows} rows in {:.2} s, of which {:.2} s to compare both sides; every checksum agrees",
        elapsed.as_secs_f64(),
        report.verification.as_secs_f64()
    )?;
    Ok(())
}
