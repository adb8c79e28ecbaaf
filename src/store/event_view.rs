//! An event as it is shown: what the row holds goes to the client with as few copies and readings as the engine allows.
//!
//! Numbers, texts and JSON come as they are kept; nothing is read that is only passed on.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{ColumnIndex, Database, Decode, FromRow, Row, Type, types::Json};
use uuid::Uuid;

use super::{
    columns::Timestamp,
    error::Error,
    one_value::{id, instant},
};
use crate::domain::event::{EventStatus, EventView, Visibility};

/// The columns of an event that is shown, of a table called `e`.
macro_rules! view_columns {
    () => {
        "e.id, e.uid, e.organizer_id, e.title, e.description, e.location, e.start_local, e.start_zone, e.end_local, e.end_zone, \
         e.start_utc, e.end_utc, e.capacity, e.seats_taken, e.waitlist_enabled, e.visibility, e.status, e.tags, e.metadata, \
         e.version, e.created_at, e.updated_at"
    };
}
pub(super) use view_columns;

/// How many they are.
pub(super) const VIEW_COLUMNS: usize = 22;

/// The same as members of a JSON array (SQLite), of a table of this name; see [`Cells`].
macro_rules! view_cells {
    ($e:literal) => {
        concat!(
            "hex(", $e, ".id)", ", ", "", $e, ".uid", ", ", "hex(", $e, ".organizer_id)", ", ", "", $e, ".title", ", ", "", $e, ".description", ", ", "", $e, ".location", ", ", "", $e, ".start_local", ", ", "", $e, ".start_zone", ", ", "", $e, ".end_local", ", ", "", $e, ".end_zone", ", ", "", $e, ".start_utc", ", ", "", $e, ".end_utc", ", ", "", $e, ".capacity", ", ", "", $e, ".seats_taken", ", ", "", $e, ".waitlist_enabled", ", ", "", $e, ".visibility", ", ", "", $e, ".status", ", ", "json(", $e, ".tags)", ", ", "json(", $e, ".metadata)", ", ", "", $e, ".version", ", ", "", $e, ".created_at", ", ", "", $e, ".updated_at"
        )
    };
}
pub(super) use view_cells;

/// A row of PostgreSQL's.
#[derive(Debug)]
pub(super) struct ViewRow(pub(super) EventView);

impl<'r, R: Row> FromRow<'r, R> for ViewRow
where
    usize: ColumnIndex<R>,
    Uuid: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Timestamp: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    bool: Decode<'r, R::Database> + Type<R::Database>,
    Visibility: Decode<'r, R::Database> + Type<R::Database>,
    EventStatus: Decode<'r, R::Database> + Type<R::Database>,
    Json<Box<RawValue>>: Decode<'r, R::Database> + Type<R::Database>,
    R::Database: Database,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        // By number: to look each of many columns up by its name takes longer than to read it.
        Ok(Self(EventView {
            id: row.try_get(0)?,
            uid: row.try_get(1)?,
            organizer_id: row.try_get(2)?,
            title: row.try_get(3)?,
            description: row.try_get(4)?,
            location: row.try_get(5)?,
            start_local: row.try_get(6)?,
            start_zone: row.try_get(7)?,
            end_local: row.try_get(8)?,
            end_zone: row.try_get(9)?,
            start_utc: row.try_get::<Timestamp, _>(10)?.0,
            end_utc: row.try_get::<Timestamp, _>(11)?.0,
            capacity: row.try_get(12)?,
            seats_taken: row.try_get(13)?,
            waitlist_enabled: row.try_get(14)?,
            visibility: row.try_get(15)?,
            status: row.try_get(16)?,
            tags: row.try_get::<Json<_>, _>(17)?.0,
            metadata: row.try_get::<Json<_>, _>(18)?.0,
            version: row.try_get(19)?,
            created_at: row.try_get::<Timestamp, _>(20)?.0,
            updated_at: row.try_get::<Timestamp, _>(21)?.0,
        }))
    }
}

/// What `view_cells!` makes, in its order.
#[derive(Deserialize)]
pub(super) struct Cells<'a>(
    #[serde(borrow)] Cow<'a, str>,
    String,
    #[serde(borrow)] Cow<'a, str>,
    String,
    String,
    String,
    String,
    Option<String>,
    String,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    i64,
    i64,
    Visibility,
    EventStatus,
    Box<RawValue>,
    Box<RawValue>,
    i64,
    i64,
    i64,
);

impl TryFrom<Cells<'_>> for EventView {
    type Error = Error;

    fn try_from(cells: Cells<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: id(&cells.0)?,
            uid: cells.1,
            organizer_id: id(&cells.2)?,
            title: cells.3,
            description: cells.4,
            location: cells.5,
            start_local: cells.6,
            start_zone: cells.7,
            end_local: cells.8,
            end_zone: cells.9,
            start_utc: instant(cells.10)?,
            end_utc: instant(cells.11)?,
            capacity: cells.12,
            seats_taken: cells.13,
            waitlist_enabled: cells.14 != 0,
            visibility: cells.15,
            status: cells.16,
            tags: cells.17,
            metadata: cells.18,
            version: cells.19,
            created_at: instant(cells.20)?,
            updated_at: instant(cells.21)?,
        })
    }
}
