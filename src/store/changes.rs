//! The change log: written with every change, in its transaction, together with the deliveries it causes.

use serde_json::Value;
use sqlx::{FromRow, query, query_as, types::Json};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Session, Sql, reading, statement},
    error::Error,
    replica::listing,
};
use crate::{
    domain::{
        change::{Audience, Change, ChangeKind, INBOX, Position},
        new_id,
        page::{Page, PageRequest},
    },
    telemetry::traces,
};

/// A change about to be written.
pub(super) struct NewChange {
    pub kind: ChangeKind,
    pub event_id: Uuid,
    pub user_id: Option<Uuid>,
    pub version: i64,
    pub actor_id: Option<Uuid>,
    pub data: Value,
    pub at: jiff::Timestamp,
    pub audience: Audience,
}

#[derive(FromRow)]
struct ChangeRow {
    id: Uuid,
    xid: i64,
    seq: i64,
    kind: ChangeKind,
    event_id: Uuid,
    user_id: Option<Uuid>,
    version: i64,
    actor_id: Option<Uuid>,
    data: Json<Value>,
    created_at: Timestamp,
}

impl From<ChangeRow> for Change {
    fn from(row: ChangeRow) -> Self {
        Self {
            id: row.id,
            position: Position {
                transaction: row.xid,
                sequence: row.seq,
            },
            kind: row.kind,
            event_id: row.event_id,
            user_id: row.user_id,
            version: row.version,
            actor_id: row.actor_id,
            data: row.data.0,
            created_at: row.created_at.0,
        }
    }
}

/// Appends a change and queues a delivery to everybody it concerns.
pub(super) async fn append(session: &mut Session, change: NewChange) -> Result<(), Error> {
    // SQLite's log begins with one that was copied from PostgreSQL, and goes on behind it.
    const SQL: Sql = Sql::each(
        "INSERT INTO changes (id, kind, event_id, user_id, version, actor_id, data, traceparent, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        "INSERT INTO changes (id, kind, event_id, user_id, version, actor_id, data, traceparent, created_at, xid) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, (SELECT COALESCE(MAX(xid), 0) FROM changes))",
    );
    let id = new_id();
    let traceparent = traces::current_traceparent();
    statement!(session, "changes.append", SQL, |sql, link| {
        query(sql)
            .bind(id)
            .bind(change.kind)
            .bind(change.event_id)
            .bind(change.user_id)
            .bind(change.version)
            .bind(change.actor_id)
            .bind(Json(&change.data))
            .bind(traceparent.as_deref())
            .bind(Timestamp(change.at))
            .execute(link)
    })?;
    match change.audience {
        Audience::Nobody => Ok(()),
        Audience::Person(recipient) => queue_one(session, id, &change, recipient).await,
        Audience::Participants => queue_participants(session, id, &change).await,
    }
}

async fn queue_one(
    session: &mut Session,
    id: Uuid,
    change: &NewChange,
    recipient: Uuid,
) -> Result<(), Error> {
    const SQL: Sql = Sql::same(
        "INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at) \
         VALUES ($1, $2, $3, $4, 'pending', 0, $5, $5)",
    );
    statement!(session, "deliveries.queue", SQL, |sql, link| {
        query(sql)
            .bind(id)
            .bind(recipient)
            .bind(change.event_id)
            .bind(INBOX)
            .bind(Timestamp(change.at))
            .execute(link)
    })?;
    Ok(())
}

async fn queue_participants(
    session: &mut Session,
    id: Uuid,
    change: &NewChange,
) -> Result<(), Error> {
    const SQL: Sql = Sql::same(
        "INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at) \
         SELECT $1, p.user_id, p.event_id, $3, 'pending', 0, $4, $4 FROM participants p \
         WHERE p.event_id = $2 AND p.user_id <> $5 ORDER BY p.user_id",
    );
    let actor = change.actor_id.unwrap_or(Uuid::nil());
    statement!(
        session,
        "deliveries.queue_participants",
        SQL,
        |sql, link| {
            query(sql)
                .bind(id)
                .bind(change.event_id)
                .bind(INBOX)
                .bind(Timestamp(change.at))
                .bind(actor)
                .execute(link)
        }
    )?;
    Ok(())
}

impl Store {
    /// An event's history, oldest first. The event's row is locked by each of its writers, so whatever commits later stands
    /// later, and nobody can step over a transaction that still runs. For the same reason the entries' own numbers are in that
    /// order, and a page goes on from a number: it outlives a move to another database, which the transaction's does not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn event_history(
        &self,
        event_id: Uuid,
        page: &PageRequest<Position>,
    ) -> Result<Page<Change, Position>, Error> {
        const SQL: Sql = Sql::same(
            "SELECT id, xid, seq, kind, event_id, user_id, version, actor_id, data, created_at FROM changes \
             WHERE event_id = $1 AND seq > $2 ORDER BY xid, seq LIMIT $3",
        );
        let after = page.after.map_or(-1, |position| position.sequence);
        let rows = listing!(self, |session| {
            statement!(session, "changes.of_event", SQL, |sql, link| {
                query_as::<_, ChangeRow>(sql)
                    .bind(event_id)
                    .bind(after)
                    .bind(page.limit + 1)
                    .fetch_all(link)
            })
        })?;
        Ok(Page::from_items(
            rows.into_iter().map(Change::from).collect(),
            page.limit,
            |change: &Change| change.position,
        ))
    }

    /// The changes after `after` in the order of the log, up to `limit`. On PostgreSQL it ends below the oldest transaction
    /// that still runs, so that a reader who goes on from the last position it saw misses nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changes_after(&self, after: Position, limit: i64) -> Result<Vec<Change>, Error> {
        const SQL: Sql = Sql::each(
            "SELECT id, xid, seq, kind, event_id, user_id, version, actor_id, data, created_at FROM changes \
             WHERE (xid, seq) > ($1, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
             ORDER BY xid, seq LIMIT $3",
            "SELECT id, xid, seq, kind, event_id, user_id, version, actor_id, data, created_at FROM changes \
             WHERE (xid, seq) > ($1, $2) ORDER BY xid, seq LIMIT $3",
        );
        let rows = reading!(self, |session| {
            statement!(session, "changes.after", SQL, |sql, link| {
                query_as::<_, ChangeRow>(sql)
                    .bind(after.transaction)
                    .bind(after.sequence)
                    .bind(limit)
                    .fetch_all(link)
            })
        })?;
        Ok(rows.into_iter().map(Change::from).collect())
    }
}
