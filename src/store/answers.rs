//! Answers, and what becomes of seats: taking one, waiting for one, giving one back.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::{
    Store,
    engine::{Session, transaction},
    error::{Error, Refusal},
    participants::change,
    place::{self, Place},
    seating,
    writer::{Job, Reply},
    writes::{NewSeats, Writes},
};
use crate::{
    domain::{
        actor::Actor,
        change::ChangeKind,
        event::{EventStatus, Visibility},
        participant::{Comment, Participant, ParticipantRole, ParticipantStatus},
        seats::{Full, Hold},
        version::Expected,
    },
    telemetry::traces,
};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether they come.
    pub status: ParticipantStatus,
    /// What they say with it.
    pub comment: Comment,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The status is another one.
    pub status: bool,
    /// The admission is another one.
    pub admission: bool,
}

/// An answer with all that is needed to take it.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub actor: Actor,
    pub event_id: Uuid,
    pub expected: Expected,
    pub answer: Answer,
    pub now: jiff::Timestamp,
    pub traceparent: Option<Arc<str>>,
}

/// What became of it: the participant, and what the answer changed.
pub(super) type Taken = (Participant, Answered);

/// An answer that is decided but not yet written.
#[derive(Debug)]
pub(super) struct Decision {
    pub taken: Taken,
    pub writes: Writes,
    /// A seat came free for which somebody waits: see [`settle`].
    pub frees_a_seat: bool,
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
        let question = Question {
            actor,
            event_id,
            expected: expected.clone(),
            answer: answer.clone(),
            now: self.clock().now(),
            traceparent: traces::current_traceparent().map(Arc::from),
        };
        let job = || Job::Answer(question.clone());
        let taken = match self.together("participants.answer", job).await? {
            Reply::Taken(taken) => *taken,
            Reply::Written | Reply::Alone => {
                transaction!(self, "participants.answer", locking Some(event_id), |tx| {
                    let place = place::find(tx, &question).await?;
                    let mut place = place.ok_or(Error::NotFound)?;
                    let mut decision = decide(&place, &question)?;
                    settle(tx, &mut place, &question, &mut decision).await?;
                    decision.writes.write_as(tx, "participants.answer").await?;
                    Ok(decision.taken)
                })?
            }
        };
        self.wake_outbox();
        Ok(taken)
    }
}

fn refuse(refusal: Refusal) -> Error {
    Error::Refused(refusal)
}

/// Decides an answer by what is stored. Everything that it changes is in the decision's writes, except the seats that others
/// get: if it frees one for which somebody waits, [`settle`] must follow.
pub(super) fn decide(place: &Place, question: &Question) -> Result<Decision, Error> {
    let Question {
        actor, answer, now, ..
    } = question;
    let (user_id, now) = (actor.user_id, *now);
    let known = place.before.as_ref();
    let visible = actor.is_admin()
        || place.organizer_id == user_id
        || place.visibility == Visibility::Public
        || known.is_some();
    if !visible {
        return Err(Error::NotFound);
    }
    if place.status == EventStatus::Cancelled {
        return Err(refuse(Refusal::EventCancelled));
    }
    let expects = match known {
        Some(before) => question.expected.allows(&before.tag()),
        None => question.expected == Expected::Anything,
    };
    if !expects {
        return Err(Error::Stale);
    }
    let before = known.cloned().unwrap_or_else(|| Participant {
        event_id: question.event_id,
        user_id,
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
    let old = place.seated.seats;
    let mut seats = old;
    if answer.status == ParticipantStatus::Accepted {
        let asked = seats.ask(before.hold);
        after.hold = asked.map_err(|Full| refuse(Refusal::CapacityExceeded))?;
    } else {
        seats.release(before.hold);
        after.hold = Hold::Nothing;
    }
    let answered = Answered {
        status: known.is_none() || after.status != before.status,
        admission: after.hold.admission() != before.hold.admission(),
    };
    let mut writes = Writes::caused_by(question.traceparent.clone());
    if !answered.status && !answered.admission && after.comment == before.comment {
        return Ok(Decision {
            taken: (before, answered),
            writes,
            frees_a_seat: false,
        });
    }
    after.version += 1;
    after.responded_at = Some(now);
    after.updated_at = now;
    writes.participant(after.clone());
    let mut data = place.seated.about.clone();
    data.insert(
        "status".into(),
        json!({ "from": before.status, "to": after.status }),
    );
    data.insert("comment".into(), json!(after.comment));
    let kind = ChangeKind::ParticipantStatusChanged;
    writes.change(change(kind, place.organizer_id, *actor, &after, data));
    if answered.admission {
        let who = (user_id, after.version);
        let from_to = (before.hold.admission(), after.hold.admission());
        seating::admission_changed(&mut writes, &place.seated, who, Some(user_id), from_to, now);
    }
    let frees_a_seat = seats.taken < old.taken && place.anybody_waits;
    if !frees_a_seat && seats != old {
        writes.seats(place.seats(seats, now));
    }
    Ok(Decision {
        taken: (after, answered),
        writes,
        frees_a_seat,
    })
}

/// Gives the seat that came free to the first who waits.
async fn settle(
    tx: &mut Session,
    place: &mut Place,
    question: &Question,
    decision: &mut Decision,
) -> Result<(), Error> {
    if !decision.frees_a_seat {
        return Ok(());
    }
    let mut seated = place.seated.clone();
    seated.seats.release(Hold::Seat);
    seating::promote(tx, &mut seated, question.now, &mut decision.writes).await?;
    let seats = place.seats(seated.seats, question.now);
    decision.writes.seats(seats);
    Ok(())
}

/// The seats as they are to be written: an event's version grows when what is shown of it changed.
pub(super) fn shown(
    (event_id, version, updated_at): (Uuid, i64, jiff::Timestamp),
    (old, new): (i64, i64),
    next_place: i64,
    now: jiff::Timestamp,
) -> NewSeats {
    let changed = old != new;
    NewSeats {
        event_id,
        taken: new,
        next_place,
        version: version + i64::from(changed),
        updated_at: if changed { now } else { updated_at },
    }
}
