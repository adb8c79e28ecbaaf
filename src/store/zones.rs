//! When the rules of time zones change: civil times stay, instants move.

use serde_json::json;
use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store,
    changes::{self, NewChange},
    columns::Timestamp,
    engine::{Session, Sql, statement, transaction},
    error::Error,
    event_row, events,
};
use crate::domain::{
    change::{Audience, ChangeKind},
    when::{When, zones_version},
};

/// Events looked at in one transaction.
const BATCH: i64 = 500;

#[derive(FromRow)]
struct ZonedRow {
    id: Uuid,
    start_local: String,
    start_zone: Option<String>,
    end_local: String,
    end_zone: Option<String>,
    start_utc: Timestamp,
    end_utc: Timestamp,
}

impl ZonedRow {
    /// The instants by today's rules, if they are others than those stored.
    fn moved(&self) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
        let start = When::from_parts(&self.start_local, self.start_zone.as_deref())?.instant()?;
        let end = When::from_parts(&self.end_local, self.end_zone.as_deref())?.instant()?;
        ((start, end) != (self.start_utc.0, self.end_utc.0) && end > start).then_some((start, end))
    }
}

impl Store {
    /// Recomputes the instants of all events to come, if this binary's zone rules are others than those they were computed
    /// with. Returns how many moved. May run on several replicas at once, and again after being cut off.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn follow_zone_rules(&self) -> Result<u64, Error> {
        const KNOWN: Sql = Sql::same("SELECT value FROM meta WHERE name = 'zone_rules'");
        const NOTE: Sql = Sql::same(
            "INSERT INTO meta (name, value) VALUES ('zone_rules', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        );
        let known = transaction!(self, "zones.known", |tx| {
            statement!(tx, "meta.zone_rules", KNOWN, |sql, link| {
                sqlx::query_scalar::<_, String>(sql).fetch_optional(link)
            })
        })?;
        if known.as_deref() == Some(zones_version()) {
            return Ok(0);
        }
        let (mut moved, mut after) = (0, Uuid::nil());
        while let Some((count, last)) = self.follow_batch(after).await? {
            moved += count;
            after = last;
        }
        transaction!(self, "zones.note", |tx| {
            statement!(tx, "meta.note_zone_rules", NOTE, |sql, link| query(sql)
                .bind(zones_version())
                .execute(link))
        })?;
        Ok(moved)
    }

    /// The next events after `after`: how many moved, and the last one looked at.
    async fn follow_batch(&self, after: Uuid) -> Result<Option<(u64, Uuid)>, Error> {
        const SELECT: Sql = Sql::same(
            "SELECT id, start_local, start_zone, end_local, end_zone, start_utc, end_utc FROM events \
             WHERE id > $1 AND end_utc > $2 AND start_zone IS NOT NULL ORDER BY id LIMIT $3",
        );
        transaction!(self, "zones.follow", |tx| {
            let now = self.clock().now();
            let rows = statement!(tx, "events.zoned", SELECT, |sql, link| {
                query_as::<_, ZonedRow>(sql)
                    .bind(after)
                    .bind(Timestamp(now))
                    .bind(BATCH)
                    .fetch_all(link)
            })?;
            let Some(last) = rows.last().map(|row| row.id) else {
                return Ok(None);
            };
            let mut moved = 0;
            for row in rows.iter().filter(|row| row.moved().is_some()) {
                moved += move_event(tx, row.id, now).await?;
            }
            Ok(Some((moved, last)))
        })
    }
}

/// Moves an event to the instants of today's rules, and tells its participants; returns 1 if it was still there to move.
async fn move_event(tx: &mut Session, id: Uuid, now: jiff::Timestamp) -> Result<u64, Error> {
    const SQL: Sql = Sql::same(
        "UPDATE events SET start_utc = $2, end_utc = $3, version = $4, updated_at = $5 WHERE id = $1",
    );
    let mut event = match event_row::lock(tx, id).await {
        Ok(event) => event,
        Err(Error::NotFound) => return Ok(0),
        Err(failure) => return Err(failure),
    };
    let period = &mut event.content.period;
    let before = (period.start_utc, period.end_utc);
    let (Some(start), Some(end)) = (period.start.instant(), period.end.instant()) else {
        return Ok(0);
    };
    if (start, end) == before || end <= start {
        return Ok(0);
    }
    (period.start_utc, period.end_utc) = (start, end);
    event.version += 1;
    event.updated_at = now;
    statement!(tx, "events.move", SQL, |sql, link| {
        query(sql)
            .bind(event.id)
            .bind(Timestamp(start))
            .bind(Timestamp(end))
            .bind(event.version)
            .bind(Timestamp(now))
            .execute(link)
    })?;
    let mut data = events::summary(&event);
    data.insert(
        "changes".into(),
        json!({ "start_utc": { "from": before.0, "to": start }, "end_utc": { "from": before.1, "to": end } }),
    );
    let change = NewChange {
        kind: ChangeKind::EventUpdated,
        event_id: event.id,
        user_id: None,
        version: event.version,
        actor_id: None,
        data: serde_json::Value::Object(data),
        at: now,
        audience: Audience::Participants,
    };
    changes::append(tx, change).await?;
    Ok(1)
}
