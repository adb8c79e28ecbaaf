//! Puts a backup back.

mod postgres;
mod sqlite;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use super::container::PIECE;
use super::manifest::Manifest;
use super::owner::Owner;
use super::scratch::Scratch;
use super::{Context, Error, blocking, unpack};
use crate::config::StorageUrl;
use crate::domain::clock::Clock;
use crate::lifecycle::Lifecycle;
use crate::storage::Storage;
use crate::store::{self, Aside, Engine, Store, newest_schema};

/// Tables that hold something in a database that nobody has used yet.
const BOOKKEEPING: [&str; 4] = ["_sqlx_migrations", "backups", "leases", "meta"];

/// What came back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// The number of the last migration now.
    pub schema: i64,
}

/// Restores the backup into the database and the storage of the settings. The whole file is checked before anything is
/// changed.
///
/// # Errors
/// When the file is damaged, or the target is in use or not empty; what was there is still there then.
pub async fn restore(context: &Context, file: &str, force: bool) -> Result<Restored, Error> {
    let scratch = new_scratch(context).await?;
    let path = fetch(context, file, &scratch).await?;
    context.progress.step("checking the backup");
    let checked = path.clone();
    blocking(move || unpack::check(&checked)).await?;

    let engine = context.store.engine();
    let database = match engine {
        // On the file system of its place, so that it can be moved there at once.
        Engine::Sqlite => {
            let target = sqlite::target(context)?;
            // Before anything is made there.
            let owner = Owner::of(&target);
            if let Some(folder) = target.parent() {
                owner.make_folder(folder)?;
            }
            sqlite::beside(&target, ".restoring")
        }
        Engine::Postgres => scratch.path("database"),
    };
    let unpacked = sqlite::Unpacked(database);
    let manifest = extract(context, &path, &unpacked.0).await?;
    fits(&manifest, engine)?;
    match engine {
        Engine::Sqlite => {
            let vacant = sqlite::vacate(context, force).await;
            vacant?;
            restore_files(context, &path, &manifest).await?;
            sqlite::put(context, &unpacked.0, &manifest).await?;
        }
        Engine::Postgres => {
            let mut link = context.store.connect_aside().await?;
            unused(&mut link).await?;
            empty(&mut link, force).await?;
            restore_files(context, &path, &manifest).await?;
            postgres::put(context, link, &unpacked.0, &manifest).await?;
        }
    }
    context.progress.step("bringing the schema up to date");
    let schema = migrate(&context.store).await?;
    if engine == Engine::Sqlite {
        sqlite::hand_over(context)?;
    }
    context.progress.end();
    Ok(Restored { manifest, schema })
}

pub(super) async fn new_scratch(context: &Context) -> Result<Scratch, Error> {
    let folder = context.config.backup.scratch_dir.clone();
    blocking(move || Scratch::new(&folder)).await
}

/// The file's path; what is in a bucket is brought here first.
pub(super) async fn fetch(
    context: &Context,
    file: &str,
    scratch: &Scratch,
) -> Result<PathBuf, Error> {
    if !file.starts_with("s3:") {
        let path = PathBuf::from(file.strip_prefix("file://").unwrap_or(file));
        let about = path.metadata();
        let about = about.map_err(Error::disk(format!("{} cannot be read", path.display())))?;
        // Of a pipe there would be no end, and what was read of it would be gone.
        if !about.is_file() {
            return Err(Error::Refused(format!("{} is no file", path.display())));
        }
        return Ok(path);
    }
    let (place, key) = file.rsplit_once('/').unwrap_or((file, ""));
    let url: StorageUrl = place
        .parse()
        .map_err(|problem| Error::Refused(format!("{file} {problem}")))?;
    let place = context.open_place(&url)?;
    let mut pieces = std::pin::pin!(place.get(key, None).await?.into_stream());
    let path = scratch.path("backup");
    let unwritable =
        |failure| Error::Disk(format!("{} cannot be written", path.display()), failure);
    let mut out = tokio::fs::File::create(&path).await.map_err(unwritable)?;
    let mut done = 0;
    while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
        let piece = piece?;
        tokio::io::AsyncWriteExt::write_all(&mut out, &piece)
            .await
            .map_err(unwritable)?;
        done += piece.len() as u64;
        context.progress.bytes("fetched", done);
    }
    tokio::io::AsyncWriteExt::flush(&mut out)
        .await
        .map_err(unwritable)?;
    Ok(path)
}

/// Writes the database of a backup into a file, and compares everything with the manifest.
pub(super) async fn extract(
    context: &Context,
    backup: &Path,
    database: &Path,
) -> Result<Manifest, Error> {
    context.progress.step("unpacking the database");
    let (backup, database) = (backup.to_owned(), database.to_owned());
    let identity = context.identity.clone();
    blocking(move || {
        let wrong = |failure| Error::Disk(format!("{} is in the way", database.display()), failure);
        if let Some(folder) = database.parent() {
            std::fs::create_dir_all(folder).map_err(wrong)?;
        }
        // Of a restore that was killed.
        if database.exists() {
            std::fs::remove_file(&database).map_err(wrong)?;
        }
        let skip = &mut |_: &str, content: &mut dyn Read| -> Result<(), Error> {
            std::io::copy(content, &mut std::io::sink())
                .map_err(|failure| Error::Damaged(failure.to_string()))?;
            Ok(())
        };
        unpack::unpack(&backup, identity.as_deref(), Some(&database), skip)
    })
    .await
}

