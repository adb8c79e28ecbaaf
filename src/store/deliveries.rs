//! The outbox: deliveries that are due, claimed with a lease where one by one is needed, tried again until they are dead.

use std::time::Duration;

use sqlx::{FromRow, query, query_as, types::Json};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Engine, Session, Sql, reading, statement, transaction},
    error::Error,
    until,
};
use crate::domain::{change::ChangeKind, clock::later};

/// That a delivery which is named by its number waits. `state = 'pending'` is the condition of several indexes, one of which
/// PostgreSQL would go through as a whole instead, while it believes that nothing waits.
macro_rules! unfinished {
    () => {
        "state NOT IN ('delivered', 'dead')"
    };
}
pub(super) use unfinished;

/// One delivery, claimed.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its number; those of one recipient and event are in the order of the changes.
    pub id: i64,
    /// The change it tells of.
    pub change_id: Uuid,
    /// What happened.
    pub kind: ChangeKind,
    /// To which event.
    pub event_id: Uuid,
    /// Who is told.
    pub recipient_id: Uuid,
    /// The trace context of the request that caused it.
    pub traceparent: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: i64,
    /// When the change was made.
    pub created_at: jiff::Timestamp,
}

/// How long to go on trying.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts before a delivery is dead.
    pub max_attempts: u32,
    /// Pause after the first failure; doubles with each.
    pub base: Duration,
    /// Longest pause.
    pub max: Duration,
}

impl RetryPolicy {
    /// The pause after this many attempts: exponential, with half of it left to chance, so that those who failed together do
    /// not come back together. `None` when there is no further attempt.
    pub fn pause(&self, attempts: i64) -> Option<Duration> {
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        if attempts >= self.max_attempts {
            return None;
        }
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let pause = self.base.saturating_mul(doubled).min(self.max);
        Some(rand::random_range(pause / 2..=pause))
    }
}

/// What waits in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Deliveries not finished.
    pub pending: u64,
    /// Deliveries given up.
    pub dead: u64,
    /// Age of the oldest pending one.
    pub oldest: Duration,
}

/// The oldest is the first that waits. `IS TRUE` keeps the index by channel and time out of it, from which all that wait would be sorted.
const QUEUE_STATE: Sql = Sql::same(
    "SELECT (SELECT CAST(COUNT(*) AS BIGINT) FROM deliveries WHERE state = 'pending' AND channel = $1) AS pending, \
     (SELECT created_at FROM deliveries WHERE state = 'pending' AND (channel = $1) IS TRUE ORDER BY id LIMIT 1) AS oldest, \
     (SELECT CAST(COUNT(*) AS BIGINT) FROM deliveries WHERE state = 'dead' AND channel = $1) AS dead",
);

#[derive(FromRow)]
pub(super) struct DeliveryRow {
    id: i64,
    change_id: Uuid,
    kind: ChangeKind,
    event_id: Uuid,
    recipient_id: Uuid,
    traceparent: Option<String>,
    attempts: i64,
    created_at: Timestamp,
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id,
            change_id: row.change_id,
            kind: row.kind,
            event_id: row.event_id,
            recipient_id: row.recipient_id,
            traceparent: row.traceparent,
            attempt: row.attempts + 1,
            created_at: row.created_at.0,
        }
    }
}

/// One claimer at a time: to skip a row that another is just claiming would let the change after it overtake it. The lock ends
/// with the transaction, so it works behind PgBouncer.
async fn lock_claims(session: &mut Session) -> Result<(), Error> {
    const SQL: Sql = Sql::each("SELECT pg_advisory_xact_lock(7232111)", "");
    if session.engine() == Engine::Postgres {
        statement!(session, "deliveries.lock_claims", SQL, |sql, link| query(
            sql
        )
        .execute(link))?;
    }
    Ok(())
}

