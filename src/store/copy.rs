//! Copies a whole database into another, on the same engine or the other: how a service outgrows one machine.
//!
//! What there is to copy is read from the databases. Rows go over in batches in the order of their keys; a batch and the note of
//! how far it reaches are one commit in the target, so a copy that was killed goes on where it was. At the end both sides are
//! read again, the source as it is by then, and each table's rows and checksum must agree: a source that was written to
//! meanwhile does not pass.

mod cell;
mod checksum;
mod json;
mod numbers;
mod order;
mod progress;
mod schema;
mod side;
mod verify;
mod write;

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sqlx::error::BoxDynError;

pub use self::checksum::Checksum;
pub use self::schema::{COLUMNS_LEFT_OUT, TABLES_LEFT_OUT};
use self::{
    cell::Cell,
    progress::{Progress, TableProgress},
    schema::Table,
    side::Side,
};
use super::{error::Error, open::Settings};

/// A batch ends at this many bytes, if not by its rows before.
const BATCH_BYTES: usize = 8 << 20;

/// What is copied where.
#[derive(Debug)]
pub struct CopyOptions {
    /// The source.
    pub from: Settings,
    /// The target, whose schema is up to date.
    pub to: Settings,
    /// Rows in one commit.
    pub batch_rows: usize,
}

/// A copy that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It must not, or cannot, be done; a whole sentence.
    #[error("{0}")]
    Refused(String),
    /// Source and target differ, table by table.
    #[error("source and target differ: {}", .0.join("; "))]
    Differs(Vec<String>),
    /// A database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

impl CopyError {
    /// A value that cannot be carried over, with the row that it stands in as far as it can be told: by its ids.
    fn value(table: &Table, cells: &[Cell], failure: &BoxDynError) -> Self {
        let ids = table
            .columns
            .iter()
            .zip(cells)
            .filter_map(|(column, cell)| match cell {
                Cell::Bytes(bytes) if column.name == "id" => {
                    Some(format!(", id {}", uuid::Uuid::from_slice(bytes).ok()?))
                }
                Cell::Integer(number) if column.name == "id" => Some(format!(", id {number}")),
                _ => None,
            });
        let ids: String = ids.collect();
        Self::Refused(format!(
            "a row of {}{ids} cannot be carried over: {failure}",
            table.name
        ))
    }
}

/// How far the copy is.
#[derive(Clone, Copy, Debug)]
pub enum CopyStep<'a> {
    /// A copy that was begun earlier goes on.
    Resumed,
    /// Rows of a table were written.
    Copying {
        /// The table.
        table: &'a str,
        /// Rows written so far, and rows there are.
        rows: (u64, u64),
        /// Those are all.
        done: bool,
    },
    /// Both sides of a table are compared.
    Verifying {
        /// The table.
        table: &'a str,
    },
}

/// What became of a table.
#[derive(Clone, Debug)]
pub struct CopiedTable {
    /// Its name.
    pub table: String,
    /// Rows and checksum, the same on both sides.
    pub checksum: Checksum,
    /// Rows that this run wrote; the others were there from an earlier one.
    pub written: u64,
    /// How long that took.
    pub elapsed: Duration,
}

/// What a copy came to.
#[derive(Clone, Debug)]
pub struct CopyReport {
    /// Each table, in the order in which they were copied.
    pub tables: Vec<CopiedTable>,
    /// How long the comparison took.
    pub verification: Duration,
}

/// The number of the source's schema.
///
/// # Errors
/// When it cannot be opened, is no database of Convoke, or is itself an unfinished copy.
pub async fn source_schema(from: &Settings) -> Result<i64, CopyError> {
    let mut source = Side::source(from).await?;
    let found = async {
        let number = source.schema_number().await?;
        match source.unfinished().await? {
            Some(_) => Err(CopyError::Refused(
                "the source is itself an unfinished copy".to_owned(),
            )),
            None => Ok(number),
        }
    }
    .await;
    source.close().await;
    found
}

