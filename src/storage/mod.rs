//! Files: one thin room over `object_store`, for a folder or a bucket of S3.
//!
//! Every call is timed, counted and bounded in time, and is a span inside a recorded one. What is written appears whole or
//! not at all. Keys are made by the program (never by a client) and are made of `a-z`, `A-Z`, `0-9`, `-`, `_`, `.` and `/`.

mod connect;
mod download;
mod error;
mod fallback;
mod local;
mod migrate;
mod observed;
mod sign;
#[cfg(test)]
mod tests;
mod upload;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _};

pub use self::download::Download;
pub use self::error::{Error, Reason};
pub use self::migrate::{Migrated, Migration, MigrationStep, NotMigrated, migrate};
pub use self::observed::OPERATIONS;
pub use self::sign::Presented;
pub use self::upload::Upload;

use self::observed::Call;
use crate::config::{Config, StorageUrl};
use crate::telemetry::instruments;

/// A store of files. Clones share it.
#[derive(Clone, Debug)]
pub struct Storage(Arc<Inner>);

struct Inner {
    kind: &'static str,
    shown: String,
    store: Arc<dyn ObjectStore>,
    signer: Option<Arc<dyn Signer>>,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    /// Where files are that were not moved yet.
    fallback: Option<Storage>,
    /// Bytes that an upload gathers before it sends them: all that it holds in memory.
    part_bytes: usize,
    timeout: Duration,
    /// What no message may show.
    secrets: Vec<String>,
}

impl std::fmt::Debug for Inner {
    // The crate's own would go down to the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What a store knows of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in seconds since the Unix epoch, by the store's clock.
    pub modified: i64,
}

impl From<ObjectMeta> for Stored {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            key: meta.location.to_string(),
            size: meta.size,
            modified: meta.last_modified.timestamp(),
        }
    }
}

impl Storage {
    /// The store that the settings name, with the one before it if they name that too.
    ///
    /// # Errors
    /// When the settings do not fit together. Nothing is asked of the store itself.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let mut opened = connect::open(&config.storage.url, config)?;
        if let Some(url) = &config.storage.fallback_url {
            opened.fallback = Some(Self::open_url(url, config)?);
        }
        Ok(Self::observed(opened))
    }

    /// Any store, with the settings for everything that a URL does not say.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_url(url: &StorageUrl, config: &Config) -> Result<Self, Error> {
        connect::open(url, config).map(Self::observed)
    }

    fn observed(opened: Inner) -> Self {
        instruments::storage::prime(opened.kind, OPERATIONS, Reason::ALL.map(Reason::as_str));
        Self(Arc::new(opened))
    }

    /// The kind of store, as the label `storage` of the metrics: `file` or `s3`.
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// The store's URL, without any secret.
    pub fn shown(&self) -> &str {
        &self.0.shown
    }

    /// The folder, where it is one.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.0.folder.as_deref()
    }

    /// Begins to write a file, which appears under its key when [`Upload::finish`] has answered, and not before.
    /// Dropping the upload gives it up.
    ///
    /// # Errors
    /// When the key cannot be one.
    pub fn upload(&self, key: &str) -> Result<Upload, Error> {
        Ok(Upload::new(self.clone(), self.path(key)?))
    }

    /// Writes a small file at once.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn put(&self, key: &str, content: Bytes) -> Result<(), Error> {
        let mut upload = self.upload(key)?;
        upload.write(&content).await?;
        upload.finish().await.map(drop)
    }

    /// Begins to read a file, or a range of it, as a stream.
    ///
    /// # Errors
    /// [`Reason::NotFound`] when there is none.
    pub async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Download, Error> {
        fallback::read(self, |store| {
            let range = range.clone();
            async move { store.get_here(key, range).await }
        })
        .await
    }

    async fn get_here(&self, key: &str, range: Option<Range<u64>>) -> Result<Download, Error> {
        let path = self.path(key)?;
        let options = GetOptions::new().with_range(range);
        let call = Call::start_look(self, "get");
        let found = call.run(self.0.store.get_opts(&path, options)).await?;
        Ok(Download::new(self.clone(), found))
    }

    /// What the store knows of a file.
    ///
    /// # Errors
    /// [`Reason::NotFound`] when there is none.
    pub async fn head(&self, key: &str) -> Result<Stored, Error> {
        fallback::read(self, |store| async move { store.head_here(key).await }).await
    }

    async fn head_here(&self, key: &str) -> Result<Stored, Error> {
        let path = self.path(key)?;
        let call = Call::start_look(self, "head");
        call.run(self.0.store.head(&path)).await.map(Stored::from)
    }

    /// Deletes a file; one that is not there is deleted already.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        // There first: what is left here when this fails half-way is found again by whoever lists this store.
        if let Some(fallback) = &self.0.fallback {
            fallback.delete_here(key).await?;
        }
        self.delete_here(key).await
    }

    async fn delete_here(&self, key: &str) -> Result<(), Error> {
        let path = self.path(key)?;
        let call = Call::start(self, "delete");
        match call.run(self.0.store.delete(&path)).await {
            Err(failure) if failure.reason() == Reason::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Every file whose key begins with this folder, in no order; the empty text stands for all. Not those of the store before.
    pub fn list(&self, folder: &str) -> impl Stream<Item = Result<Stored, Error>> + Send + use<> {
        let storage = self.clone();
        let prefix = Path::from(folder);
        let found = self.0.store.list(Some(&prefix));
        // A page of S3's holds a thousand; the span of each would say nothing, so the whole is not one.
        found.map(move |item| match item {
            Ok(meta) => Ok(Stored::from(meta)),
            Err(failure) => Err(observed::failed(&storage, "list", &failure)),
        })
    }

    /// Deletes what uploads left behind that were cut off with the process, if they are older than this. S3 has a lifecycle rule
    /// for that (`AbortIncompleteMultipartUpload`), so there is nothing to do here for it.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn sweep_unfinished(&self, older_than: Duration) -> Result<u64, Error> {
        let mut swept = 0;
        for store in [Some(self), self.0.fallback.as_ref()].into_iter().flatten() {
            if let Some(folder) = &store.0.folder {
                swept += local::sweep(store, folder.clone(), older_than).await?;
            }
        }
        Ok(swept)
    }

    fn path(&self, key: &str) -> Result<Path, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let parts = || key.split('/');
        let odd = |part: &str| part.is_empty() || part.starts_with('.');
        if !key.chars().all(plain) || parts().any(odd) {
            return Err(Error::new(
                self.kind(),
                "path",
                Reason::Other,
                "that is no key".to_owned(),
            ));
        }
        Ok(Path::from(key))
    }
}