/// Whether this program can put it there.
pub(super) fn fits(manifest: &Manifest, engine: Engine) -> Result<(), Error> {
    if manifest.engine != engine.as_str() {
        return Err(Error::Refused(format!(
            "the backup is of {}, and database.url names {}: restore it into {} and move it with `convoke copy`",
            manifest.engine,
            engine.as_str(),
            manifest.engine
        )));
    }
    let newest = newest_schema(engine);
    if manifest.schema > newest {
        return Err(Error::Refused(format!(
            "the backup has schema {}, and this program knows {newest}: use Convoke {} or newer",
            manifest.schema, manifest.convoke
        )));
    }
    Ok(())
}

/// Compares what is in the database with what was in the snapshot.
pub(super) async fn compare(link: &mut Aside, manifest: &Manifest) -> Result<(), Error> {
    if let Some(found) = link.damage().await? {
        return Err(Error::Damaged(format!(
            "its database is not sound: {found}"
        )));
    }
    let rows = link.rows().await?;
    if rows != manifest.tables {
        let differ = |(table, count): &(&String, &u64)| rows.get(*table) != Some(*count);
        let first = manifest.tables.iter().find(differ);
        return Err(Error::Damaged(match first {
            Some((table, count)) => format!(
                "{table} has {} rows, and had {count} when it was made",
                rows.get(table).copied().unwrap_or(0)
            ),
            None => "it has tables that it did not have when it was made".to_owned(),
        }));
    }
    Ok(())
}

fn used(rows: &BTreeMap<String, u64>) -> Option<(&String, &u64)> {
    let counts =
        |(table, rows): &(&String, &u64)| **rows > 0 && !BOOKKEEPING.contains(&table.as_str());
    rows.iter().find(counts)
}

async fn empty(link: &mut Aside, force: bool) -> Result<(), Error> {
    let rows = link.rows().await?;
    match used(&rows) {
        Some((table, count)) if !force => Err(Error::Refused(format!(
            "the database is not empty ({table} has {count} rows): name another, or replace all of it with --force"
        ))),
        _ => Ok(()),
    }
}

async fn unused(link: &mut Aside) -> Result<(), Error> {
    match link.users().await? {
        0 => Ok(()),
        _ => Err(Error::Refused(
            "the database is in use: stop every replica first, and a pooler that keeps their connections".to_owned(),
        )),
    }
}

/// Brings the schema up to date; answers its number.
async fn migrate(settings: &store::Settings) -> Result<i64, Error> {
    let lifecycle = Lifecycle::new();
    let spawn = move |task| lifecycle.spawn_unwatched("store writer", task);
    let store = Store::open(settings.clone(), Clock::system(), spawn).await?;
    let result = async {
        store.migrate().await?;
        Ok(store.schema_version().await?.applied)
    };
    let result = result.await;
    store.close().await;
    result
}

/// Puts the uploaded files into the storage, where files that no row names do no harm yet.
async fn restore_files(context: &Context, path: &Path, manifest: &Manifest) -> Result<(), Error> {
    if manifest.files.count == 0 {
        return Ok(());
    }
    let storage = Storage::open(&context.config)?;
    let (path, identity) = (path.to_owned(), context.identity.clone());
    let (runtime, progress) = (Handle::current(), context.progress.clone());
    blocking(move || {
        let owner = Owner::of(storage.folder().unwrap_or(Path::new("")));
        if let Some(folder) = storage.folder() {
            owner.make_folder(folder)?;
        }
        let mut done = 0;
        let mut put = |key: &str, content: &mut dyn Read| -> Result<(), Error> {
            let mut upload = storage.upload(key)?;
            let mut buffer = vec![0; PIECE];
            loop {
                let count = content
                    .read(&mut buffer)
                    .map_err(|failure| Error::Damaged(failure.to_string()))?;
                if count == 0 {
                    break;
                }
                runtime.block_on(upload.write(&buffer[..count]))?;
                done += count as u64;
                progress.bytes("files restored", done);
            }
            runtime.block_on(upload.finish())?;
            storage
                .folder()
                .map_or(Ok(()), |folder| hand_over(owner, folder, &folder.join(key)))
        };
        unpack::unpack(&path, identity.as_deref(), None, &mut put).map(drop)
    })
    .await
}

/// Gives the owner a file of a store and the folders that it lies in.
fn hand_over(owner: Owner, store: &Path, file: &Path) -> Result<(), Error> {
    let mut within = file.ancestors().take_while(|one| *one != store);
    within.try_for_each(|one| owner.give(one))
}