/// Copies, verifies, and only then lets the target be served.
///
/// # Errors
/// When the target is neither empty nor a copy of this source that was begun, when a value cannot be carried over, when a
/// database fails, or when the two sides differ in the end.
pub async fn copy(
    options: &CopyOptions,
    told: &mut dyn FnMut(CopyStep<'_>),
) -> Result<CopyReport, CopyError> {
    let mut source = Side::source(&options.from).await?;
    let mut target = Side::target(&options.to).await?;
    let result = between(&mut source, &mut target, options, told).await;
    source.close().await;
    target.close().await;
    result
}

async fn between(
    source: &mut Side,
    target: &mut Side,
    options: &CopyOptions,
    told: &mut dyn FnMut(CopyStep<'_>),
) -> Result<CopyReport, CopyError> {
    let (here, there) = (source.schema_number().await?, target.schema_number().await?);
    if here != there {
        return Err(CopyError::Refused(format!(
            "the source's schema is at version {here} and the target's at {there}; bring both to the same by `convoke migrate`"
        )));
    }
    let mut progress = begin(source, target, options, told).await?;
    source.begin_snapshot().await?;
    let mut from = schema::tables(source).await?;
    let mut to = schema::tables(target).await?;
    schema::agree(&mut from, &mut to)?;
    if progress.tables.is_empty() {
        require_empty(target, &to).await?;
        target.start(&progress).await?;
    }
    let mut tables = Vec::with_capacity(from.len());
    for table in &from {
        let started = Instant::now();
        let written = table_over(source, target, table, &mut progress, options, told).await?;
        tables.push(CopiedTable {
            table: table.name.clone(),
            checksum: Checksum::default(),
            written,
            elapsed: started.elapsed(),
        });
    }
    numbers::carry_over(source, target, &from, &to).await?;
    order::make_room(target).await?;
    source.end().await?;

    let started = Instant::now();
    let both: Vec<(&Table, &Table)> = from
        .iter()
        .filter_map(|here| Some((here, to.iter().find(|there| there.name == here.name)?)))
        .collect();
    let sums = verify::compare(source, target, &both, told).await?;
    for (table, checksum) in tables.iter_mut().zip(sums) {
        table.checksum = checksum;
    }
    target.finish().await?;
    Ok(CopyReport {
        tables,
        verification: started.elapsed(),
    })
}

/// A new copy's progress, or that of the one which is taken up again.
async fn begin(
    source: &mut Side,
    target: &mut Side,
    options: &CopyOptions,
    told: &mut dyn FnMut(CopyStep<'_>),
) -> Result<Progress, CopyError> {
    let identity = source.identity(&options.from).await?;
    if identity == target.identity(&options.to).await? {
        return Err(CopyError::Refused(
            "source and target are the same database".to_owned(),
        ));
    }
    match target.unfinished().await? {
        None => Ok(Progress {
            source: identity,
            ..Progress::default()
        }),
        Some(progress) if progress.source == identity => {
            told(CopyStep::Resumed);
            Ok(progress)
        }
        Some(progress) => Err(CopyError::Refused(format!(
            "the target holds an unfinished copy of another database ({}); empty it first",
            progress.source
        ))),
    }
}

async fn require_empty(target: &mut Side, tables: &[Table]) -> Result<(), CopyError> {
    // What `meta` holds says something of the rows of others.
    for table in tables.iter().filter(|table| table.name != "meta") {
        let rows = target.count(table).await?;
        if rows > 0 {
            let name = &table.name;
            return Err(CopyError::Refused(format!(
                "the target is not empty ({rows} rows in {name}); a copy goes into an empty database"
            )));
        }
    }
    Ok(())
}

/// Copies what is missing of a table; returns how many rows it wrote.
async fn table_over(
    source: &mut Side,
    target: &mut Side,
    table: &Table,
    progress: &mut Progress,
    options: &CopyOptions,
    told: &mut dyn FnMut(CopyStep<'_>),
) -> Result<u64, CopyError> {
    let mut state = progress
        .tables
        .get(&table.name)
        .cloned()
        .unwrap_or_default();
    if state.done {
        return Ok(0);
    }
    let (before, of) = (state.rows, source.count(table).await?);
    let after = state.after.clone();
    let mut rows = source.rows(table, after.as_deref())?;
    loop {
        let (mut batch, mut size) = (Vec::new(), 0);
        while batch.len() < options.batch_rows && size < BATCH_BYTES {
            let Some(row) = rows.next().await else {
                state.done = true;
                break;
            };
            let mut row = row?;
            state.renumber.apply(table, &mut row.cells);
            size += row.cells.iter().map(Cell::size).sum::<usize>();
            state.after = Some(row.key);
            batch.push(row.cells);
        }
        state.rows += batch.len() as u64;
        let rows = (state.rows, of.max(state.rows));
        note(progress, table, &state);
        target.write(table, batch, progress).await?;
        told(CopyStep::Copying {
            table: &table.name,
            rows,
            done: state.done,
        });
        if state.done {
            return Ok(state.rows - before);
        }
    }
}

fn note(progress: &mut Progress, table: &Table, state: &TableProgress) {
    progress.tables.insert(table.name.clone(), state.clone());
}
