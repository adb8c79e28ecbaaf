//! What an operation writes, put together first and then written in one round trip; on SQLite that of many operations together.

use std::sync::Arc;

use sqlx::{
    Arguments, SqliteConnection, postgres::PgArguments, query_with, sqlite::SqliteArguments,
    types::Json,
};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Pools, Store,
    changes::NewChange,
    columns::Timestamp,
    engine::{Engine, Link, Session, Timing},
    error::{Error, Transient},
    idempotency::Ticket,
    writes_text::{self as text, Shape, Tables},
};
use crate::{
    domain::{change::Audience, event::Event, new_id, participant::Participant},
    telemetry::traces,
};

/// Adds the cells of a table's rows, and nulls for the rows that are not there.
macro_rules! rows {
    ($arguments:ident, $shape:ident, $table:expr, $rows:expr, |$row:ident| $($cell:expr),+ $(,)?) => {
        if $shape.tables & (1 << $table) != 0 {
            for place in 0..$shape.rows {
                let row = $rows.get(place);
                $($arguments.add(row.and_then(|$row| $cell))?;)+
            }
        }
    };
}

/// Adds everything in the order of the tables; compiled once for each engine.
macro_rules! arguments {
    ($writes:ident, $shape:ident, $arguments:ident) => {
        (|| -> Result<(), sqlx::error::BoxDynError> {
            rows!(
                $arguments,
                $shape,
                text::EVENTS,
                $writes.events,
                |one| Some(one.event.id),
                Some(one.event.uid.as_str()),
                Some(one.event.organizer_id),
                Some(one.event.content.title.as_str()),
                Some(one.event.content.description.as_str()),
                Some(one.event.content.location.as_str()),
                Some(one.event.content.period.start.local_text()),
                one.event.content.period.start.zone_name(),
                Some(one.event.content.period.end.local_text()),
                one.event.content.period.end.zone_name(),
                Some(Timestamp(one.event.content.period.start_utc)),
                Some(Timestamp(one.event.content.period.end_utc)),
                one.event.content.capacity,
                Some(one.event.seats_taken),
                Some(one.event.next_place),
                Some(one.event.content.waitlist_enabled),
                Some(one.event.content.visibility.as_str()),
                Some(one.event.content.status.as_str()),
                Some(Json(&one.event.content.tags)),
                Some(Json(&one.event.content.metadata)),
                Some(one.words.as_str()),
                Some(one.event.version),
                Some(Timestamp(one.event.created_at)),
                Some(Timestamp(one.event.updated_at)),
            );
            rows!(
                $arguments,
                $shape,
                text::PARTICIPANTS,
                $writes.participants,
                |one| Some(one.event_id),
                Some(one.user_id),
                Some(one.role.as_str()),
                Some(one.status.as_str()),
                Some(one.hold.admission().as_str()),
                one.hold.place(),
                one.comment.as_deref(),
                one.responded_at.map(Timestamp),
                Some(one.version),
                Some(Timestamp(one.created_at)),
                Some(Timestamp(one.updated_at)),
            );
            rows!(
                $arguments,
                $shape,
                text::PROMOTED,
                $writes.promoted,
                |one| Some(one.event_id),
                Some(one.user_id),
                Some(Timestamp(one.at)),
            );
            rows!(
                $arguments,
                $shape,
                text::SEATS,
                $writes.seats,
                |one| Some(one.event_id),
                Some(one.taken),
                Some(one.next_place),
                Some(one.version),
                Some(Timestamp(one.updated_at)),
            );
            rows!(
                $arguments,
                $shape,
                text::CHANGES,
                $writes.changes,
                |one| Some(one.id),
                Some(one.change.kind.as_str()),
                Some(one.change.event_id),
                one.change.user_id,
                Some(one.change.version),
                one.change.actor_id,
                Some(Json(&one.change.data)),
                one.traceparent.as_deref(),
                Some(Timestamp(one.change.at)),
            );
            rows!(
                $arguments,
                $shape,
                text::TOLD,
                $writes.told,
                |one| Some(one.change_id),
                Some(one.event_id),
                Some(Timestamp(one.at)),
                Some(one.actor_id),
            );
            rows!(
                $arguments,
                $shape,
                text::DELIVERIES,
                $writes.deliveries,
                |one| Some(one.change_id),
                Some(one.recipient_id),
                Some(one.event_id),
                Some(Timestamp(one.at)),
            );
            rows!(
                $arguments,
                $shape,
                text::RECEIPTS,
                $writes.receipts,
                |one| Some(one.ticket.key_hash.as_slice()),
                Some(one.ticket.owner),
                Some(one.answer.as_slice()),
            );
            Ok(())
        })()
    };
}