/// What is due in a channel, oldest first. One that waits for its retry, or is in other hands, holds back those after it for the
/// same recipient, event and channel.
pub(super) async fn select_due(
    session: &mut Session,
    channel: &str,
    limit: u32,
    now: jiff::Timestamp,
) -> Result<Vec<DeliveryRow>, Error> {
    // Whether one is held back is asked of its own index, one by one: `OFFSET 0` keeps PostgreSQL from joining instead, and what
    // is not finished from taking another index. It believes for minutes that nothing waits, and would go through all that does for
    // each.
    macro_rules! due {
        ($alone:literal) => {
            concat!(
                "SELECT d.id, d.change_id, c.kind, d.event_id, d.recipient_id, c.traceparent, d.attempts, d.created_at \
                 FROM deliveries d JOIN changes c ON c.id = d.change_id \
                 WHERE d.state = 'pending' AND d.channel = $1 AND d.due_at <= $2 AND NOT EXISTS (SELECT 1 FROM deliveries b \
                 WHERE b.finished_at IS NULL AND b.recipient_id = d.recipient_id AND b.event_id = d.event_id \
                 AND b.channel = d.channel AND b.due_at > $2 AND b.id < d.id",
                $alone,
                ") ORDER BY d.id LIMIT $3"
            )
        };
    }
    const SELECT: Sql = Sql::each(
        concat!(due!(" OFFSET 0"), " FOR UPDATE OF d SKIP LOCKED"),
        due!(""),
    );
    lock_claims(session).await?;
    statement!(session, "deliveries.select_due", SELECT, |sql, link| {
        query_as::<_, DeliveryRow>(sql)
            .bind(channel)
            .bind(Timestamp(now))
            .bind(i64::from(limit))
            .fetch_all(link)
    })
}

