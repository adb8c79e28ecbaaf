//! Makes a backup.

use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::container::{Sum, tail};
use super::files::Blobs;
use super::manifest::{Content, FORMAT, Manifest};
use super::name::Name;
use super::pack::{self, Channel, Source};
use super::scratch::Scratch;
use super::{Context, Error, blocking, tools};
use crate::storage::Storage;
use crate::store::{Aside, BackupFile, Engine, Shared};

/// Pieces on their way from the packer to the place, which together bound the memory.
const ON_THE_WAY: usize = 8;
/// Time without a write after which an unfinished file is nobody's.
const ABANDONED: Duration = Duration::from_mins(10);

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its name.
    pub name: Name,
    /// The URL or the path of the file.
    pub location: String,
    /// The file.
    pub file: BackupFile,
    /// What is in it.
    pub manifest: Manifest,
    /// Whether its name says which database it is of; else retention will never touch it.
    pub identified: bool,
}

/// Makes a backup in this place. When this returns, the file is whole and on the disk, or with S3.
///
/// # Errors
/// When there is no file; what was written of it is given up.
pub async fn make(context: &Context, place: &Storage) -> Result<Made, Error> {
    let scratch = {
        let folder = context.config.backup.scratch_dir.clone();
        blocking(move || Scratch::new(&folder)).await?
    };
    // What a killed one left behind.
    place.sweep_unfinished(ABANDONED).await?;
    context.progress.step("taking a snapshot of the database");
    let database = identify(context).await?;
    let taken_at = context.clock.now();
    let (source, mut rows) = snapshot(context, &scratch).await?;
    let schema = rows.schema().await?.ok_or_else(not_ours)?;
    let manifest = Manifest {
        format: FORMAT,
        convoke: env!("CARGO_PKG_VERSION").to_owned(),
        engine: context.store.engine().as_str().to_owned(),
        schema,
        taken_at,
        database: Content::default(),
        tables: rows.rows().await?,
        files: super::manifest::Files::default(),
    };
    let blobs = Blobs::new(rows, Storage::open(&context.config)?);
    // One that nobody knows by then has backups of its own each time, which none of the others takes for its own.
    let name = Name::of(taken_at, database.unwrap_or_else(Uuid::new_v4));
    let key = name.to_string();

    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    let recipients = context.recipients.clone();
    let packed = blocking(move || {
        let _needed = scratch;
        pack::pack(Channel::new(sender), source, blobs, manifest, &recipients)
    });
    let (packed, sent) = tokio::join!(packed, send(context, place, &key, receiver));
    // A packer that found nobody to take its pieces is not the cause.
    let (mut upload, mut sum) = sent?;
    let manifest = packed?;
    let end = tail(&sum.clone().content().sha256).map_err(Error::disk("the checksum"))?;
    sum.add(&end);
    upload.write(&end).await?;
    upload.finish().await?;
    context.progress.end();
    let Content { bytes, sha256 } = sum.content();
    Ok(Made {
        name,
        location: location(place, &key),
        file: BackupFile {
            size: bytes,
            checksum: sha256,
        },
        manifest,
        identified: database.is_some(),
    })
}

fn not_ours() -> Error {
    Error::Refused("the database is not Convoke's: it has no schema of any version".to_owned())
}

/// The database's id, given to it now if it has none; `None` when it cannot be written to.
async fn identify(context: &Context) -> Result<Option<Uuid>, Error> {
    let mut link = context.store.connect_aside().await?;
    let known = async {
        link.schema().await?.ok_or_else(not_ours)?;
        if let Some(known) = link.identity().await? {
            return Ok(Some(known));
        }
        match link.give_identity(Uuid::new_v4()).await {
            Ok(()) => Ok(link.identity().await?),
            // A role that may only read can make backups all the same.
            Err(_) => Ok(None),
        }
    };
    let known = known.await;
    link.close().await;
    known
}

/// The file's path in a folder, which people can hand on, or its URL.
pub(super) fn location(place: &Storage, key: &str) -> String {
    let shown = place.shown();
    format!("{}/{key}", shown.strip_prefix("file://").unwrap_or(shown))
}

/// Fixes the moment: where the database's content comes from, and a connection that sees the same.
async fn snapshot(context: &Context, scratch: &Scratch) -> Result<(Source, Aside), Error> {
    let mut link = context.store.connect_aside().await?;
    if context.store.engine() == Engine::Sqlite {
        let copy = scratch.path("convoke.db");
        link.copy_sqlite(&copy).await?;
        link.close().await;
        let rows = context.store.with_file(&copy).connect_aside().await?;
        return Ok((Source::File(copy), rows));
    }
    let Shared { id, server } = link.share().await?;
    let folder = context.config.backup.postgres_bin.clone();
    let variables = tools::environment(&context.store.direct_url)?;
    let dump = blocking(move || {
        let folder = folder.as_deref();
        let ours = tools::major("pg_dump", folder)?;
        if ours < server {
            return Err(Error::Refused(format!(
                "pg_dump is of version {ours} and the server of version {server}: install the client programs of PostgreSQL \
                 {server}, or name their folder in backup.postgres_bin"
            )));
        }
        let mut dump = tools::program("pg_dump", folder);
        // Uncompressed, for the whole is compressed better than it could; without owners, who may be others elsewhere.
        dump.args([
            "--format=custom",
            "--compress=0",
            "--no-owner",
            "--no-privileges",
        ])
        .arg(format!("--snapshot={id}"))
        .envs(variables);
        Ok(dump)
    });
    Ok((Source::Dump(dump.await?), link))
}

/// Hands the pieces on to the place. Dropping what it returns gives the file up.
async fn send(
    context: &Context,
    place: &Storage,
    key: &str,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<(crate::storage::Upload, Sum), Error> {
    let mut upload = place.upload(key)?;
    let mut sum = Sum::default();
    while let Some(piece) = pieces.recv().await {
        sum.add(&piece);
        upload.write(&piece).await?;
        context.progress.bytes("written", sum.bytes());
    }
    Ok((upload, sum))
}
