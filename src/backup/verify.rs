//! Restores a backup for a trial, and compares.

use std::path::Path;
use std::time::Instant;

use reqwest::Url;

use super::manifest::Manifest;
use super::restore::{compare, extract, fetch, fits, new_scratch};
use super::{Context, Error, blocking, tools, unpack};
use crate::domain::new_id;
use crate::store::{BackupFile, Engine};

/// How a trial's database is called; the number is when it was made, in seconds since 1970.
const TRIAL: &str = "convoke_trial_";
/// Age of a trial's database at which whoever made it is gone.
const ABANDONED_SECONDS: i64 = 3600;

/// A backup that was restored for a trial and found whole.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The file.
    pub file: BackupFile,
    /// What is in it.
    pub manifest: Manifest,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// What is known of a backup when it turns out not to be whole: its checksum, if it has the one it was made with.
#[derive(Debug)]
pub struct Unsound {
    /// SHA-256 of the file, in hexadecimal digits.
    pub checksum: Option<String>,
    /// What is wrong.
    pub failure: Error,
}

/// Restores the backup into a scratch database, which is gone at the end: a file on SQLite, on PostgreSQL a database beside that
/// of the settings.
///
/// # Errors
/// When the file is damaged, or there is no room for a trial.
pub async fn verify(context: &Context, file: &str) -> Result<Verified, Unsound> {
    let started = Instant::now();
    let mut checksum = None;
    let result = trial(context, file, &mut checksum).await;
    context.progress.end();
    match result {
        Ok((file, manifest)) => Ok(Verified {
            file,
            manifest,
            seconds: started.elapsed().as_secs_f64(),
        }),
        Err(failure) => Err(Unsound { checksum, failure }),
    }
}

async fn trial(
    context: &Context,
    file: &str,
    known: &mut Option<String>,
) -> Result<(BackupFile, Manifest), Error> {
    let scratch = new_scratch(context).await?;
    let path = fetch(context, file, &scratch).await?;
    context.progress.step("checking the backup");
    let checked = path.clone();
    let (checksum, size) = blocking(move || unpack::check(&checked)).await?;
    *known = Some(checksum.clone());
    let database = scratch.path("database");
    let manifest = extract(context, &path, &database).await?;
    context.progress.step("restoring it for a trial");
    if manifest.engine == Engine::Sqlite.as_str() {
        fits(&manifest, Engine::Sqlite)?;
        let mut link = context.store.with_file(&database).connect_aside().await?;
        let compared = compare(&mut link, &manifest).await;
        link.close().await;
        compared?;
    } else {
        fits(&manifest, context.store.engine())?;
        in_postgres(context, &database, &manifest).await?;
    }
    Ok((BackupFile { size, checksum }, manifest))
}

async fn in_postgres(context: &Context, dump: &Path, manifest: &Manifest) -> Result<(), Error> {
    let mut server = context.store.connect_aside().await?;
    let now = context.clock.now().as_second();
    // Of trials that were killed.
    let found = server
        .ask_postgres(
            "SELECT datname::text FROM pg_database WHERE datname LIKE 'convoke\\_trial\\_%'",
        )
        .await?;
    for name in found {
        let begun = name
            .strip_prefix(TRIAL)
            .and_then(|rest| rest.split('_').next());
        let begun: Option<i64> = begun.and_then(|digits| digits.parse().ok());
        if begun.is_some_and(|begun| now - begun > ABANDONED_SECONDS) {
            // In use, or another's: then it stays.
            let _ = server
                .run_postgres(format!("DROP DATABASE \"{name}\""))
                .await;
        }
    }
    let name = format!("{TRIAL}{now}_{}", new_id().simple());
    let made = server
        .run_postgres(format!("CREATE DATABASE \"{name}\" TEMPLATE template0"))
        .await;
    made.map_err(|failure| {
        Error::Refused(format!(
            "a scratch database for the trial cannot be made (the role needs CREATEDB): {}",
            crate::store::chain(&failure)
        ))
    })?;
    let result = restored(context, &name, dump, manifest).await;
    let dropped = server
        .run_postgres(format!("DROP DATABASE \"{name}\""))
        .await;
    server.close().await;
    result?;
    Ok(dropped?)
}

async fn restored(
    context: &Context,
    name: &str,
    dump: &Path,
    manifest: &Manifest,
) -> Result<(), Error> {
    let mut url = Url::parse(&context.store.direct_url)
        .map_err(|_| Error::Refused("the database's URL cannot be read".to_owned()))?;
    url.set_path(name);
    // A name in the query would win over that in the path.
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != "dbname")
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
    tools::pg_restore(context, url.as_str(), dump).await?;
    let mut settings = context.store.clone();
    settings.url = url.into();
    settings.direct_url.clone_from(&settings.url);
    let mut link = settings.connect_aside().await?;
    let compared = compare(&mut link, manifest).await;
    link.close().await;
    compared
}
