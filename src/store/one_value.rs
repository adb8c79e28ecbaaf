//! All rows of an answer as one JSON value, where rows are dear.
//!
//! sqlx hands SQLite's rows from thread to thread one by one, which costs more than to find them. PostgreSQL's come as rows.

use sqlx::{FromRow, Row as _, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use super::error::Error;

/// What a row of an answer holds: one thing, or on SQLite all of them.
pub(super) enum Given<T> {
    One(T),
    All(String),
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Given<T> {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        T::from_row(row).map(Self::One)
    }
}

impl<T> FromRow<'_, SqliteRow> for Given<T> {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        row.try_get(0).map(Self::All)
    }
}

/// Everything that was given; `read` reads a JSON value.
pub(super) fn all<T>(
    given: Vec<Given<T>>,
    read: impl Fn(&str) -> Result<Vec<T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut things = Vec::new();
    for one in given {
        match one {
            Given::One(thing) => things.push(thing),
            Given::All(text) => things.append(&mut read(&text)?),
        }
    }
    Ok(things)
}

/// An id, as `hex()` writes it.
pub(super) fn id(text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(corrupt)
}

/// An instant, as SQLite keeps it.
pub(super) fn instant(micros: i64) -> Result<jiff::Timestamp, Error> {
    jiff::Timestamp::from_microsecond(micros).map_err(corrupt)
}

/// Something in a row that no writer writes.
pub(super) fn corrupt(failure: impl std::fmt::Display) -> Error {
    Error::Corrupt(failure.to_string())
}
