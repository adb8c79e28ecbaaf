//! `convoke files …`: uploaded files, by the operator.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Subcommand;

use super::Failure;
use super::progress::{Progress, rate};
use crate::config::{Config, StorageUrl};
use crate::storage::{Migrated, Migration, NotMigrated, Storage, migrate};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Move all files to another store while the service reads from both; each copy is read back and compared. May be killed and run
    /// again.
    Migrate {
        /// The store to read, `file:…` or `s3://…`; else `CONVOKE_STORAGE_FALLBACK_URL`.
        #[arg(long, value_name = "URL", value_parser = StorageUrl::argument)]
        from: Option<StorageUrl>,
        /// The store to fill; else `CONVOKE_STORAGE_URL`.
        #[arg(long, value_name = "URL", value_parser = StorageUrl::argument)]
        to: Option<StorageUrl>,
        /// Only tell what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Delete each file from the source once its copy is verified.
        #[arg(long, conflicts_with = "dry_run")]
        delete_source: bool,
        /// Files at once; on S3 each holds up to 8 MiB in memory.
        #[arg(long, value_name = "FILES", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
        parallel: u8,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<ExitCode, Failure> {
    let Command::Migrate {
        from,
        to,
        dry_run,
        delete_source,
        parallel,
    } = command;
    let from = from.or_else(|| config.storage.fallback_url.clone());
    let from = from.ok_or_else(|| {
        Failure::Command("give --from, or set CONVOKE_STORAGE_FALLBACK_URL".to_owned())
    })?;
    let to = to.unwrap_or_else(|| config.storage.url.clone());
    let failed = |failure: crate::storage::Error| Failure::Command(failure.to_string());
    let open = |url: &StorageUrl| Storage::open_url(url, config).map_err(failed);
    if from.overlaps(&to, &config.server.data_dir) {
        let (from, to) = (open(&from)?, open(&to)?);
        return Err(Failure::Refused(format!(
            "source and target are the same store, or one lies in the other: {} and {}",
            from.shown(),
            to.shown()
        )));
    }
    let (from, to) = (open(&from)?, open(&to)?);
    let options = Migration {
        dry_run,
        delete_source,
        parallel: usize::from(parallel),
    };
    let started = Instant::now();
    let mut progress = Progress::begin();
    let mut tell = |(looked, of): (u64, u64)| {
        let milestone = looked == of || looked % 1000 == 0;
        progress.tell(milestone, || format!("{looked} of {of} files"));
    };
    let migrated = migrate(&from, &to, options, &mut tell).await;
    progress.end();
    let migrated = migrated.map_err(|failure| match failure {
        NotMigrated::Store(failure) => failed(failure),
        refused => Failure::Refused(refused.to_string()),
    })?;
    report(&from, &to, options, &migrated, started)?;
    Ok(if migrated.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn report(
    from: &Storage,
    to: &Storage,
    options: Migration,
    migrated: &Migrated,
    started: Instant,
) -> Result<(), Failure> {
    let mut errors = std::io::stderr().lock();
    for (key, why) in &migrated.failed {
        writeln!(errors, "{key}: {why}")?;
    }
    drop(errors);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<20} {:>10} {:>16}", "", "files", "bytes")?;
    let copied = if options.dry_run {
        "to be copied"
    } else {
        "copied"
    };
    for (what, tally) in [
        ("in the source", migrated.found),
        (copied, migrated.copied),
        ("there already", migrated.there),
        ("deleted from source", migrated.deleted),
    ] {
        writeln!(out, "{what:<20} {:>10} {:>16}", tally.files, tally.bytes)?;
    }
    writeln!(out, "{:<20} {:>10}", "gone meanwhile", migrated.gone)?;
    writeln!(out, "{:<20} {:>10}", "failed", migrated.failed.len())?;
    let elapsed = started.elapsed();
    let (files, seconds) = (
        migrated.copied.files + migrated.there.files,
        elapsed.as_secs_f64(),
    );
    let ending = match (options.dry_run, migrated.failed.is_empty()) {
        _ if migrated.found.files == 0 => "there is no file in the source".to_owned(),
        (true, _) => "nothing was written".to_owned(),
        (false, true) => "every file was read back and its SHA-256 agrees".to_owned(),
        (false, false) => "not every file was moved: run it again".to_owned(),
    };
    writeln!(
        out,
        "{} to {}: {seconds:.1} s, {:.0} files/s; {ending}",
        from.shown(),
        to.shown(),
        rate(files, elapsed)
    )?;
    Ok(())
}
