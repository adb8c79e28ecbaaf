//! Bringing the schema up to date, under a lock, so that replicas may start at once.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};

use super::{
    Pools, Store,
    engine::{Engine, Link, Sql, reading, statement},
    error::Error,
    open,
};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Which migrations there are and which of them the database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The last one that this binary brings.
    pub known: i64,
    /// The last one applied; 0 in an empty database.
    pub applied: i64,
    /// How many of this binary's were not applied.
    pub pending: u32,
}

/// The number of the last migration that this binary brings.
pub fn newest_schema(engine: Engine) -> i64 {
    let ours = match engine {
        Engine::Postgres => &POSTGRES,
        Engine::Sqlite => &SQLITE,
    };
    ours.iter().map(|one| one.version).max().unwrap_or(0)
}

impl Store {
    /// Applies what is missing. A schema newer than the binary is left alone: that is the middle of a rolling upgrade.
    ///
    /// # Errors
    /// When the lock cannot be had or a migration fails; a failed one leaves nothing behind.
    pub async fn migrate(&self) -> Result<(), Error> {
        match &self.inner.pools {
            // A PostgreSQL advisory lock, taken by sqlx for as long as it takes; a pool of its own, because the ordinary one
            // limits how long a statement may run.
            Pools::Postgres(_) => {
                let pool = open::postgres_migrator(&self.inner.settings).await?;
                let result = lenient(&POSTGRES).run(&pool).await.map_err(from_migrate);
                pool.close().await;
                result
            }
            // sqlx takes no lock on SQLite: a lock file beside the database does.
            Pools::Sqlite { .. } => {
                let lock = lock_file(&self.inner.settings.sqlite_file()?).await?;
                let pool = open::sqlite_migrator(&self.inner.settings).await?;
                let result = lenient(&SQLITE).run(&pool).await.map_err(from_migrate);
                pool.close().await;
                drop(lock);
                result
            }
        }
    }

    /// Whether the database is the target of a copy that has not come to its end: most of it may be missing.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn is_unfinished_copy(&self) -> Result<bool, Error> {
        const SQL: Sql = Sql::same("SELECT name FROM meta WHERE name = 'copy'");
        if self.schema_version().await?.applied == 0 {
            return Ok(false);
        }
        let found = reading!(self, |session| {
            statement!(session, "meta.unfinished_copy", SQL, |sql, link| {
                sqlx::query_scalar::<_, String>(sql).fetch_optional(link)
            })
        })?;
        Ok(found.is_some())
    }

    /// What the schema is and ought to be.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn schema_version(&self) -> Result<SchemaVersion, Error> {
        const SQL: &str = "SELECT version FROM _sqlx_migrations WHERE success";
        let mut session = self.acquire().await?;
        // No named operation: in an empty database the refusal is the answer, and no error to be counted.
        let (ours, applied) = match session.link() {
            Link::Postgres(link) => (&POSTGRES, sqlx::query_scalar(SQL).fetch_all(link).await),
            Link::Sqlite(link) => (&SQLITE, sqlx::query_scalar(SQL).fetch_all(link).await),
        };
        let applied: Vec<i64> = match applied {
            Ok(applied) => applied,
            // No such table: nothing was ever applied.
            Err(sqlx::Error::Database(failure))
                if matches!(failure.code().as_deref(), Some("42P01" | "1")) =>
            {
                Vec::new()
            }
            Err(failure) => return Err(failure.into()),
        };
        let known = || ours.iter().map(|migration| migration.version);
        let pending = known().filter(|version| !applied.contains(version)).count();
        Ok(SchemaVersion {
            known: known().max().unwrap_or(0),
            applied: applied.into_iter().max().unwrap_or(0),
            pending: u32::try_from(pending).unwrap_or(u32::MAX),
        })
    }
}

fn lenient(migrator: &Migrator) -> Migrator {
    let mut migrator = Migrator::with_migrations(migrator.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator
}

fn from_migrate(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        error => Error::Database(sqlx::Error::Migrate(Box::new(error))),
    }
}

async fn lock_file(database: &Path) -> Result<std::fs::File, Error> {
    let mut path = database.as_os_str().to_owned();
    path.push(".migrating");
    let take = move || {
        let file = std::fs::File::create(path)?;
        file.lock()?;
        Ok(file)
    };
    let taken = tokio::task::spawn_blocking(take).await;
    taken
        .map_err(|failure| Error::Corrupt(failure.to_string()))?
        .map_err(|failure: std::io::Error| Error::Unavailable(failure.into()))
}
