//! Which events a list has, each in which state.

use sqlx::{FromRow, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{columns::Timestamp, engine::Engine, error::Error, event_list::EventKey, one_value};
use crate::domain::event::EventMark;

/// A mark, and where it stands in its list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) mark: EventMark,
    pub(super) key: EventKey,
}

impl Listed {
    /// `at` is the value of the column by which the list is sorted, in microseconds since 1970.
    fn new(id: Uuid, version: i64, updated_at: jiff::Timestamp, at: i64) -> Self {
        let mark = EventMark {
            id,
            version,
            updated_at,
        };
        Self {
            mark,
            key: (at, id),
        }
    }
}

/// The statement that selects marks from events `e` in the order of a column: rows on PostgreSQL, and on SQLite all of them as
/// one value.
pub(super) fn marks(engine: Engine, column: &str, events: &str) -> String {
    let marks = format!("SELECT e.id, e.version, e.updated_at, e.{column} AS at FROM {events}");
    match engine {
        Engine::Postgres => marks,
        Engine::Sqlite => format!(
            "SELECT json_group_array(json_array(hex(v.id), v.version, v.updated_at, v.at)) FROM ({marks}) v"
        ),
    }
}

impl FromRow<'_, PgRow> for Listed {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (updated_at, at): (Timestamp, Timestamp) = (row.try_get(2)?, row.try_get(3)?);
        let (id, version) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Self::new(id, version, updated_at.0, at.0.as_microsecond()))
    }
}

/// Reads what SQLite's statement gives.
pub(super) fn read(text: &str) -> Result<Vec<Listed>, Error> {
    let all: Vec<(&str, i64, i64, i64)> = serde_json::from_str(text).map_err(one_value::corrupt)?;
    all.into_iter()
        .map(|(id, version, updated_at, at)| {
            let (id, updated_at) = (one_value::id(id)?, one_value::instant(updated_at)?);
            Ok(Listed::new(id, version, updated_at, at))
        })
        .collect()
}
