//! Answers, and what becomes of seats: taking one, waiting for one, giving one back.

use serde_json::json;
use uuid::Uuid;

use super::{
    Store, changes,
    engine::{Session, transaction},
    error::{Error, Refusal},
    event_row, events,
    participants::{change, find, save},
    seating,
};
use crate::domain::{
    actor::Actor,
    change::ChangeKind,
    event::{Event, EventStatus},
    participant::{Comment, Participant, ParticipantRole, ParticipantStatus},
    seats::{Full, Hold},
    version::Expected,
};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether they come.
    pub status: ParticipantStatus,
    /// What they say with it.
    pub comment: Comment,
}

impl Store {
    /// Takes the caller's answer; somebody who was not invited joins a public event by it. Returns the participant and what
    /// the answer changed: whether it is another status, and another admission.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an event not visible, [`Refusal::CapacityExceeded`], [`Refusal::EventCancelled`],
    /// [`Error::Stale`].
    pub async fn answer(
        &self,
        actor: Actor,
        event_id: Uuid,
        expected: &Expected,
        answer: &Answer,
    ) -> Result<(Participant, Answered), Error> {
        let answered = transaction!(self, "participants.answer", |tx| {
            let mut event = events::lock_visible(tx, actor, event_id).await?;
            let before = find(tx, event_id, actor.user_id).await?;
            if event.content.status == EventStatus::Cancelled {
                return Err(Error::Refused(Refusal::EventCancelled));
            }
            let expects = match &before {
                Some(before) => expected.allows(&before.tag()),
                None => *expected == Expected::Anything,
            };
            if !expects {
                return Err(Error::Stale);
            }
            record_answer(tx, actor, &mut event, before, answer, self.clock().now()).await
        })?;
        self.wake_outbox();
        Ok(answered)
    }
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The status is another one.
    pub status: bool,
    /// The admission is another one.
    pub admission: bool,
}

/// Gives the seat back, to the first who waits if there is one, and writes the event.
pub(super) async fn release_seat(
    tx: &mut Session,
    event: &mut Event,
    now: jiff::Timestamp,
) -> Result<(), Error> {
    let taken = event.seats_taken;
    let mut seats = event.seats();
    seats.release(Hold::Seat);
    event.seats_taken = seats.taken;
    write_seats(tx, event, taken, now).await
}

/// Promotes, then writes the event's seats; its version grows when what is shown of it changed.
async fn write_seats(
    tx: &mut Session,
    event: &mut Event,
    shown: i64,
    now: jiff::Timestamp,
) -> Result<(), Error> {
    if event.seats_taken < shown {
        seating::promote(tx, event, now).await?;
    }
    if event.seats_taken != shown {
        event.version += 1;
        event.updated_at = now;
    }
    event_row::update_seats(tx, event).await
}

async fn record_answer(
    tx: &mut Session,
    actor: Actor,
    event: &mut Event,
    before: Option<Participant>,
    answer: &Answer,
    now: jiff::Timestamp,
) -> Result<(Participant, Answered), Error> {
    let joined = before.is_none();
    let before = before.unwrap_or_else(|| Participant {
        event_id: event.id,
        user_id: actor.user_id,
        role: ParticipantRole::default(),
        status: ParticipantStatus::NeedsAction,
        hold: Hold::Nothing,
        comment: None,
        responded_at: None,
        version: 0,
        created_at: now,
        updated_at: now,
    });
    let mut after = before.clone();
    after.status = answer.status;
    if let Comment::Now(comment) = &answer.comment {
        after.comment.clone_from(comment);
    }
    let (shown, next_place) = (event.seats_taken, event.next_place);
    let mut seats = event.seats();
    if answer.status == ParticipantStatus::Accepted {
        after.hold = seats
            .ask(before.hold)
            .map_err(|Full| Error::Refused(Refusal::CapacityExceeded))?;
    } else {
        seats.release(before.hold);
        after.hold = Hold::Nothing;
    }
    (event.seats_taken, event.next_place) = (seats.taken, seats.next_place);

    let answered = Answered {
        status: joined || after.status != before.status,
        admission: after.hold.admission() != before.hold.admission(),
    };
    if !answered.status && !answered.admission && after.comment == before.comment {
        return Ok((before, answered));
    }
    after.version += 1;
    after.responded_at = Some(now);
    after.updated_at = now;
    save(tx, &after).await?;

    let mut data = events::summary(event);
    data.insert(
        "status".into(),
        json!({ "from": before.status, "to": after.status }),
    );
    data.insert("comment".into(), json!(after.comment));
    changes::append(
        tx,
        change(
            ChangeKind::ParticipantStatusChanged,
            event,
            actor,
            &after,
            data,
        ),
    )
    .await?;
    if answered.admission {
        let from_to = (before.hold.admission(), after.hold.admission());
        seating::admission_changed(
            tx,
            event,
            (actor.user_id, after.version),
            Some(actor.user_id),
            from_to,
            now,
        )
        .await?;
    }
    if event.seats_taken != shown || event.next_place != next_place {
        write_seats(tx, event, shown, now).await?;
    }
    Ok((after, answered))
}