impl Store {
    /// Claims up to `limit` deliveries that are due, oldest first, for `lease`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_deliveries(
        &self,
        channel: &str,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        const LEASE: Sql = Sql::each(
            "UPDATE deliveries SET due_at = $1, attempts = attempts + 1 \
             WHERE id = ANY (ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text($2) AS t (value)))",
            "UPDATE deliveries SET due_at = $1, attempts = attempts + 1 WHERE id IN (SELECT value FROM json_each($2))",
        );
        transaction!(self, "deliveries.claim", |tx| {
            let now = self.clock().now();
            let rows = select_due(tx, channel, limit, now).await?;
            if !rows.is_empty() {
                let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
                statement!(tx, "deliveries.lease", LEASE, |sql, link| {
                    query(sql)
                        .bind(Timestamp(later(now, lease)))
                        .bind(Json(&ids))
                        .execute(link)
                })?;
            }
            Ok(rows.into_iter().map(Delivery::from).collect())
        })
    }

    /// Notes that an attempt failed: the delivery is due again after a pause, or dead. Returns whether it is dead.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fail_delivery(
        &self,
        delivery: &Delivery,
        error: &str,
        policy: &RetryPolicy,
    ) -> Result<bool, Error> {
        const AGAIN: Sql = Sql::same(concat!(
            "UPDATE deliveries SET due_at = $3, last_error = $4 \
             WHERE id = $1 AND attempts = $2 AND ",
            unfinished!()
        ));
        const BURY: Sql = Sql::same(concat!(
            "UPDATE deliveries SET state = 'dead', finished_at = $3, last_error = $4 \
             WHERE id = $1 AND attempts = $2 AND ",
            unfinished!()
        ));
        let pause = policy.pause(delivery.attempt);
        transaction!(self, "deliveries.fail", |tx| {
            let now = self.clock().now();
            let at = Timestamp(pause.map_or(now, |pause| later(now, pause)));
            match pause {
                Some(_) => statement!(tx, "deliveries.retry_later", AGAIN, |sql, link| {
                    query(sql)
                        .bind(delivery.id)
                        .bind(delivery.attempt)
                        .bind(at)
                        .bind(error)
                        .execute(link)
                })?,
                None => statement!(tx, "deliveries.bury", BURY, |sql, link| {
                    query(sql)
                        .bind(delivery.id)
                        .bind(delivery.attempt)
                        .bind(at)
                        .bind(error)
                        .execute(link)
                })?,
            };
            Ok(pause.is_none())
        })
    }

    /// Gives a claimed delivery back untried.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release_delivery(&self, delivery: &Delivery) -> Result<(), Error> {
        const SQL: Sql = Sql::same(concat!(
            "UPDATE deliveries SET due_at = $3, attempts = attempts - 1 \
             WHERE id = $1 AND attempts = $2 AND ",
            unfinished!()
        ));
        transaction!(self, "deliveries.release", |tx| {
            let now = Timestamp(self.clock().now());
            statement!(tx, "deliveries.give_back", SQL, |sql, link| {
                query(sql)
                    .bind(delivery.id)
                    .bind(delivery.attempt)
                    .bind(now)
                    .execute(link)
            })
            .map(drop)
        })
    }

    /// How long until the next delivery of a channel becomes due after `since`, or is due again because its lease ran out; `None`
    /// when there is none. What was due by `since` and could not be claimed then is held back by one of these.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_delivery_due(
        &self,
        channel: &str,
        since: jiff::Timestamp,
    ) -> Result<Option<Duration>, Error> {
        const SQL: Sql = Sql::same(
            "SELECT MIN(due_at) FROM deliveries WHERE state = 'pending' AND channel = $1 AND due_at > $2",
        );
        let found = reading!(self, |session| {
            statement!(session, "deliveries.next_due", SQL, |sql, link| {
                sqlx::query_scalar::<_, Option<Timestamp>>(sql)
                    .bind(channel)
                    .bind(Timestamp(since))
                    .fetch_optional(link)
            })
        })?;
        Ok(found.flatten().map(|due| until(self.clock().now(), due.0)))
    }

    /// What waits in a channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue_state(&self, channel: &str) -> Result<QueueState, Error> {
        #[derive(FromRow)]
        struct Row {
            pending: i64,
            oldest: Option<Timestamp>,
            dead: i64,
        }
        let row = reading!(self, |session| {
            statement!(session, "deliveries.count", QUEUE_STATE, |sql, link| {
                query_as::<_, Row>(sql).bind(channel).fetch_optional(link)
            })
        })?;
        Ok(row.map_or_else(QueueState::default, |row| QueueState {
            pending: u64::try_from(row.pending).unwrap_or(0),
            dead: u64::try_from(row.dead).unwrap_or(0),
            oldest: row
                .oldest
                .map_or(Duration::ZERO, |oldest| until(oldest.0, self.clock().now())),
        }))
    }

    /// Forgets deliveries that were finished before `before`, at most 1,000 at a time; dead ones stay. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep_deliveries(&self, before: jiff::Timestamp) -> Result<u64, Error> {
        const SQL: Sql = Sql::same(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries \
             WHERE finished_at IS NOT NULL AND finished_at < $1 AND state = 'delivered' ORDER BY finished_at LIMIT 1000)",
        );
        transaction!(self, "deliveries.sweep", |tx| {
            statement!(tx, "deliveries.forget", SQL, |sql, link| query(sql)
                .bind(Timestamp(before))
                .execute(link))
        })
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

    use super::*;
    use crate::domain::clock::Clock;

    #[tokio::test]
    async fn the_oldest_that_waits_is_found_without_the_others() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}/convoke.db", folder.path().display());
        let _store = Store::for_tests(&url, Clock::system()).await;
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {}", QUEUE_STATE.on(Engine::Sqlite));
        let plan = query(AssertSqlSafe(explain))
            .fetch_all(&mut connection)
            .await;
        let plan: Vec<String> = plan.unwrap().iter().map(|row| row.get("detail")).collect();
        assert!(
            plan.iter()
                .any(|detail| detail.contains("deliveries_pending")),
            "{plan:#?}"
        );
        assert!(
            !plan.iter().any(|detail| detail.contains("TEMP B-TREE")),
            "{plan:#?}"
        );
    }
}
