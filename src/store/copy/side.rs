//! One of the two databases, on a connection of its own.

use std::str::FromStr as _;

use futures_util::{StreamExt as _, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection,
    postgres::PgArguments,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteSynchronous},
};

use super::{
    CopyError,
    cell::{Cell, Kind},
    schema::{Table, names},
};
use crate::store::{engine::Engine, error::Error, open::Settings};

/// Rows that SQLite's thread reads ahead.
const READ_AHEAD: usize = 512;

/// The row of the target's table `meta` that holds the progress of a copy; it is no row of the source.
pub(super) const PROGRESS: &str = "copy";

/// A connection to either engine.
#[derive(Debug)]
pub(super) enum Side {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A row: the cells of the key, then those of the columns.
pub(super) struct Row {
    pub(super) key: Vec<Cell>,
    pub(super) cells: Vec<Cell>,
}

impl Side {
    /// Opens the source: nothing is made that is not there, and nothing is written.
    pub(super) async fn source(settings: &Settings) -> Result<Self, Error> {
        if !settings.is_sqlite() {
            return Ok(Self::Postgres(settings.direct()?.connect().await?));
        }
        let options = SqliteConnectOptions::from_str(&settings.url)?
            .create_if_missing(false)
            .busy_timeout(settings.busy_timeout)
            .row_buffer_size(READ_AHEAD)
            .pragma("query_only", "on")
            .disable_statement_logging();
        Ok(Self::Sqlite(options.connect().await?))
    }

    /// Opens the target. On SQLite a batch is not awaited on the disk: what a fall of the machine undoes is copied again, for a
    /// batch and its progress are one commit.
    pub(super) async fn target(settings: &Settings) -> Result<Self, Error> {
        if !settings.is_sqlite() {
            return Ok(Self::Postgres(settings.direct()?.connect().await?));
        }
        let options = settings
            .sqlite()?
            .synchronous(SqliteSynchronous::Normal)
            .row_buffer_size(READ_AHEAD);
        Ok(Self::Sqlite(options.connect().await?))
    }

    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Runs a statement without parameters or answer.
    pub(super) async fn run(&mut self, sql: impl Into<String>) -> Result<(), Error> {
        let sql = AssertSqlSafe(sql.into());
        match self {
            Self::Postgres(link) => sqlx::raw_sql(sql).execute(link).await.map(drop)?,
            Self::Sqlite(link) => sqlx::raw_sql(sql).execute(link).await.map(drop)?,
        }
        Ok(())
    }

    /// The only value of the only row, if there is one.
    pub(super) async fn number(&mut self, sql: impl Into<String>) -> Result<Option<i64>, Error> {
        let sql = AssertSqlSafe(sql.into());
        let found = match self {
            Self::Postgres(link) => {
                sqlx::query_scalar::<_, Option<i64>>(sql)
                    .persistent(false)
                    .fetch_optional(link)
                    .await?
            }
            Self::Sqlite(link) => {
                sqlx::query_scalar::<_, Option<i64>>(sql)
                    .persistent(false)
                    .fetch_optional(link)
                    .await?
            }
        };
        Ok(found.flatten())
    }

    pub(super) async fn text(&mut self, sql: &'static str) -> Result<Option<String>, Error> {
        Ok(match self {
            Self::Postgres(link) => {
                sqlx::query_scalar(sql)
                    .persistent(false)
                    .fetch_optional(link)
                    .await?
            }
            Self::Sqlite(link) => {
                sqlx::query_scalar(sql)
                    .persistent(false)
                    .fetch_optional(link)
                    .await?
            }
        })
    }

    /// From now on every statement sees the database as it is at the next one, until [`Self::end`].
    pub(super) async fn begin_snapshot(&mut self) -> Result<(), Error> {
        match self {
            // Reading a large table may take longer than the server allows a statement of the service.
            Self::Postgres(_) => {
                self.run(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0",
                )
                .await
            }
            Self::Sqlite(_) => self.run("BEGIN").await,
        }
    }

    pub(super) async fn end(&mut self) -> Result<(), Error> {
        self.run("COMMIT").await
    }

    pub(super) async fn close(self) {
        // There is nothing left to lose.
        drop(match self {
            Self::Postgres(link) => link.close().await,
            Self::Sqlite(link) => link.close().await,
        });
    }

