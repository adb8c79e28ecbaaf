//! Opening the pools of either engine.

use std::{
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions, PgPool, SqliteConnection, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use uuid::Uuid;

use super::error::Error;

/// How the store is opened.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite://…` or `postgres://…`.
    pub url: String,
    /// As `url`, past a pooler.
    pub direct_url: String,
    /// A streaming replica for lists (PostgreSQL).
    pub read_url: Option<String>,
    /// A pooler in transaction mode is between (PostgreSQL).
    pub pooled: bool,
    /// Connections kept open.
    pub min_connections: u32,
    /// Connections at the most (PostgreSQL), readers at the most (SQLite).
    pub max_connections: u32,
    /// Age at which a connection is replaced.
    pub max_lifetime: Duration,
    /// Idle time after which a connection is closed.
    pub idle_timeout: Duration,
    /// Longest wait for a busy connection.
    pub acquire_timeout: Duration,
    /// Longest run of a statement (PostgreSQL).
    pub statement_timeout: Duration,
    /// Longest wait for the database at start.
    pub startup_timeout: Duration,
    /// Attempts at an operation that fails in passing.
    pub attempts: u32,
    /// `full`, `extra` or `normal` (SQLite).
    pub synchronous: &'static str,
    /// Longest wait for another process's lock (SQLite).
    pub busy_timeout: Duration,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Settings")
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether the URL names a SQLite file.
    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    pub(super) fn sqlite_file(&self) -> Result<PathBuf, Error> {
        Ok(SqliteConnectOptions::from_str(&self.url)?
            .get_filename()
            .to_owned())
    }

    pub(super) fn sqlite(&self) -> Result<SqliteConnectOptions, Error> {
        let synchronous = match self.synchronous {
            "normal" => SqliteSynchronous::Normal,
            "extra" => SqliteSynchronous::Extra,
            _ => SqliteSynchronous::Full,
        };
        Ok(SqliteConnectOptions::from_str(&self.url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .foreign_keys(true)
            .busy_timeout(self.busy_timeout)
            .statement_cache_capacity(200)
            .disable_statement_logging())
    }

    pub(super) fn postgres(&self) -> Result<PgConnectOptions, Error> {
        self.through_pooler(&self.url)
    }

    /// The server itself, past a pooler.
    pub(super) fn direct(&self) -> Result<PgConnectOptions, Error> {
        of_postgres(&self.direct_url)
    }

    /// The replica for lists, if there is one.
    pub(super) fn replica(&self) -> Result<Option<PgConnectOptions>, Error> {
        let url = self.read_url.as_deref();
        url.map(|url| self.through_pooler(url)).transpose()
    }

    fn through_pooler(&self, url: &str) -> Result<PgConnectOptions, Error> {
        let options = of_postgres(url)?;
        // PgBouncer refuses a start-up parameter that it cannot keep true across servers; floats come in binary anyway.
        Ok(if self.pooled {
            options.extra_float_digits(None)
        } else {
            options
        })
    }

    /// What opens a transaction. A pooler keeps no setting from one to the next. An event is locked before anything is read, so
    /// that what is read afterwards is what the one before wrote; see `event_row::lock`.
    pub(super) fn opening(&self, access: Access, prepared: bool, event: Option<Uuid>) -> String {
        let access = match access {
            Access::Read => " READ ONLY",
            Access::Write => "",
        };
        let timeout = (!prepared).then(|| {
            let timeout = self.statement_timeout.as_millis();
            format!("; SET LOCAL statement_timeout = {timeout}")
        });
        let lock =
            event.map(|id| format!("; SELECT pg_advisory_xact_lock(hashtextextended('{id}', 0))"));
        let (timeout, lock) = (timeout.unwrap_or_default(), lock.unwrap_or_default());
        format!("BEGIN{access}{timeout}{lock}")
    }
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

fn of_postgres(url: &str) -> Result<PgConnectOptions, Error> {
    Ok(PgConnectOptions::from_str(url)?
        .application_name("convoke")
        .disable_statement_logging())
}

/// The ordinary pool. A dead connection is found by the statement that meets it and tried again: asking first whether each is
/// alive would cost a round trip a request.
pub(super) fn postgres(settings: &Settings, mut options: PgConnectOptions, min: u32) -> PgPool {
    if !settings.pooled {
        let timeout = settings.statement_timeout.as_millis().to_string();
        options = options.options([("statement_timeout", timeout)]);
    }
    PgPoolOptions::new()
        .min_connections(min)
        .max_connections(settings.max_connections)
        .max_lifetime(settings.max_lifetime)
        .idle_timeout(settings.idle_timeout)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

pub(super) async fn postgres_migrator(settings: &Settings) -> Result<PgPool, Error> {
    if settings.pooled && settings.direct_url == settings.url {
        let text = "migrations hold a lock of their session, which a pooler in transaction mode gives to others: set CONVOKE_DATABASE_DIRECT_URL";
        return Err(sqlx::Error::Configuration(text.into()).into());
    }
    Ok(PgPoolOptions::new()
        .max_connections(1)
        .connect_with(settings.direct()?)
        .await?)
}

pub(super) fn sqlite_readers(settings: &Settings) -> Result<SqlitePool, Error> {
    Ok(SqlitePoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .connect_lazy_with(settings.sqlite()?.pragma("query_only", "on")))
}

pub(super) async fn sqlite_writer(settings: &Settings) -> Result<SqliteConnection, Error> {
    // Savepoints note the pages they change: in memory, for in a file it took a third of a write's time. Most of what
    // writes touch stays in the cache, and more of it shares a checkpoint. Of the cache, SQLite goes through the whole at many a
    // commit: two and four times as much were no faster.
    let options = settings
        .sqlite()?
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-8192")
        .pragma("wal_autocheckpoint", "4000");
    Ok(options.connect().await?)
}

pub(super) async fn sqlite_migrator(settings: &Settings) -> Result<SqlitePool, Error> {
    Ok(SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(settings.sqlite()?)
        .await?)
}

/// Calls `probe` until it succeeds or `limit` has passed.
pub(super) async fn wait<F: Future<Output = Result<(), Error>>>(
    limit: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<(), Error> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        match probe().await {
            Err(failure @ Error::Unavailable(_)) if started.elapsed() + pause < limit => {
                tracing::warn!(error = %chain(&failure), retry_in = ?pause, "the database cannot be reached yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            result => return result,
        }
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
impl super::Store {
    /// A small one on SQLite, new and migrated.
    pub(crate) async fn for_tests(url: &str, clock: crate::domain::clock::Clock) -> Self {
        let settings = Settings {
            direct_url: url.to_owned(),
            read_url: None,
            pooled: false,
            url: url.to_owned(),
            min_connections: 0,
            max_connections: 2,
            max_lifetime: Duration::from_mins(1),
            idle_timeout: Duration::from_mins(1),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            startup_timeout: Duration::from_secs(5),
            attempts: 1,
            synchronous: "normal",
            busy_timeout: Duration::from_secs(5),
        };
        let spawn = |task| {
            crate::lifecycle::Lifecycle::new().spawn_unwatched("store writer", task);
        };
        let store = Self::open(settings, clock, spawn).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions as _, query_scalar, sqlite::SqliteConnectOptions};

    #[tokio::test]
    async fn sqlite_is_built_as_cargos_configuration_says() {
        let mut connection = SqliteConnectOptions::new().connect().await.unwrap();
        let options: Vec<String> = query_scalar("PRAGMA compile_options")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let has = |option: &str| options.iter().any(|one| one == option);
        assert!(has("DEFAULT_MEMSTATUS=0"), "{options:?}");
        assert!(has("ENABLE_QPSG"), "{options:?}");
        assert!(has("DEFAULT_PCACHE_INITSZ=0"), "{options:?}");
        assert!(!has("ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
    }
}
