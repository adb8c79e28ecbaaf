//! Seats that came free go to those who wait, first come first served, in the same transaction.

use serde_json::{Map, Value, json};
use sqlx::{FromRow, query_as};
use uuid::Uuid;

use super::{
    changes::NewChange,
    engine::{Session, Sql, statement},
    error::Error,
    events,
    writes::{Promoted, Writes},
};
use crate::domain::{
    change::{Audience, ChangeKind},
    event::Event,
    seats::{Admission, Seats},
};

/// An event as far as its seats go. Its row is locked.
#[derive(Clone, Debug)]
pub(super) struct Seated {
    pub event_id: Uuid,
    /// What is told of it.
    pub about: Map<String, Value>,
    pub seats: Seats,
}

impl From<&Event> for Seated {
    fn from(event: &Event) -> Self {
        Self {
            event_id: event.id,
            about: events::summary(event),
            seats: event.seats(),
        }
    }
}

#[derive(FromRow)]
struct Waiting {
    user_id: Uuid,
    version: i64,
}

/// Gives free seats to the first who wait and says so. The caller writes the event afterwards.
pub(super) async fn promote(
    session: &mut Session,
    event: &mut Seated,
    now: jiff::Timestamp,
    writes: &mut Writes,
) -> Result<(), Error> {
    const WAITING: Sql = Sql::same(
        "SELECT user_id, version FROM participants WHERE event_id = $1 AND place IS NOT NULL ORDER BY place LIMIT $2",
    );
    let free = event.seats.free().unwrap_or(i64::MAX);
    if free == 0 {
        return Ok(());
    }
    let waiting = statement!(
        session,
        "participants.first_waiting",
        WAITING,
        |sql, link| {
            query_as::<_, Waiting>(sql)
                .bind(event.event_id)
                .bind(free)
                .fetch_all(link)
        }
    )?;
    let promoted = event
        .seats
        .promote(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
    debug_assert_eq!(
        usize::try_from(promoted),
        Ok(waiting.len()),
        "no more were asked for than are free"
    );
    for person in waiting {
        writes.promoted(Promoted {
            event_id: event.event_id,
            user_id: person.user_id,
            at: now,
        });
        let from_to = (Admission::Waitlisted, Admission::Confirmed);
        let who = (person.user_id, person.version + 1);
        admission_changed(writes, event, who, None, from_to, now);
        if writes.are_many() {
            writes.write_as(session, "participants.promote").await?;
        }
    }
    Ok(())
}

/// Says that somebody's admission changed, and tells them.
pub(super) fn admission_changed(
    writes: &mut Writes,
    event: &Seated,
    (user_id, version): (Uuid, i64),
    actor_id: Option<Uuid>,
    (from, to): (Admission, Admission),
    now: jiff::Timestamp,
) {
    let mut data = event.about.clone();
    data.insert("admission".into(), json!({ "from": from, "to": to }));
    writes.change(NewChange {
        kind: ChangeKind::ParticipantAdmissionChanged,
        event_id: event.event_id,
        user_id: Some(user_id),
        version,
        actor_id,
        data: Value::Object(data),
        at: now,
        audience: Audience::Person(user_id),
    });
}