/// Rows of a table beyond which a text is not kept prepared.
const KEPT: usize = 64;
/// Rows of a table beyond which what there is should be written first; `PostgreSQL` takes 65,535 parameters, `SQLite` 32,766.
const MANY: usize = 256;

#[derive(Debug)]
struct NewEvent {
    event: Arc<Event>,
    words: String,
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
struct Entry {
    id: Uuid,
    traceparent: Option<Arc<str>>,
    change: NewChange,
}

#[derive(Clone, Copy, Debug)]
struct NewDelivery {
    change_id: Uuid,
    recipient_id: Uuid,
    event_id: Uuid,
    at: jiff::Timestamp,
}

/// A change of which every participant is told but the one who made it.
#[derive(Clone, Copy, Debug)]
struct Told {
    change_id: Uuid,
    event_id: Uuid,
    at: jiff::Timestamp,
    actor_id: Uuid,
}

#[derive(Debug)]
struct Kept {
    ticket: Ticket,
    answer: Vec<u8>,
}

/// Rows to write.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// What caused them.
    traceparent: Option<Arc<str>>,
    events: Vec<NewEvent>,
    participants: Vec<Participant>,
    promoted: Vec<Promoted>,
    seats: Vec<NewSeats>,
    changes: Vec<Entry>,
    told: Vec<Told>,
    deliveries: Vec<NewDelivery>,
    receipts: Vec<Kept>,
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
        let span = timing.span.clone();
        let kept = shape.rows <= KEPT;
        let returned = match session.link() {
            Link::Postgres(link) => {
                let query = query_with(sql, rows.for_postgres(shape)?).persistent(kept);
                timing
                    .settle(query.fetch_all(link).instrument(span).await)?
                    .len()
            }
            Link::Sqlite(link) => {
                let query = query_with(sql, rows.for_sqlite(shape)?).persistent(kept);
                timing
                    .settle(query.fetch_all(link).instrument(span).await)?
                    .len()
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

/// The rows of one or more operations, by table.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    events: Vec<&'a NewEvent>,
    participants: Vec<&'a Participant>,
    promoted: Vec<&'a Promoted>,
    seats: Vec<&'a NewSeats>,
    changes: Vec<&'a Entry>,
    told: Vec<&'a Told>,
    deliveries: Vec<&'a NewDelivery>,
    receipts: Vec<&'a Kept>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(all: impl IntoIterator<Item = &'a Writes>) -> Self {
        let mut rows = Self::default();
        for one in all {
            rows.events.extend(&one.events);
            rows.participants.extend(&one.participants);
            rows.promoted.extend(&one.promoted);
            rows.seats.extend(&one.seats);
            rows.changes.extend(&one.changes);
            rows.told.extend(&one.told);
            rows.deliveries.extend(&one.deliveries);
            rows.receipts.extend(&one.receipts);
        }
        rows
    }

    fn shape(&self) -> Option<Shape> {
        let tagged = |one: &&NewEvent| !one.event.content.tags.is_empty();
        let sizes = [
            (text::EVENTS, self.events.len()),
            (text::TAGS, usize::from(self.events.iter().any(tagged))),
            (text::PARTICIPANTS, self.participants.len()),
            (text::PROMOTED, self.promoted.len()),
            (text::SEATS, self.seats.len()),
            (text::CHANGES, self.changes.len()),
            (text::TOLD, self.told.len()),
            (text::DELIVERIES, self.deliveries.len()),
            (text::RECEIPTS, self.receipts.len()),
        ];
        let (mut most, mut tables): (usize, Tables) = (0, 0);
        for (table, rows) in sizes {
            most = most.max(rows);
            tables |= Tables::from(rows > 0) << table;
        }
        (most > 0).then(|| Shape {
            rows: most.next_power_of_two(),
            tables,
        })
    }

    /// A ticket whose time ran out may have been taken over; then its holder's work must not happen.
    fn kept(&self, returned: usize) -> Result<(), Error> {
        if returned == self.receipts.len() {
            Ok(())
        } else {
            Err(Error::Superseded)
        }
    }

    /// Writes them on SQLite's writing connection, those of a batch.
    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Error> {
        let Some(shape) = self.shape() else {
            return Ok(());
        };
        let query = query_with(shape.text(Engine::Sqlite), self.for_sqlite(shape)?);
        let query = query.persistent(shape.rows <= KEPT);
        self.kept(query.fetch_all(connection).await?.len())
    }

    fn for_postgres(&self, shape: Shape) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        arguments!(self, shape, arguments).map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }

    fn for_sqlite(&self, shape: Shape) -> Result<SqliteArguments, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        arguments!(self, shape, arguments).map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }
}
