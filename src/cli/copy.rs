//! `convoke copy`: a whole database into another, SQLite to PostgreSQL or back, with progress on stderr and a report on stdout.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::{Failure, prepare};
use crate::config::{Config, DatabaseUrl};
use crate::lifecycle::Lifecycle;
use crate::store::{CopyError, CopyOptions, CopyReport, CopyStep, chain, copy, source_schema};

/// Between two lines of progress on a terminal.
const PAUSE: Duration = Duration::from_millis(200);

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
        copy(&options, &mut |step| progress.tell(step))
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

/// Told on stderr: a line that is written over on a terminal, else one for each table.
struct Progress {
    terminal: bool,
    last: Option<Instant>,
    started: Instant,
}

impl Progress {
    fn begin() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            last: None,
            started: Instant::now(),
        }
    }

    fn tell(&mut self, step: CopyStep<'_>) {
        let text = match step {
            CopyStep::Resumed => "an unfinished copy goes on".to_owned(),
            CopyStep::Copying { table, rows, done } if self.due(done) => {
                format!("{table}: {} of {} rows", rows.0, rows.1)
            }
            CopyStep::Verifying { table } if self.due(false) => format!("comparing {table}"),
            CopyStep::Copying { .. } | CopyStep::Verifying { .. } => return,
        };
        let mut out = std::io::stderr().lock();
        let seconds = self.started.elapsed().as_secs();
        // Progress that cannot be shown is no reason to stop.
        drop(if self.terminal {
            write!(out, "\r\x1b[K{seconds:>4} s  {text}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{text}")
        });
    }

    /// Whether it is time to show something; off a terminal only what is `whole`.
    fn due(&mut self, whole: bool) -> bool {
        let due = if self.terminal {
            whole || self.last.is_none_or(|last| last.elapsed() >= PAUSE)
        } else {
            whole
        };
        if due {
            self.last = Some(Instant::now());
        }
        due
    }

    fn end(&self) {
        if self.terminal {
            drop(write!(std::io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

fn rate(rows: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let rows = rows as f64;
    rows / elapsed.as_secs_f64().max(1e-6)
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
