//! The database as it was at one moment, for as long as it takes to copy it, and what a copy is put into.
//!
//! These statements run on connections of their own, without the time limit of the ordinary ones, and have no names: they take
//! minutes where those take milliseconds, and would spoil their figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::engine::{Engine, Link};
use super::error::Error;
use super::link::PostgresLink;
use super::open::Settings;

/// A connection beside the pools.
#[derive(Debug)]
pub struct Aside(Inner);

#[derive(Debug)]
enum Inner {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A snapshot of PostgreSQL that another program can join.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its name, for `pg_dump --snapshot`.
    pub id: String,
    /// The server's major version.
    pub server: u32,
}

/// An uploaded file, as a row names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// Its key in the storage.
    pub key: String,
    /// SHA-256 of its content.
    pub sha256: Vec<u8>,
}

impl Settings {
    /// Which engine the URL names.
    pub fn engine(&self) -> Engine {
        if self.is_sqlite() {
            Engine::Sqlite
        } else {
            Engine::Postgres
        }
    }

    /// The file of the database, on SQLite.
    pub fn database_file(&self) -> Option<PathBuf> {
        self.is_sqlite().then(|| self.sqlite_file().ok()).flatten()
    }

    /// The same on another SQLite file.
    #[must_use]
    pub fn with_file(&self, file: &Path) -> Self {
        Self {
            url: format!("sqlite://{}", file.display()),
            ..self.clone()
        }
    }

    /// Connects, to a database that is there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn connect_aside(&self) -> Result<Aside, Error> {
        Ok(Aside(if self.is_sqlite() {
            let options = SqliteConnectOptions::from_str(&self.url)?
                .create_if_missing(false)
                .busy_timeout(self.busy_timeout)
                .disable_statement_logging();
            Inner::Sqlite(options.connect().await?)
        } else {
            let options = self.direct()?;
            let options = options.application_name("convoke-backup");
            let options = options.options([
                ("statement_timeout", "0"),
                ("idle_in_transaction_session_timeout", "0"),
            ]);
            Inner::Postgres(options.connect().await?)
        }))
    }
}

impl Aside {
    /// Copies a SQLite database, as it is at this moment, into a new file.
    ///
    /// # Errors
    /// When the disk is full, or it is PostgreSQL.
    pub async fn copy_sqlite(&mut self, into: &Path) -> Result<(), Error> {
        let Inner::Sqlite(link) = &mut self.0 else {
            return Err(not("SQLite"));
        };
        sqlx::query("VACUUM INTO $1")
            .bind(into.to_string_lossy().into_owned())
            .execute(link)
            .await?;
        Ok(())
    }

