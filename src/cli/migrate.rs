//! `convoke migrate`: brings the schema up to date and says from where to where.

use std::io::Write as _;
use std::process::ExitCode;

use super::{Failure, prepare};
use crate::config::Config;
use crate::lifecycle::Lifecycle;
use crate::store::{Error, SchemaVersion, Store, chain};

pub(super) async fn run(config: &Config) -> Result<ExitCode, Failure> {
    let store = prepare::open_store(config, &Lifecycle::new())
        .await
        .map_err(|failure| failed(&failure))?;
    let versions = migrate(&store).await;
    store.close().await;
    let (before, after) = versions.map_err(|failure| failed(&failure))?;
    let mut out = std::io::stdout().lock();
    if before.applied == after.applied {
        writeln!(
            out,
            "the schema is at version {}, nothing to do",
            after.applied
        )?;
    } else {
        writeln!(
            out,
            "the schema was at version {} and is now at version {}",
            before.applied, after.applied
        )?;
    }
    if after.applied > after.known {
        writeln!(
            out,
            "it is newer than this program, which knows version {}",
            after.known
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Migrates; returns the versions before and after.
///
/// # Errors
/// When the database fails, or a migration does.
pub(super) async fn migrate(store: &Store) -> Result<(SchemaVersion, SchemaVersion), Error> {
    let before = store.schema_version().await?;
    store.migrate().await?;
    Ok((before, store.schema_version().await?))
}

fn failed(failure: &Error) -> Failure {
    Failure::Command(format!(
        "the schema cannot be brought up to date: {}",
        chain(failure)
    ))
}
