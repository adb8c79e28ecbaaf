//! Whether backups can be made and tried here, and what restores and trials left behind that were killed: for `convoke doctor`.

use super::{Context, Error, blocking, tools};
use crate::store::Engine;

/// What PostgreSQL and its programs offer. There is nothing to ask where the database is SQLite.
#[derive(Debug)]
pub struct Outlook {
    /// Why `pg_dump` or `pg_restore` cannot be used, if so.
    pub tools: Result<(), Error>,
    /// Whether the role can make the database of a trial.
    pub may_try: bool,
    /// Schemas with what a restore was to replace.
    pub replaced: Vec<String>,
    /// Databases of trials, under way or killed.
    pub trials: Vec<String>,
}

/// Asks the server, and the programs for their versions.
///
/// # Errors
/// When the server does not answer.
pub async fn outlook(context: &Context) -> Result<Option<Outlook>, Error> {
    if context.store.engine() == Engine::Sqlite {
        return Ok(None);
    }
    let mut link = context.store.connect_aside().await?;
    let asked = async {
        let server = link
            .ask_postgres("SELECT current_setting('server_version_num')")
            .await?;
        let may_try = link
            .ask_postgres(
                "SELECT rolname::text FROM pg_roles WHERE rolname = current_user AND (rolcreatedb OR rolsuper)",
            )
            .await?;
        let replaced = link
            .ask_postgres(
                "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'convoke\\_replaced\\_%' ORDER BY 1",
            )
            .await?;
        let trials = link
            .ask_postgres(
                "SELECT datname::text FROM pg_database WHERE datname LIKE 'convoke\\_trial\\_%' ORDER BY 1",
            )
            .await?;
        Ok::<_, Error>((server, !may_try.is_empty(), replaced, trials))
    };
    let asked = asked.await;
    link.close().await;
    let (server, may_try, replaced, trials) = asked?;
    let server = server.first().and_then(|one| one.parse::<u32>().ok());
    let server = server.unwrap_or(0) / 10_000;
    let folder = context.config.backup.postgres_bin.clone();
    let tools = blocking(move || {
        for name in ["pg_dump", "pg_restore"] {
            tools::fits(name, folder.as_deref(), server)?;
        }
        Ok(())
    });
    Ok(Some(Outlook {
        tools: tools.await,
        may_try,
        replaced,
        trials,
    }))
}
