//! The rows of [`Writes`] as the parameters of a text, for either engine.

use sqlx::{
    Arguments, SqliteConnection, postgres::PgArguments, query_with, sqlite::SqliteArguments,
    types::Json,
};

use super::{
    columns::Timestamp,
    engine::Engine,
    error::Error,
    writes::{Entry, Kept, NewDelivery, NewEvent, NewSeats, Promoted, Told, Writes},
    writes_text::{self as text, Shape, Tables},
};
use crate::domain::{event::Visibility, participant::Participant};

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

/// Adds everything in the order of the tables; compiled once for each engine. `again` is for tags, whose rows are the events'.
macro_rules! arguments {
    ($writes:ident, $shape:ident, $arguments:ident, $again:block) => {
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
            $again
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
pub(super) const KEPT: usize = 64;
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
        // Within a transaction SQLite's index of words is written in the order of its numbers, or a piece for each that is not.
        rows.events.sort_by_key(|one| {
            let content = &one.event.content;
            let is_public = content.visibility == Visibility::Public;
            (is_public, content.period.start_utc)
        });
        rows
    }

    pub(super) fn shape(&self) -> Option<Shape> {
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
    pub(super) fn kept(&self, returned: usize) -> Result<(), Error> {
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

    pub(super) fn for_postgres(&self, shape: Shape) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        arguments!(self, shape, arguments, {}).map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }

    pub(super) fn for_sqlite(&self, shape: Shape) -> Result<SqliteArguments, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        arguments!(self, shape, arguments, {
            rows!(
                arguments,
                shape,
                text::TAGS,
                self.events,
                |one| Some(one.event.id),
                Some(Json(&one.event.content.tags)),
            );
        })
        .map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }
}
