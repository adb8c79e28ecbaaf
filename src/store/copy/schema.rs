//! What there is to copy, read from the databases themselves: a table that a migration adds is copied without a word here.

use std::collections::{BTreeMap, BTreeSet};

use super::{CopyError, cell::Kind, side::Side};
use crate::store::{engine::Engine, error::Error};

/// Tables that are not copied, and why. Neither are SQLite's virtual tables and what lies behind them: their triggers fill them.
pub const TABLES_LEFT_OUT: &[(&str, &str)] = &[
    (
        "_sqlx_migrations",
        "each database has its own, and both must say the same",
    ),
    (
        "backups",
        "they are backups of the other database, and none of this one",
    ),
    (
        "leases",
        "they say which of the other database's replicas does a job",
    ),
];

/// Columns that are not copied, and why.
pub const COLUMNS_LEFT_OUT: &[(&str, &str)] = &[
    (
        "events.row_id",
        "SQLite's own number of the row, which ties it to the full-text index",
    ),
    ("events.search", "PostgreSQL computes it from search_words"),
];

/// The log's order is `(xid, seq)`, which is not that of its key.
const CHANGE_LOG: &str = "changes";

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A table and how to walk through it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// Those that are copied, by name.
    pub(super) columns: Vec<Column>,
    /// By what it is walked.
    pub(super) key: Vec<Column>,
    /// The column that numbers new rows.
    pub(super) numbered: Option<String>,
}

impl Table {
    pub(super) fn is_change_log(&self) -> bool {
        self.name == CHANGE_LOG
    }

    pub(super) fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|one| one.name == column)
    }

    pub(super) fn column_list(&self) -> String {
        names(&self.columns)
    }
}

/// Names as a list for a statement. They come from the catalogue of a schema that is our own.
pub(super) fn names(columns: &[Column]) -> String {
    let quoted: Vec<String> = columns
        .iter()
        .map(|one| format!("\"{}\"", one.name))
        .collect();
    quoted.join(", ")
}

/// One row of the catalogue.
#[derive(sqlx::FromRow)]
struct CatalogueRow {
    table_name: String,
    column_name: String,
    type_name: String,
    /// From 1 in the primary key, 0 outside it.
    key_place: i64,
    numbered: bool,
}

const POSTGRES_COLUMNS: &str = "SELECT c.relname::text AS table_name, a.attname::text AS column_name, \
     format_type(a.atttypid, a.atttypmod) AS type_name, \
     coalesce(array_position(i.indkey::int2[], a.attnum), -1)::bigint + 1 AS key_place, \
     a.attidentity <> '' AS numbered \
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') ORDER BY c.relname, a.attname";
const POSTGRES_REFERENCES: &str = "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint \
     WHERE contype = 'f' AND connamespace = current_schema()::regnamespace";
const SQLITE_COLUMNS: &str = "SELECT t.name AS table_name, c.name AS column_name, c.type AS type_name, \
     c.pk AS key_place, c.pk > 0 AND s.sql LIKE '%AUTOINCREMENT%' AS numbered \
     FROM pragma_table_list t JOIN sqlite_schema s ON s.name = t.name JOIN pragma_table_info(t.name) c \
     WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY t.name, c.name";
const SQLITE_REFERENCES: &str = "SELECT t.name, f.\"table\" FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) f \
     WHERE t.schema = 'main' AND t.type = 'table'";

/// Every table to be copied, each after those that it refers to.
pub(super) async fn tables(side: &mut Side) -> Result<Vec<Table>, CopyError> {
    let (rows, references) = catalogue(side).await?;
    let mut tables: BTreeMap<String, Vec<CatalogueRow>> = BTreeMap::new();
    let left_out = |list: &[(&str, &str)], name: &str| list.iter().any(|(one, _)| *one == name);
    for row in rows {
        if !left_out(TABLES_LEFT_OUT, &row.table_name) {
            tables.entry(row.table_name.clone()).or_default().push(row);
        }
    }
    let engine = side.engine();
    let described = tables
        .into_iter()
        .map(|(name, rows)| table(engine, name, &rows))
        .collect::<Result<_, _>>()?;
    in_order(described, &references)
}

async fn catalogue(side: &mut Side) -> Result<(Vec<CatalogueRow>, Vec<(String, String)>), Error> {
    Ok(match side {
        Side::Postgres(link) => (
            sqlx::query_as(POSTGRES_COLUMNS)
                .persistent(false)
                .fetch_all(&mut *link)
                .await?,
            sqlx::query_as(POSTGRES_REFERENCES)
                .persistent(false)
                .fetch_all(link)
                .await?,
        ),
        Side::Sqlite(link) => (
            sqlx::query_as(SQLITE_COLUMNS).fetch_all(&mut *link).await?,
            sqlx::query_as(SQLITE_REFERENCES).fetch_all(link).await?,
        ),
    })
}

