//! Backups: one file that holds the database and the uploaded files as they were at one moment, made while the service
//! serves, and the way back. `docs/decisions/0013-backup.md` tells the format and why it is so.
//!
//! Nothing here holds more than a piece of the database or of a file in memory.

mod container;
mod files;
mod keep;
mod make;
mod manifest;
mod name;
mod owner;
mod pack;
mod progress;
mod recording;
mod restore;
mod scratch;
mod tools;
mod unpack;
mod verify;

use std::path::PathBuf;

pub use self::keep::Keep;
pub use self::make::{Made, make};
pub use self::manifest::Manifest;
pub use self::name::Name;
pub use self::progress::Progress;
pub use self::recording::{Pruned, list, make_and_note, prune, verify_and_note};
pub use self::restore::{Restored, restore};
pub use self::verify::{Unsound, Verified, verify};
use crate::config::{Config, Recipient, StorageUrl};
use crate::domain::clock::Clock;
use crate::storage::{self, Storage};
use crate::store;

/// Why a backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] store::Error),
    /// The place of backups, or that of uploaded files, failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A disk failed.
    #[error("{0}")]
    Disk(String, #[source] std::io::Error),
    /// The file is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// What was asked for is not done, and why.
    #[error("{0}")]
    Refused(String),
    /// A program of PostgreSQL's failed.
    #[error("{0}")]
    Tool(String),
}

impl Error {
    fn disk(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |failure| Self::Disk(what, failure)
    }
}

/// What every command about backups works by.
#[derive(Clone, Debug)]
pub struct Context {
    /// The settings, whose database and storage are backed up.
    pub config: Config,
    /// How the database is opened.
    pub store: store::Settings,
    /// Keys to whose owners backups are readable; to everybody when there is none.
    pub recipients: Vec<Recipient>,
    /// The file with the keys that open an encrypted backup.
    pub identity: Option<PathBuf>,
    /// What time it is.
    pub clock: Clock,
    /// What is told of the progress.
    pub progress: Progress,
}

impl Context {
    /// The place that the settings name, if they name one.
    pub fn place(&self) -> Option<&StorageUrl> {
        self.config.backup.to.as_ref()
    }

    /// Opens a place of backups, with the S3 settings of backups before those of uploaded files.
    ///
    /// # Errors
    /// When the settings do not fit together.
    pub fn open_place(&self, url: &StorageUrl) -> Result<Storage, Error> {
        let mut config = self.config.clone();
        let (own, storage) = (&self.config.backup, &mut config.storage);
        if own.s3_endpoint.is_some() {
            storage.s3_endpoint.clone_from(&own.s3_endpoint);
        }
        if own.s3_region.is_some() {
            storage.s3_region.clone_from(&own.s3_region);
        }
        if own.s3_access_key_id.given().is_some() {
            storage.s3_access_key_id = own.s3_access_key_id.clone();
            storage.s3_secret_access_key = own.s3_secret_access_key.clone();
        }
        Ok(Storage::open_url(url, &config)?)
    }
}

/// Runs what blocks, a program's end or a disk, beside the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => Err(Error::Disk(
            "a step was broken off".to_owned(),
            std::io::Error::other(failure),
        )),
    }
}
