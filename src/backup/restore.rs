//! Puts a backup back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use super::container::PIECE;
use super::manifest::Manifest;
use super::scratch::Scratch;
use super::{Context, Error, blocking, tools, unpack};
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
        Engine::Sqlite => beside(&target(context)?, ".restoring"),
        Engine::Postgres => scratch.path("database"),
    };
    let unpacked = Unpacked(database);
    let manifest = extract(context, &path, &unpacked.0).await?;
    fits(&manifest, engine)?;
    match engine {
        Engine::Sqlite => {
            let vacant = vacate_sqlite(context, force).await;
            vacant?;
            restore_files(context, &path, &manifest).await?;
            into_sqlite(context, &unpacked.0, &manifest).await?;
        }
        Engine::Postgres => {
            let mut link = context.store.connect_aside().await?;
            unused(&mut link).await?;
            empty(&mut link, force).await?;
            restore_files(context, &path, &manifest).await?;
            into_postgres(context, link, &unpacked.0, &manifest).await?;
        }
    }
    context.progress.step("bringing the schema up to date");
    let schema = migrate(&context.store).await?;
    context.progress.end();
    Ok(Restored { manifest, schema })
}

/// The unpacked database, removed at the end if nothing has taken it.
struct Unpacked(PathBuf);

impl Drop for Unpacked {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal", ".migrating"] {
            let _ = std::fs::remove_file(beside(&self.0, end));
        }
    }
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
        return Ok(file.strip_prefix("file://").unwrap_or(file).into());
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

fn target(context: &Context) -> Result<PathBuf, Error> {
    context
        .store
        .database_file()
        .ok_or_else(|| Error::Refused("database.url names no file".to_owned()))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Makes sure that the file there may be replaced.
async fn vacate_sqlite(context: &Context, force: bool) -> Result<(), Error> {
    if !target(context)?.exists() {
        return Ok(());
    }
    let checked = async {
        let mut link = context.store.connect_aside().await?;
        empty(&mut link, force).await?;
        let checked = unused(&mut link).await;
        link.close().await;
        checked
    };
    match checked.await {
        // Nobody can use a file that is no database any more.
        Err(Error::Database(store::Error::Database(_))) if force => Ok(()),
        checked => checked,
    }
}

/// Checks the new file and puts it in the place of the old one.
async fn into_sqlite(context: &Context, file: &Path, manifest: &Manifest) -> Result<(), Error> {
    context.progress.step("restoring the database");
    let new = context.store.with_file(file);
    let mut link = new.connect_aside().await?;
    let compared = compare(&mut link, manifest).await;
    link.close().await;
    compared?;
    // Before anybody can see it; afterwards there is nothing left to do.
    migrate(&new).await?;
    let (file, target) = (file.to_owned(), target(context)?);
    blocking(move || {
        let wrong =
            |failure| Error::Disk(format!("{} cannot be replaced", target.display()), failure);
        File::open(&file)
            .and_then(|one| one.sync_all())
            .map_err(wrong)?;
        // A log of the old file would be applied to the new one.
        for end in ["-wal", "-shm", "-journal"] {
            match std::fs::remove_file(beside(&target, end)) {
                Err(failure) if failure.kind() != std::io::ErrorKind::NotFound => {
                    return Err(wrong(failure));
                }
                _ => {}
            }
        }
        std::fs::rename(&file, &target).map_err(wrong)?;
        let folder = target.parent().filter(|one| !one.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|one| one.sync_all())
            .map_err(wrong)
    })
    .await
}

/// Restores in one transaction, with what was there moved aside until that has succeeded.
async fn into_postgres(
    context: &Context,
    mut link: Aside,
    file: &Path,
    manifest: &Manifest,
) -> Result<(), Error> {
    context.progress.step("restoring the database");
    let aside = format!("convoke_replaced_{}", context.clock.now().as_second());
    let here = link.ask_postgres("SELECT current_schema()::text").await?;
    let here = here.first().cloned().unwrap_or_else(|| "public".to_owned());
    let old = link.tables().await?;
    if !old.is_empty() {
        let moves = move_tables(&old, &here, &aside);
        link.run_postgres(format!("BEGIN; CREATE SCHEMA {aside}; {moves} COMMIT"))
            .await?;
    }
    let restored = match tools::pg_restore(context, &context.store.direct_url, file).await {
        Ok(()) => compare(&mut link, manifest).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = restored {
        if !old.is_empty() {
            let drops = drop_tables(&link.tables().await?);
            let moves = move_tables(&old, &aside, &here);
            link.run_postgres(format!(
                "BEGIN; {drops} {moves} DROP SCHEMA {aside}; COMMIT"
            ))
            .await?;
        }
        return Err(failure);
    }
    link.adopt_change_log().await?;
    if !old.is_empty() {
        link.run_postgres(format!("DROP SCHEMA {aside} CASCADE"))
            .await?;
    }
    // Without its figures the planner would guess until the server looks by itself.
    link.run_postgres("ANALYZE".to_owned()).await?;
    link.close().await;
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn move_tables(tables: &[String], from: &str, to: &str) -> String {
    let (from, to) = (quoted(from), quoted(to));
    tables.iter().fold(String::new(), |sql, table| {
        format!(
            "{sql}ALTER TABLE {from}.{} SET SCHEMA {to}; ",
            quoted(table)
        )
    })
}

fn drop_tables(tables: &[String]) -> String {
    tables.iter().fold(String::new(), |sql, table| {
        format!("{sql}DROP TABLE {} CASCADE; ", quoted(table))
    })
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
            Ok(())
        };
        unpack::unpack(&path, identity.as_deref(), None, &mut put).map(drop)
    })
    .await
}