    /// What tells this database from every other one, as far as it can be known: a copy is taken up again from the same source
    /// only.
    pub(super) async fn identity(&mut self, settings: &Settings) -> Result<String, Error> {
        const SERVER: &str = "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || oid::text \
             FROM pg_database WHERE datname = current_database()";
        const NAMES: &str = "SELECT coalesce(host(inet_server_addr()), 'local') || ':' || coalesce(inet_server_port(), 0)::text \
             || '/' || current_database()";
        if self.engine() == Engine::Sqlite {
            let file = settings.sqlite_file()?;
            let file = file.canonicalize().unwrap_or(file);
            return Ok(format!("sqlite {}", file.display()));
        }
        // Not every server lets everybody ask for the first.
        let found = match self.text(SERVER).await {
            Ok(found) => found,
            Err(Error::Database(_)) => self.text(NAMES).await?,
            Err(failure) => return Err(failure),
        };
        Ok(format!("postgresql {}", found.unwrap_or_default()))
    }

    /// The number of the last migration that was applied.
    pub(super) async fn schema_number(&mut self) -> Result<i64, CopyError> {
        const SQL: &str = "SELECT CAST(max(version) AS BIGINT) FROM _sqlx_migrations WHERE success";
        match self.number(SQL).await {
            Ok(Some(number)) => Ok(number),
            Ok(None) | Err(Error::Database(_)) => Err(CopyError::Refused(
                "it is no database of Convoke: nothing was ever migrated there".to_owned(),
            )),
            Err(failure) => Err(failure.into()),
        }
    }

    pub(super) async fn count(&mut self, table: &Table) -> Result<u64, Error> {
        let sql = format!(
            "SELECT CAST(COUNT(*) AS BIGINT) FROM \"{}\" WHERE {}",
            table.name,
            owned(table)
        );
        Ok(self
            .number(sql)
            .await?
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0))
    }

    /// The rows of a table after a key, in the order of the key.
    pub(super) fn rows<'a>(
        &'a mut self,
        table: &'a Table,
        after: Option<&[Cell]>,
    ) -> Result<BoxStream<'a, Result<Row, CopyError>>, CopyError> {
        let key = names(&table.key);
        let mut condition = owned(table).to_owned();
        if after.is_some() {
            let places: Vec<String> = (1..=table.key.len()).map(|n| format!("${n}")).collect();
            condition = format!("{condition} AND ({key}) > ({})", places.join(", "));
        }
        let sql = AssertSqlSafe(format!(
            "SELECT {key}, {} FROM \"{}\" WHERE {condition} ORDER BY {key}",
            table.column_list(),
            table.name
        ));
        let kinds: Vec<Kind> = table
            .key
            .iter()
            .chain(&table.columns)
            .map(|one| one.kind)
            .collect();
        let split = move |mut cells: Vec<Cell>| {
            let columns = cells.split_off(table.key.len());
            Row {
                key: cells,
                cells: columns,
            }
        };
        let unreadable = move |failure| CopyError::value(table, &[], &failure);
        Ok(match self {
            Self::Postgres(link) => {
                let mut arguments = PgArguments::default();
                for (cell, column) in after.unwrap_or_default().iter().zip(&table.key) {
                    cell.bind_postgres(column.kind, &mut arguments)
                        .map_err(unreadable)?;
                }
                let rows = sqlx::query_with(sql, arguments)
                    .persistent(false)
                    .fetch(link);
                rows.map(move |row| {
                    let row = row.map_err(Error::from)?;
                    let cells = kinds.iter().enumerate();
                    let cells = cells.map(|(n, kind)| Cell::from_postgres(&row, n, *kind));
                    cells
                        .collect::<Result<_, _>>()
                        .map(split)
                        .map_err(unreadable)
                })
                .boxed()
            }
            Self::Sqlite(link) => {
                let mut arguments = SqliteArguments::default();
                for (cell, column) in after.unwrap_or_default().iter().zip(&table.key) {
                    cell.clone()
                        .bind_sqlite(column.kind, &mut arguments)
                        .map_err(unreadable)?;
                }
                let rows = sqlx::query_with(sql, arguments)
                    .persistent(false)
                    .fetch(link);
                rows.map(move |row| {
                    let row = row.map_err(Error::from)?;
                    let cells = (0..kinds.len()).map(|n| Cell::from_sqlite(&row, n));
                    cells
                        .collect::<Result<_, _>>()
                        .map(split)
                        .map_err(unreadable)
                })
                .boxed()
            }
        })
    }
}

/// The condition for the rows that are the table's own: `meta` also holds the progress.
fn owned(table: &Table) -> &'static str {
    if table.name == "meta" {
        "name <> 'copy'"
    } else {
        "TRUE"
    }
}
