//! What an operation writes, put together first and then written in one round trip; on SQLite that of many operations together.

use std::sync::Arc;

use sqlx::query_with;
use uuid::Uuid;

use super::{
    Pools, Store,
    changes::NewChange,
    engine::{Link, Session, Timing},
    error::{Error, Transient},
    idempotency::Ticket,
    writes_rows::{KEPT, Rows},
};
use crate::{
    domain::{change::Audience, event::Event, new_id, participant::Participant},
    telemetry::traces,
};

/// Rows of a table beyond which what there is should be written first; `PostgreSQL` takes 65,535 parameters, `SQLite` 32,766.
const MANY: usize = 256;

#[derive(Debug)]
pub(super) struct NewEvent {
    pub event: Arc<Event>,
    pub words: String,
}

/// Somebody who waited and got a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promoted {
    pub event_id: Uuid,
    pub user_id: Uuid,
    pub at: jiff::Timestamp,
}

/// An event's seats as they are now.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewSeats {
    pub event_id: Uuid,
    pub taken: i64,
    pub next_place: i64,
    pub version: i64,
    pub updated_at: jiff::Timestamp,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub id: Uuid,
    pub traceparent: Option<Arc<str>>,
    pub change: NewChange,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct NewDelivery {
    pub change_id: Uuid,
    pub recipient_id: Uuid,
    pub event_id: Uuid,
    pub at: jiff::Timestamp,
}

/// A change of which every participant is told but the one who made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub change_id: Uuid,
    pub event_id: Uuid,
    pub at: jiff::Timestamp,
    pub actor_id: Uuid,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub ticket: Ticket,
    pub answer: Vec<u8>,
}

/// Rows to write.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// What caused them.
    traceparent: Option<Arc<str>>,
    pub events: Vec<NewEvent>,
    pub participants: Vec<Participant>,
    pub promoted: Vec<Promoted>,
    pub seats: Vec<NewSeats>,
    pub changes: Vec<Entry>,
    pub told: Vec<Told>,
    pub deliveries: Vec<NewDelivery>,
    pub receipts: Vec<Kept>,
}

impl Writes {
    /// Those of the current request.
    pub(super) fn new() -> Self {
        Self::caused_by(traces::current_traceparent().map(Arc::from))
    }

    /// Those of the request with this trace context.
    pub(super) fn caused_by(traceparent: Option<Arc<str>>) -> Self {
        Self {
            traceparent,
            ..Self::default()
        }
    }

    /// A new event and its tags.
    pub(super) fn event(&mut self, event: Arc<Event>) {
        let words = event.content.search_words();
        self.events.push(NewEvent { event, words });
    }

    /// Somebody new at an event, or as they are now; the event's row is locked.
    pub(super) fn participant(&mut self, participant: Participant) {
        self.participants.push(participant);
    }

    /// Somebody who got a seat; the event's row is locked. Never one of those who are written as they are now.
    pub(super) fn promoted(&mut self, promoted: Promoted) {
        self.promoted.push(promoted);
    }

    /// The seats of an event, whose row is locked; once for each event.
    pub(super) fn seats(&mut self, seats: NewSeats) {
        self.seats.push(seats);
    }

    /// A change, and a delivery to everybody it concerns. Those who take part only since the same writes are not told.
    pub(super) fn change(&mut self, change: NewChange) {
        let (change_id, event_id, at) = (new_id(), change.event_id, change.at);
        match change.audience {
            Audience::Nobody => {}
            Audience::Person(recipient_id) => self.deliveries.push(NewDelivery {
                change_id,
                recipient_id,
                event_id,
                at,
            }),
            Audience::Participants => self.told.push(Told {
                change_id,
                event_id,
                at,
                actor_id: change.actor_id.unwrap_or(Uuid::nil()),
            }),
        }
        self.changes.push(Entry {
            id: change_id,
            traceparent: self.traceparent.clone(),
            change,
        });
    }

    /// The answer to a request with an idempotency key.
    pub(super) fn receipt(&mut self, ticket: Ticket, answer: Vec<u8>) {
        self.receipts.push(Kept { ticket, answer });
    }

    /// Whether it is time to write what there is.
    pub(super) fn are_many(&self) -> bool {
        self.changes.len() >= MANY
    }

    /// Whether a repeat of them finds what the first attempt wrote and does no more. An answer that is kept is not such.
    pub(super) fn may_be_repeated(&self) -> bool {
        self.receipts.is_empty()
    }

    /// Takes out the seats, of which there may be only one row for an event.
    pub(super) fn take_seats(&mut self) -> Option<NewSeats> {
        self.seats.pop()
    }

    /// Writes everything in a session that writes, as the operation `name`, and forgets it; fails if an answer could not be kept.
    pub(super) async fn write_as(
        &mut self,
        session: &mut Session,
        name: &'static str,
    ) -> Result<(), Error> {
        let rows = Rows::of([&*self]);
        let Some(shape) = rows.shape() else {
            return Ok(());
        };
        let sql = shape.text(session.engine());
        let timing = Timing::start(session.engine(), name, sql);
        let kept = shape.rows <= KEPT;
        let returned = match session.link() {
            Link::Postgres(link) => {
                let query = query_with(sql, rows.for_postgres(shape)?).persistent(kept);
                timing.settle(query.fetch_all(link).await)?.len()
            }
            Link::Sqlite(link) => {
                let query = query_with(sql, rows.for_sqlite(shape)?).persistent(kept);
                timing.settle(query.fetch_all(link).await)?.len()
            }
        };
        rows.kept(returned)?;
        *self = Self::caused_by(self.traceparent.take());
        Ok(())
    }
}

impl Store {
    /// Whether one statement may be a transaction of its own. Through a pooler it is sent in a transaction.
    pub(super) fn writes_alone(&self) -> bool {
        matches!(self.inner.pools, Pools::Postgres(_)) && !self.inner.settings.pooled
    }

    /// Writes new rows by one statement that is a transaction of its own, again where that is safe. It is also safe when the
    /// answer was lost: the rows have the same ids, and a repeat that finds them leaves them.
    pub(super) async fn write_alone(
        &self,
        name: &'static str,
        mut writes: Writes,
    ) -> Result<(), Error> {
        let mut retry = self.retry();
        let mut lost = false;
        loop {
            let outcome = match self.acquire().await {
                Ok(mut session) => {
                    let written = writes.write_as(&mut session, name).await;
                    let reason = written.as_ref().err().and_then(Error::retry_reason);
                    lost |= reason == Some(Transient::ConnectionLost);
                    written
                }
                Err(failure) => Err(failure),
            };
            match outcome {
                Err(failure) if retry.again(&failure).await => {}
                Err(Error::Unavailable(failure)) if lost => {
                    return Err(Error::OutcomeUnknown(failure));
                }
                outcome => return outcome,
            }
        }
    }
}
