//! A batch of rows and the progress that it means, in one commit.

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, SqliteConnection, postgres::PgDatabaseError,
    sqlite::SqliteArguments,
};

use super::{
    CopyError,
    cell::Cell,
    progress::Progress,
    schema::Table,
    side::{PROGRESS, Side},
};
use crate::store::error::Error;

/// What a `COPY … (FORMAT binary)` begins with: its signature, no flags, no extension.
const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const BINARY_END: [u8; 2] = (-1_i16).to_be_bytes();

/// SQLite's limit of parameters in one statement is 32,766.
const PARAMETERS: usize = 30_000;

const NOTE: &str = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

impl Side {
    /// Notes the progress alone.
    pub(super) async fn note(&mut self, progress: &Progress) -> Result<(), CopyError> {
        let note = progress.to_text()?;
        let done = match self {
            Self::Postgres(link) => sqlx::query(NOTE)
                .persistent(false)
                .bind(PROGRESS)
                .bind(note)
                .execute(link)
                .await
                .map(drop),
            Self::Sqlite(link) => sqlx::query(NOTE)
                .bind(PROGRESS)
                .bind(note)
                .execute(link)
                .await
                .map(drop),
        };
        Ok(done.map_err(Error::from)?)
    }

    /// Writes the rows and notes the progress, both or neither.
    pub(super) async fn write(
        &mut self,
        table: &Table,
        rows: Vec<Vec<Cell>>,
        progress: &Progress,
    ) -> Result<(), CopyError> {
        let note = progress.to_text()?;
        match self {
            Self::Postgres(link) => {
                // Before the transaction, which it should not hold open.
                let data = binary(table, &rows)?;
                let mut tx = link.begin().await.map_err(Error::from)?;
                if !rows.is_empty() {
                    copy_in(&mut tx, table, data).await?;
                }
                sqlx::query(NOTE)
                    .persistent(false)
                    .bind(PROGRESS)
                    .bind(note)
                    .execute(&mut *tx)
                    .await
                    .map_err(Error::from)?;
                tx.commit().await.map_err(Error::from)?;
            }
            Self::Sqlite(link) => {
                let mut tx = link
                    .begin_with("BEGIN IMMEDIATE")
                    .await
                    .map_err(Error::from)?;
                insert(&mut tx, table, rows).await?;
                sqlx::query(NOTE)
                    .bind(PROGRESS)
                    .bind(note)
                    .execute(&mut *tx)
                    .await
                    .map_err(Error::from)?;
                tx.commit().await.map_err(Error::from)?;
            }
        }
        Ok(())
    }
}

fn binary(table: &Table, rows: &[Vec<Cell>]) -> Result<Vec<u8>, CopyError> {
    let mut data = BINARY_HEAD.to_vec();
    let count = i16::try_from(table.columns.len())
        .map_err(|_| CopyError::Refused(format!("{} has too many columns", table.name)))?;
    for cells in rows {
        data.extend(count.to_be_bytes());
        for (cell, column) in cells.iter().zip(&table.columns) {
            cell.put_binary(column.kind, &mut data)
                .map_err(|failure| CopyError::value(table, cells, &failure))?;
        }
    }
    data.extend(BINARY_END);
    Ok(data)
}

async fn copy_in(link: &mut PgConnection, table: &Table, data: Vec<u8>) -> Result<(), CopyError> {
    let sql = format!(
        "COPY \"{}\" ({}) FROM STDIN (FORMAT binary)",
        table.name,
        table.column_list()
    );
    let mut copy = link.copy_in_raw(&sql).await.map_err(Error::from)?;
    copy.send(data).await.map_err(Error::from)?;
    match copy.finish().await {
        Ok(_) => Ok(()),
        Err(failure) => Err(refused(failure)),
    }
}

/// What PostgreSQL says of a row that it does not take: which column it is, and in which line of the batch.
fn refused(failure: sqlx::Error) -> CopyError {
    let said = failure
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .and_then(|error| Some(format!("{} ({})", error.message(), error.r#where()?)));
    match said {
        Some(said) => CopyError::Refused(said),
        None => Error::from(failure).into(),
    }
}

/// Within a transaction the index of words is written in the order of its numbers: private events first, each kind by start.
/// Whatever is not in this order is a piece of its own, to be merged with all others.
fn sort_for_words(table: &Table, rows: &mut [Vec<Cell>]) {
    let place = |name| table.columns.iter().position(|column| column.name == name);
    if table.name == "events"
        && let (Some(visibility), Some(start)) = (place("visibility"), place("start_utc"))
    {
        rows.sort_by(|one, other| {
            let start = || one[start].cmp(&other[start]);
            one[visibility].cmp(&other[visibility]).then_with(start)
        });
    }
}

/// Many rows a statement: one by one each would cost a round trip to SQLite's thread.
async fn insert(
    link: &mut SqliteConnection,
    table: &Table,
    mut rows: Vec<Vec<Cell>>,
) -> Result<(), CopyError> {
    sort_for_words(table, &mut rows);
    let width = table.columns.len();
    let most = (PARAMETERS / width.max(1)).max(1);
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut arguments = SqliteArguments::default();
        let mut count = 0;
        for cells in rows.by_ref().take(most) {
            count += 1;
            for (cell, column) in cells.into_iter().zip(&table.columns) {
                cell.bind_sqlite(column.kind, &mut arguments)
                    .map_err(|failure| CopyError::value(table, &[], &failure))?;
            }
        }
        let row = format!("({})", vec!["?"; width].join(","));
        let sql = format!(
            "INSERT INTO \"{}\" ({}) VALUES {}",
            table.name,
            table.column_list(),
            vec![row; count].join(",")
        );
        sqlx::query_with(AssertSqlSafe(sql), arguments)
            .execute(&mut *link)
            .await
            .map_err(Error::from)?;
    }
    Ok(())
}