    /// Begins a snapshot of PostgreSQL, which lasts until the connection is closed.
    ///
    /// # Errors
    /// When the server fails, or it is SQLite.
    pub async fn share(&mut self) -> Result<Shared, Error> {
        let Inner::Postgres(link) = &mut self.0 else {
            return Err(not("PostgreSQL"));
        };
        sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut *link)
            .await?;
        let (id, version): (String, i32) = sqlx::query_as(
            "SELECT pg_export_snapshot(), current_setting('server_version_num')::integer",
        )
        .fetch_one(link)
        .await?;
        Ok(Shared {
            id,
            server: u32::try_from(version / 10_000).unwrap_or(0),
        })
    }

    /// The rows of each table.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rows(&mut self) -> Result<BTreeMap<String, u64>, Error> {
        let mut found = BTreeMap::new();
        for table in self.tables().await? {
            let sql = format!(
                "SELECT CAST(COUNT(*) AS BIGINT) FROM \"{}\"",
                table.replace('"', "\"\"")
            );
            let sql = AssertSqlSafe(sql);
            let rows: i64 = match self.link() {
                Link::Postgres(link) => sqlx::query_scalar(sql).fetch_one(link).await?,
                Link::Sqlite(link) => sqlx::query_scalar(sql).fetch_one(link).await?,
            };
            found.insert(table, u64::try_from(rows).unwrap_or(0));
        }
        Ok(found)
    }

    /// The names of the tables, without those that an index keeps for itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tables(&mut self) -> Result<Vec<String>, Error> {
        Ok(match self.link() {
            Link::Postgres(link) => {
                let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                     WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') ORDER BY 1";
                sqlx::query_scalar(sql).fetch_all(link).await?
            }
            Link::Sqlite(link) => {
                let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
                     AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1";
                sqlx::query_scalar(sql).fetch_all(link).await?
            }
        })
    }

    /// The number of the last migration; `None` in a database that is not Convoke's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn schema(&mut self) -> Result<Option<i64>, Error> {
        const SQL: &str = "SELECT CAST(MAX(version) AS BIGINT) FROM _sqlx_migrations WHERE success";
        if !self
            .tables()
            .await?
            .iter()
            .any(|one| one == "_sqlx_migrations")
        {
            return Ok(None);
        }
        Ok(match self.link() {
            Link::Postgres(link) => sqlx::query_scalar(SQL).fetch_one(link).await?,
            Link::Sqlite(link) => sqlx::query_scalar(SQL).fetch_one(link).await?,
        })
    }

    /// The id by which backups know the database, once it has one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn identity(&mut self) -> Result<Option<Uuid>, Error> {
        const SQL: &str = "SELECT value FROM meta WHERE name = 'database_id'";
        let found: Option<String> = match self.link() {
            Link::Postgres(link) => sqlx::query_scalar(SQL).fetch_optional(link).await?,
            Link::Sqlite(link) => sqlx::query_scalar(SQL).fetch_optional(link).await?,
        };
        Ok(found.and_then(|id| id.parse().ok()))
    }

    /// Gives the database this id, if it has none.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub async fn give_identity(&mut self, id: Uuid) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO meta (name, value) VALUES ('database_id', $1) ON CONFLICT (name) DO NOTHING";
        let id = id.to_string();
        match self.link() {
            Link::Postgres(link) => sqlx::query(SQL).bind(id).execute(link).await.map(|_| ())?,
            Link::Sqlite(link) => sqlx::query(SQL).bind(id).execute(link).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Takes the id away: what was restored lives beside the one that the backup was made of, until somebody says otherwise.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_identity(&mut self) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM meta WHERE name = 'database_id'";
        match self.link() {
            Link::Postgres(link) => sqlx::query(SQL).execute(link).await.map(|_| ())?,
            Link::Sqlite(link) => sqlx::query(SQL).execute(link).await.map(|_| ())?,
        }
        Ok(())
    }

    /// The next uploaded files by key, after this one; none at the end, or in a schema that has no table for them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn files_after(&mut self, key: &str) -> Result<Vec<FileRow>, Error> {
        const SQL: &str = "SELECT storage_key, sha256 FROM (\
             SELECT storage_key, sha256 FROM attachments WHERE storage_key > $1 UNION ALL \
             SELECT avatar_key, avatar_sha256 FROM users WHERE avatar_key > $1) files ORDER BY storage_key LIMIT 500";
        if !self.tables().await?.iter().any(|one| one == "attachments") {
            return Ok(Vec::new());
        }
        let rows: Vec<(String, Vec<u8>)> = match self.link() {
            Link::Postgres(link) => sqlx::query_as(SQL).bind(key).fetch_all(link).await?,
            Link::Sqlite(link) => sqlx::query_as(SQL).bind(key).fetch_all(link).await?,
        };
        let files = rows
            .into_iter()
            .map(|(key, sha256)| FileRow { key, sha256 });
        Ok(files.collect())
    }

    /// Looks for damage in a SQLite database: what is found, in words.
    ///
    /// # Errors
    /// When the file is no database.
    pub async fn damage(&mut self) -> Result<Option<String>, Error> {
        let Inner::Sqlite(link) = &mut self.0 else {
            return Ok(None);
        };
        let found: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_one(&mut *link)
            .await?;
        if found != "ok" {
            return Ok(Some(found));
        }
        let sql = "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1";
        let broken: Option<String> = sqlx::query_scalar(sql).fetch_optional(link).await?;
        Ok(broken.map(|table| format!("a row of {table} refers to one that is not there")))
    }

    /// How many others use the database; on SQLite only whether.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(&mut self) -> Result<u64, Error> {
        match self.link() {
            Link::Postgres(link) => {
                let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name = 'convoke' AND pid <> pg_backend_pid()";
                let users: i64 = sqlx::query_scalar(sql).fetch_one(link).await?;
                Ok(u64::try_from(users).unwrap_or(0))
            }
            Link::Sqlite(link) => {
                // Leaving the write-ahead log needs the file for oneself, and folds the log in.
                let alone = sqlx::query("PRAGMA journal_mode = DELETE")
                    .execute(link)
                    .await;
                match alone.map_err(Error::from) {
                    Ok(_) => Ok(0),
                    Err(failure) if failure.retry_reason().is_some() => Ok(1),
                    Err(failure) => Err(failure),
                }
            }
        }
    }

    /// Runs a statement of PostgreSQL's that is made of names.
    ///
    /// # Errors
    /// When the server refuses, or it is SQLite.
    pub async fn run_postgres(&mut self, sql: String) -> Result<(), Error> {
        let Inner::Postgres(link) = &mut self.0 else {
            return Err(not("PostgreSQL"));
        };
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(link).await?;
        Ok(())
    }

    /// A list of names that PostgreSQL gives.
    ///
    /// # Errors
    /// As [`Self::run_postgres`].
    pub async fn ask_postgres(&mut self, sql: &'static str) -> Result<Vec<String>, Error> {
        let Inner::Postgres(link) = &mut self.0 else {
            return Err(not("PostgreSQL"));
        };
        Ok(sqlx::query_scalar(sql).fetch_all(link).await?)
    }

    /// Puts the change log of another server into the order of this one, whose transactions are counted anew: its numbers must
    /// be below those to come, or readers would wait for them and take what is new for what is old.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn adopt_change_log(&mut self) -> Result<(), Error> {
        let Inner::Postgres(link) = &mut self.0 else {
            return Ok(());
        };
        // As `copy` does it: the number of times that `seq` steps back keeps the order, and is small. Should it not be, `seq`
        // alone still keeps that of each event.
        sqlx::query(
            "WITH here AS (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin), \
             walked AS (SELECT id, xid, seq, LAG(seq) OVER (ORDER BY xid, seq) AS before FROM changes), \
             numbered AS (SELECT id, SUM(CASE WHEN seq < before THEN 1 ELSE 0 END) OVER (ORDER BY xid, seq)::bigint AS steps \
             FROM walked), \
             most AS (SELECT MAX(steps) AS steps FROM numbered) \
             UPDATE changes SET xid = CASE WHEN most.steps < here.xmin THEN numbered.steps ELSE 0 END \
             FROM here, numbered, most \
             WHERE numbered.id = changes.id AND (SELECT MAX(xid) FROM changes) >= here.xmin",
        )
        .execute(link)
        .await?;
        Ok(())
    }

    /// Ends the connection, and with it a snapshot.
    pub async fn close(self) {
        match self.0 {
            Inner::Postgres(link) => drop(link.close().await),
            Inner::Sqlite(link) => drop(link.close().await),
        }
    }

    fn link(&mut self) -> Link<'_> {
        match &mut self.0 {
            Inner::Postgres(link) => Link::Postgres(PostgresLink::direct(link)),
            Inner::Sqlite(link) => Link::Sqlite(link),
        }
    }
}

fn not(engine: &str) -> Error {
    Error::Corrupt(format!("the database is not {engine}"))
}
