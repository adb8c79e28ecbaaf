//! An event as a row: reading, inserting, updating.

use serde_json::{Map, Value};
use sqlx::{FromRow, query, query_as, types::Json};
use uuid::Uuid;

use super::{
    columns::Timestamp,
    engine::{Session, Sql, statement},
    error::Error,
};
use crate::domain::{
    event::{Event, EventContent, EventStatus, Visibility},
    when::{Period, When},
};

/// The columns of [`EventRow`], of a table called `e`.
macro_rules! columns {
    () => {
        "e.id, e.uid, e.organizer_id, e.title, e.description, e.location, e.start_local, e.start_zone, e.end_local, \
         e.end_zone, e.start_utc, e.end_utc, e.capacity, e.seats_taken, e.next_place, e.waitlist_enabled, e.visibility, \
         e.status, e.tags, e.metadata, e.version, e.created_at, e.updated_at"
    };
}

#[derive(FromRow)]
pub(super) struct EventRow {
    id: Uuid,
    uid: String,
    organizer_id: Uuid,
    title: String,
    description: String,
    location: String,
    start_local: String,
    start_zone: Option<String>,
    end_local: String,
    end_zone: Option<String>,
    start_utc: Timestamp,
    end_utc: Timestamp,
    capacity: Option<i64>,
    seats_taken: i64,
    next_place: i64,
    waitlist_enabled: bool,
    visibility: Visibility,
    status: EventStatus,
    tags: Json<Vec<String>>,
    metadata: Json<Map<String, Value>>,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl TryFrom<EventRow> for Event {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self, Error> {
        let end = |local: &str, zone: Option<&str>| {
            When::from_parts(local, zone)
                .ok_or_else(|| Error::Corrupt(format!("time of event {}", row.id)))
        };
        let period = Period {
            start: end(&row.start_local, row.start_zone.as_deref())?,
            end: end(&row.end_local, row.end_zone.as_deref())?,
            start_utc: row.start_utc.0,
            end_utc: row.end_utc.0,
        };
        Ok(Self {
            id: row.id,
            uid: row.uid,
            organizer_id: row.organizer_id,
            content: EventContent {
                title: row.title,
                description: row.description,
                location: row.location,
                period,
                capacity: row.capacity,
                waitlist_enabled: row.waitlist_enabled,
                visibility: row.visibility,
                status: row.status,
                tags: row.tags.0,
                metadata: row.metadata.0,
            },
            seats_taken: row.seats_taken,
            next_place: row.next_place,
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

/// Reads an event and keeps it locked until the transaction ends. The first statement of every write to an event or its
/// participants.
///
/// The change log is read in the order of transaction numbers, so those of one event must be numbered in the order in which
/// they commit. `FOR UPDATE` alone does not see to that: one who waits for a row that is being updated is numbered while it
/// waits, and may be overtaken by another who waits. The advisory lock is waited for without a number. (It is taken by the same
/// statement, once the row is found; both are released together, by the end of the transaction.)
pub(super) async fn lock(session: &mut Session, id: Uuid) -> Result<Event, Error> {
    const SQL: Sql = Sql::each(
        concat!(
            "SELECT ",
            columns!(),
            " FROM events e WHERE e.id = $1 AND e.deleted_at IS NULL \
             AND pg_advisory_xact_lock(hashtextextended(e.id::text, 0)) IS NOT NULL FOR UPDATE"
        ),
        concat!(
            "SELECT ",
            columns!(),
            " FROM events e WHERE e.id = $1 AND e.deleted_at IS NULL"
        ),
    );
    let row = statement!(session, "events.lock", SQL, |sql, link| {
        query_as::<_, EventRow>(sql).bind(id).fetch_optional(link)
    })?;
    row.ok_or(Error::NotFound)?.try_into()
}

/// Writes the whole event; its row is locked.
pub(super) async fn update(session: &mut Session, event: &Event) -> Result<(), Error> {
    const SQL: Sql = Sql::same(
        "UPDATE events SET title = $2, description = $3, location = $4, start_local = $5, start_zone = $6, end_local = $7, \
         end_zone = $8, start_utc = $9, end_utc = $10, capacity = $11, seats_taken = $12, waitlist_enabled = $13, \
         visibility = $14, status = $15, tags = $16, metadata = $17, search_words = $18, version = $19, updated_at = $20 \
         WHERE id = $1",
    );
    let content = &event.content;
    statement!(session, "events.update", SQL, |sql, link| {
        query(sql)
            .bind(event.id)
            .bind(&content.title)
            .bind(&content.description)
            .bind(&content.location)
            .bind(content.period.start.local_text())
            .bind(content.period.start.zone_name())
            .bind(content.period.end.local_text())
            .bind(content.period.end.zone_name())
            .bind(Timestamp(content.period.start_utc))
            .bind(Timestamp(content.period.end_utc))
            .bind(content.capacity)
            .bind(event.seats_taken)
            .bind(content.waitlist_enabled)
            .bind(content.visibility)
            .bind(content.status)
            .bind(Json(&content.tags))
            .bind(Json(&content.metadata))
            .bind(content.search_words())
            .bind(event.version)
            .bind(Timestamp(event.updated_at))
            .execute(link)
    })?;
    Ok(())
}

/// Replaces the event's tags.
pub(super) async fn replace_tags(session: &mut Session, event: &Event) -> Result<(), Error> {
    const SQL: Sql = Sql::same("DELETE FROM event_tags WHERE event_id = $1");
    statement!(session, "event_tags.delete", SQL, |sql, link| query(sql)
        .bind(event.id)
        .execute(link))?;
    insert_tags(session, event).await
}

async fn insert_tags(session: &mut Session, event: &Event) -> Result<(), Error> {
    const SQL: Sql = Sql::each(
        "INSERT INTO event_tags (tag, event_id) SELECT tag, $1 FROM jsonb_array_elements_text($2) AS t (tag)",
        "INSERT INTO event_tags (tag, event_id) SELECT value, $1 FROM json_each($2)",
    );
    if event.content.tags.is_empty() {
        return Ok(());
    }
    let tags = Json(&event.content.tags);
    statement!(session, "event_tags.insert", SQL, |sql, link| query(sql)
        .bind(event.id)
        .bind(tags)
        .execute(link))?;
    Ok(())
}
