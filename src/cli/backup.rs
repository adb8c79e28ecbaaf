//! `convoke backup …` and `convoke restore`: copies of the database and of uploaded files, and the way back.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Failure, prepare};
use crate::backup::{self, Context, Error, Keep, Manifest, Progress};
use crate::config::{Config, Recipient, StorageUrl};
use crate::domain::clock::Clock;
use crate::storage::Storage;
use crate::store::{Store, chain};

/// Longest wait for the database.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Backup {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    make: Make,
}

#[derive(Debug, Args)]
struct Make {
    #[command(flatten)]
    place: Place,
    /// Encrypt to this age recipient, besides those of the settings; may be given several times.
    #[arg(long, value_name = "AGE_KEY")]
    recipient: Vec<Recipient>,
    /// Keep the newest backup of so many days.
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// Keep the newest backup of so many weeks.
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// Keep the newest backup of so many months.
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,
    /// Restore it for a trial at once; needs the key where it is encrypted.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    identity: Identity,
}

#[derive(Debug, Args)]
struct Place {
    /// A folder, `file:///FOLDER`, or `s3://BUCKET/PREFIX`, instead of that of the settings.
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
}

#[derive(Debug, Args)]
struct Identity {
    /// The file with the age key that opens an encrypted backup.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Restore a backup into a scratch database, which is gone at the end, and compare.
    Verify {
        /// The path or the s3:// URL of a backup.
        file: String,
        #[command(flatten)]
        identity: Identity,
    },
    /// List the backups of a place, oldest first.
    List {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The path or the s3:// URL of a backup.
    file: String,
    /// Replace all that is in the database.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    identity: Identity,
}

impl Backup {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode, Failure> {
        match self.command {
            None => self.make.run(config).await,
            Some(Command::Verify { file, identity }) => verify(config, &file, identity).await,
            Some(Command::List { place }) => {
                let context = for_a_person(config, None);
                let place = place.open(&context)?;
                if let Some(folder) = place.folder().filter(|one| !one.is_dir()) {
                    return Err(Failure::Command(format!(
                        "{} is no folder",
                        folder.display()
                    )));
                }
                let found = backup::list(&place)
                    .await
                    .map_err(|failure| failed(&failure))?;
                let mut out = std::io::stdout().lock();
                for (name, size) in found {
                    writeln!(out, "{}\t{size}\t{name}", name.taken_at())?;
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Place {
    fn open(&self, context: &Context) -> Result<Storage, Failure> {
        let given = self.to.as_deref().map(place).transpose()?;
        let url = given.as_ref().or(context.place()).ok_or_else(|| {
            Failure::Command("where to? name a place by --to or by CONVOKE_BACKUP_TO".to_owned())
        })?;
        context.open_place(url).map_err(|failure| failed(&failure))
    }
}

/// A place as a person names it: a folder may be just a path, from where we are.
fn place(text: &str) -> Result<StorageUrl, Failure> {
    let wrong = |problem| Failure::Refused(format!("--to {text:?} {problem}"));
    if text.trim().is_empty() {
        return Err(wrong("names no place".to_owned()));
    }
    // What begins like a URL was meant as one.
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    match scheme {
        Some("file" | "s3") => text.parse().map_err(wrong),
        Some(other) if is_scheme(other) => Err(wrong(format!(
            "is neither a folder nor file:///FOLDER nor s3://BUCKET/PREFIX; a folder of that name is ./{text}"
        ))),
        _ => Ok(StorageUrl::File(std::path::absolute(Path::new(text))?)),
    }
}

impl Make {
    async fn run(self, config: &Config) -> Result<ExitCode, Failure> {
        let mut context = for_a_person(config, self.identity.identity);
        context.recipients.extend(self.recipient);
        let place = self.place.open(&context)?;
        let own = &config.backup;
        let keep = Keep {
            daily: self.keep_daily.unwrap_or(own.keep_daily),
            weekly: self.keep_weekly.unwrap_or(own.keep_weekly),
            monthly: self.keep_monthly.unwrap_or(own.keep_monthly),
        };
        let store = open(config).await?;
        let (made, noted) = backup::make_and_note(&context, &store, &place, false).await;
        let done = async {
            let made = made.map_err(|failure| failed(&failure))?;
            warn(noted.err().as_ref(), "the service is not told of it")?;
            tell(&made.manifest, "holds")?;
            if self.verify {
                let (verified, noted) =
                    backup::verify_and_note(&context, &store, &made.location).await;
                verified.map_err(|failure| failed(&failure))?;
                warn(noted.err().as_ref(), "the service is not told of the trial")?;
            }
            if !made.identified {
                writeln!(
                    std::io::stderr().lock(),
                    "warning: the database cannot be written to and has no id yet: no --keep will ever count or delete this backup"
                )?;
            }
            let pruned = backup::prune(&context, &place, keep, made.name).await;
            let pruned = pruned.map_err(|failure| failed(&failure))?;
            for name in pruned.deleted {
                writeln!(std::io::stdout().lock(), "deleted {name}")?;
            }
            for name in pruned.future {
                writeln!(
                    std::io::stderr().lock(),
                    "warning: {name} is dated in the future: it is not counted and never deleted; is a clock wrong?"
                )?;
            }
            // The last line, for whoever hands it on.
            writeln!(std::io::stdout().lock(), "{}", made.location)?;
            Ok(ExitCode::SUCCESS)
        };
        let done = done.await;
        store.close().await;
        done
    }
}

async fn verify(config: &Config, file: &str, identity: Identity) -> Result<ExitCode, Failure> {
    let context = for_a_person(config, identity.identity);
    // The place of a trial need not be that of the service: then nobody is told.
    let (verified, noted) = if let Ok(store) = open(config).await {
        let result = backup::verify_and_note(&context, &store, file).await;
        store.close().await;
        result
    } else {
        let verified = backup::verify(&context, file).await;
        (verified.map_err(|unsound| unsound.failure), Ok(false))
    };
    warn(noted.err().as_ref(), "the service is not told of the trial")?;
    let verified = verified.map_err(|failure| failed(&failure))?;
    tell(&verified.manifest, "came back")?;
    writeln!(
        std::io::stdout().lock(),
        "whole: {file} ({} bytes, SHA-256 {}), restored for a trial in {:.1} s",
        verified.file.size,
        verified.file.checksum,
        verified.seconds
    )?;
    Ok(ExitCode::SUCCESS)
}

impl Restore {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode, Failure> {
        let context = for_a_person(config, self.identity.identity);
        let storage =
            Storage::open(config).map_err(|failure| Failure::Command(failure.to_string()))?;
        // Without secrets.
        let (database, storage) = (config.database.direct(), storage.shown());
        writeln!(
            std::io::stdout().lock(),
            "restoring {} into the database {database}, uploaded files into {storage}",
            self.file,
        )?;
        let restored = backup::restore(&context, &self.file, self.force).await;
        let restored = restored.map_err(|failure| failed(&failure))?;
        tell(&restored.manifest, "came back")?;
        writeln!(
            std::io::stdout().lock(),
            "restored: {} as of {} into {database} and {storage}, now of schema {}",
            self.file,
            restored.manifest.taken_at,
            restored.schema
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is in a backup, table by table.
fn tell(manifest: &Manifest, verb: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for (table, rows) in &manifest.tables {
        writeln!(out, "{table}\t{rows}")?;
    }
    let files = &manifest.files;
    writeln!(
        out,
        "{verb}: {} rows and {} files ({} bytes), schema {}, made by Convoke {}",
        manifest.rows(),
        files.count,
        files.bytes,
        manifest.schema,
        manifest.convoke
    )?;
    if files.faulty > 0 {
        writeln!(
            std::io::stderr().lock(),
            "warning: {} files that the database names are missing from the storage or damaged there, such as {}",
            files.faulty,
            files.faults.join(", ")
        )?;
    }
    Ok(())
}

fn warn(failure: Option<&Error>, what: &str) -> Result<(), Failure> {
    if let Some(failure) = failure {
        writeln!(
            std::io::stderr().lock(),
            "warning: {what}: {}",
            chain(failure)
        )?;
    }
    Ok(())
}

/// What backups work by, as the settings say.
pub(super) fn context(config: &Config, identity: Option<PathBuf>, progress: Progress) -> Context {
    // A snapshot, and the tools of PostgreSQL, need sessions of their own: no pooler's.
    let mut store = prepare::store_settings(config);
    store.url.clone_from(&store.direct_url);
    store.pooled = false;
    Context {
        config: config.clone(),
        store,
        recipients: config.backup.recipients.clone(),
        identity,
        clock: Clock::system(),
        progress,
    }
}

/// The same for a command.
fn for_a_person(config: &Config, identity: Option<PathBuf>) -> Context {
    context(config, identity, Progress::on_terminal())
}

async fn open(config: &Config) -> Result<Store, Failure> {
    prepare::open_store_within(config, LIMIT)
        .await
        .map_err(|failure| {
            Failure::Command(format!(
                "the database cannot be opened: {}",
                chain(&failure)
            ))
        })
}

fn failed(failure: &Error) -> Failure {
    Failure::Command(chain(failure))
}