fn table(engine: Engine, name: String, rows: &[CatalogueRow]) -> Result<Table, CopyError> {
    let column = |row: &CatalogueRow| {
        let kind = match engine {
            Engine::Postgres => Kind::of_postgres(&row.type_name),
            Engine::Sqlite => Kind::of_sqlite(&row.type_name),
        };
        let name = row.column_name.clone();
        kind.map(|kind| Column { name, kind }).ok_or_else(|| {
            let (table, column, kind) = (&row.table_name, &row.column_name, &row.type_name);
            CopyError::Refused(format!(
                "{table}.{column} is of the type {kind}, which cannot be copied"
            ))
        })
    };
    let is_copied = |row: &&CatalogueRow| {
        let full = format!("{name}.{}", row.column_name);
        !COLUMNS_LEFT_OUT.iter().any(|(one, _)| *one == full)
    };
    let columns: Vec<Column> = rows
        .iter()
        .filter(is_copied)
        .map(column)
        .collect::<Result<_, _>>()?;
    let mut in_key: Vec<&CatalogueRow> = rows.iter().filter(|row| row.key_place > 0).collect();
    in_key.sort_by_key(|row| row.key_place);
    let mut key: Vec<Column> = in_key
        .iter()
        .map(|row| column(row))
        .collect::<Result<_, _>>()?;
    if name == CHANGE_LOG {
        key = ["xid", "seq"]
            .map(|name| Column {
                name: name.to_owned(),
                kind: Kind::Integer,
            })
            .to_vec();
    }
    if key.is_empty() {
        return Err(CopyError::Refused(format!(
            "the table {name} has no primary key to walk it by"
        )));
    }
    let numbered = rows
        .iter()
        .find(|row| row.numbered)
        .map(|row| row.column_name.clone());
    Ok(Table {
        name,
        columns,
        key,
        numbered,
    })
}

/// Sorts tables so that each comes after those that it refers to.
fn in_order(
    mut tables: Vec<Table>,
    references: &[(String, String)],
) -> Result<Vec<Table>, CopyError> {
    let mut sorted: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let waiting: BTreeSet<String> = tables.iter().map(|table| table.name.clone()).collect();
        let waits = |table: &Table| {
            references
                .iter()
                .any(|(from, to)| *from == table.name && to != from && waiting.contains(to))
        };
        let (later, now): (Vec<Table>, Vec<Table>) = tables.into_iter().partition(waits);
        if now.is_empty() {
            return Err(CopyError::Refused(
                "tables refer to each other in a circle".to_owned(),
            ));
        }
        sorted.extend(now);
        tables = later;
    }
    Ok(sorted)
}

/// Holds the two schemas against each other, and gives both the kinds that the better informed one knows: SQLite tells no id
/// from other bytes.
pub(super) fn agree(from: &mut [Table], to: &mut [Table]) -> Result<(), CopyError> {
    let differ = |what: String| Err(CopyError::Refused(format!("the schemas differ: {what}")));
    let names = |tables: &[Table]| -> BTreeSet<String> {
        tables.iter().map(|table| table.name.clone()).collect()
    };
    if let Some(name) = names(from).symmetric_difference(&names(to)).next() {
        return differ(format!("the table {name} is in one of them only"));
    }
    for one in from {
        let Some(other) = to.iter_mut().find(|other| other.name == one.name) else {
            continue;
        };
        if one.column_list() != other.column_list() {
            return differ(format!(
                "{} has the columns {} here and {} there",
                one.name,
                one.column_list(),
                other.column_list()
            ));
        }
        for (here, there) in one.columns.iter_mut().zip(&mut other.columns) {
            if !here.kind.fits(there.kind) {
                return differ(format!("{}.{} is of another type", one.name, here.name));
            }
            if matches!(here.kind, Kind::Bytes | Kind::Text | Kind::Integer) {
                here.kind = there.kind;
            } else {
                there.kind = here.kind;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(name: &str, columns: &[(&str, Kind)]) -> Table {
        let columns: Vec<Column> = columns
            .iter()
            .map(|(name, kind)| Column {
                name: (*name).to_owned(),
                kind: *kind,
            })
            .collect();
        Table {
            name: name.to_owned(),
            key: columns.clone(),
            columns,
            numbered: None,
        }
    }

    #[test]
    fn a_table_comes_after_those_it_refers_to() {
        let tables = ["a", "b", "c"].map(|name| bare(name, &[])).to_vec();
        let refer = |pairs: &[(&str, &str)]| {
            let owned: Vec<(String, String)> = pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect();
            in_order(tables.clone(), &owned)
        };
        let sorted = refer(&[("a", "b"), ("a", "a"), ("b", "c")]).unwrap();
        assert_eq!(
            sorted
                .iter()
                .map(|one| one.name.as_str())
                .collect::<Vec<_>>(),
            ["c", "b", "a"]
        );
        assert!(refer(&[("a", "b"), ("b", "a")]).is_err());
    }

    #[test]
    fn kinds_come_from_the_side_that_knows_them() {
        let known = [
            ("id", Kind::Uuid),
            ("n", Kind::Integer),
            ("on", Kind::Boolean),
        ];
        let plain = [
            ("id", Kind::Bytes),
            ("n", Kind::Integer),
            ("on", Kind::Integer),
        ];
        for (from, to) in [(&known, &plain), (&plain, &known)] {
            let (mut from, mut to) = ([bare("t", from)], [bare("t", to)]);
            agree(&mut from, &mut to).unwrap();
            for side in [&from, &to] {
                let kinds: Vec<Kind> = side[0].columns.iter().map(|one| one.kind).collect();
                assert_eq!(kinds, [Kind::Uuid, Kind::Integer, Kind::Boolean]);
            }
        }
        let other = [
            ("id", Kind::Bytes),
            ("n", Kind::Text),
            ("on", Kind::Integer),
        ];
        assert!(agree(&mut [bare("t", &known)], &mut [bare("t", &other)]).is_err());
        assert!(agree(&mut [bare("t", &known)], &mut [bare("u", &known)]).is_err());
        assert!(agree(&mut [bare("t", &known)], &mut [bare("t", &known[..1])]).is_err());
    }
}
