//! Delivery to inboxes, which are in the same database.
//!
//! So what is due is found, delivered and finished in one transaction, and nothing has to be claimed beforehand. Only when the
//! database refuses one of them are they claimed, and tried one by one.

use sqlx::{query, types::Json};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    deliveries::{Delivery, select_due, unfinished},
    engine::{Session, Sql, statement, transaction},
    error::Error,
};
use crate::domain::{change::INBOX, new_id};

/// What is due, in the hands of an open transaction. Dropped, nothing has happened.
#[derive(Debug)]
pub struct Due {
    session: Session,
    now: jiff::Timestamp,
}

impl Due {
    /// Delivers and finishes all that was found. Returns how many notifications are new.
    ///
    /// # Errors
    /// When the database fails, or refuses one of them; then none is delivered.
    pub async fn deliver(mut self, found: &[Delivery]) -> Result<u64, Error> {
        match tell(&mut self.session, found, 1, self.now).await {
            Ok(new) => self.session.commit(NAME).await.map(|()| new),
            Err(failure) => {
                self.session.roll_back().await;
                Err(failure)
            }
        }
    }
}

const NAME: &str = "deliveries.deliver_due";

/// Makes the notifications and finishes the deliveries, which have had so many attempts more than is written.
async fn tell(
    session: &mut Session,
    deliveries: &[Delivery],
    attempts: i64,
    now: jiff::Timestamp,
) -> Result<u64, Error> {
    // What is told is copied as it stands: one row that cannot be read must not hold up the others.
    const INSERT: Sql = Sql::each(
        "INSERT INTO notifications (id, recipient_id, change_id, kind, event_id, data, created_at) \
         SELECT CAST(v.x ->> 0 AS uuid), CAST(v.x ->> 1 AS uuid), c.id, c.kind, c.event_id, c.data, $2 \
         FROM jsonb_array_elements($1) AS v (x) JOIN changes c ON c.id = CAST(v.x ->> 2 AS uuid) \
         ON CONFLICT (change_id, recipient_id) DO NOTHING",
        "INSERT INTO notifications (id, recipient_id, change_id, kind, event_id, data, created_at) \
         SELECT unhex(v.value ->> 0), unhex(v.value ->> 1), c.id, c.kind, c.event_id, c.data, $2 \
         FROM json_each($1) v CROSS JOIN changes c ON c.id = unhex(v.value ->> 2) WHERE true \
         ON CONFLICT (change_id, recipient_id) DO NOTHING",
    );
    const FINISH: Sql = Sql::each(
        concat!(
            "UPDATE deliveries SET state = 'delivered', last_error = NULL, finished_at = $2, attempts = attempts + $3 \
             WHERE id = ANY (ARRAY(SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text($1) AS t (value))) AND ",
            unfinished!()
        ),
        concat!(
            "UPDATE deliveries SET state = 'delivered', last_error = NULL, finished_at = $2, attempts = attempts + $3 \
             WHERE id IN (SELECT value FROM json_each($1)) AND ",
            unfinished!()
        ),
    );
    let hex = |id: Uuid| id.simple().to_string();
    let told: Vec<[String; 3]> = deliveries
        .iter()
        .map(|one| [hex(new_id()), hex(one.recipient_id), hex(one.change_id)])
        .collect();
    let ids: Vec<i64> = deliveries.iter().map(|one| one.id).collect();
    let now = Timestamp(now);
    let new = statement!(session, "notifications.insert", INSERT, |sql, link| {
        query(sql).bind(Json(&told)).bind(now).execute(link)
    })?;
    statement!(session, "deliveries.finish", FINISH, |sql, link| query(sql)
        .bind(Json(&ids))
        .bind(now)
        .bind(attempts)
        .execute(link))?;
    Ok(new)
}

impl Store {
    /// Up to `limit` deliveries to inboxes that are due, oldest first, to be delivered at once; none when nothing is due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_to_inbox(&self, limit: u32) -> Result<Option<(Due, Vec<Delivery>)>, Error> {
        let mut retry = self.retry();
        loop {
            match self.find_due(limit).await {
                Err(failure) if retry.again(&failure).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn find_due(&self, limit: u32) -> Result<Option<(Due, Vec<Delivery>)>, Error> {
        let mut session = self.begin(NAME, None).await?;
        let now = self.clock().now();
        match select_due(&mut session, INBOX, limit, now).await {
            Ok(rows) if !rows.is_empty() => {
                let found = rows.into_iter().map(Delivery::from).collect();
                Ok(Some((Due { session, now }, found)))
            }
            outcome => {
                session.roll_back().await;
                outcome.map(|_| None)
            }
        }
    }

    /// Delivers what is claimed, all or none. A repeat leaves the one that is there; returns how many are new.
    ///
    /// # Errors
    /// When the database fails, or refuses one of them.
    pub async fn deliver_to_inbox(&self, deliveries: &[Delivery]) -> Result<u64, Error> {
        transaction!(self, "deliveries.to_inbox", |tx| {
            let now = self.clock().now();
            tell(tx, deliveries, 0, now).await
        })
    }
}
