//! The change log: written with every change, in its transaction, together with the deliveries it causes.

use serde_json::Value;
use sqlx::{FromRow, query_as, types::Json};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Session, Sql, reading, statement},
    error::Error,
    replica::listing,
    writes::Writes,
};
use crate::domain::{
    change::{Audience, Change, ChangeKind, Position},
    page::{Page, PageRequest},
};

/// A change about to be written.
#[derive(Debug)]
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
    let mut writes = Writes::new();
    writes.change(change);
    writes.write_as(session, "changes.append").await
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
