//! Seats that came free go to those who wait, first come first served, in the same transaction.

use serde_json::{Value, json};
use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    changes::{self, NewChange},
    columns::Timestamp,
    engine::{Session, Sql, statement},
    error::Error,
    events,
};
use crate::domain::{
    change::{Audience, ChangeKind},
    event::Event,
    seats::Admission,
};

#[derive(FromRow)]
struct Waiting {
    user_id: Uuid,
    version: i64,
}

/// Gives free seats to the first who wait and says so. The event's row is locked, and the caller writes it afterwards.
pub(super) async fn promote(
    session: &mut Session,
    event: &mut Event,
    now: jiff::Timestamp,
) -> Result<(), Error> {
    const WAITING: Sql = Sql::same(
        "SELECT user_id, version FROM participants WHERE event_id = $1 AND place IS NOT NULL ORDER BY place LIMIT $2",
    );
    const PROMOTE: Sql = Sql::same(
        "UPDATE participants SET admission = 'confirmed', place = NULL, version = version + 1, updated_at = $3 \
         WHERE event_id = $1 AND user_id = $2",
    );
    let mut seats = event.seats();
    let free = seats.free().unwrap_or(i64::MAX);
    if free == 0 {
        return Ok(());
    }
    let waiting = statement!(
        session,
        "participants.first_waiting",
        WAITING,
        |sql, link| {
            query_as::<_, Waiting>(sql)
                .bind(event.id)
                .bind(free)
                .fetch_all(link)
        }
    )?;
    let promoted = seats.promote(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
    debug_assert_eq!(
        usize::try_from(promoted),
        Ok(waiting.len()),
        "no more were asked for than are free"
    );
    event.seats_taken = seats.taken;
    for person in waiting {
        let at = Timestamp(now);
        statement!(session, "participants.promote", PROMOTE, |sql, link| {
            query(sql)
                .bind(event.id)
                .bind(person.user_id)
                .bind(at)
                .execute(link)
        })?;
        let from_to = (Admission::Waitlisted, Admission::Confirmed);
        admission_changed(
            session,
            event,
            (person.user_id, person.version + 1),
            None,
            from_to,
            now,
        )
        .await?;
    }
    Ok(())
}

/// Says that somebody's admission changed, and tells them.
pub(super) async fn admission_changed(
    session: &mut Session,
    event: &Event,
    (user_id, version): (Uuid, i64),
    actor_id: Option<Uuid>,
    (from, to): (Admission, Admission),
    now: jiff::Timestamp,
) -> Result<(), Error> {
    let mut data = events::summary(event);
    data.insert("admission".into(), json!({ "from": from, "to": to }));
    let change = NewChange {
        kind: ChangeKind::ParticipantAdmissionChanged,
        event_id: event.id,
        user_id: Some(user_id),
        version,
        actor_id,
        data: Value::Object(data),
        at: now,
        audience: Audience::Person(user_id),
    };
    changes::append(session, change).await
}
