//! What an answer needs to know of an event and of who answers, read together.

use sqlx::{FromRow, query_as, types::Json};
use uuid::Uuid;

use super::{
    answers::{Question, shown},
    columns::Timestamp,
    engine::{Link, Session, Sql, Timing},
    error::Error,
    events,
    seating::Seated,
    writes::NewSeats,
};
use crate::domain::{
    event::{EventStatus, Visibility},
    participant::{Participant, ParticipantRole, ParticipantStatus},
    seats::{Admission, Hold, Seats},
    when::When,
};

/// An event and a participant of it, as they are stored.
#[derive(Debug)]
pub(super) struct Place {
    pub organizer_id: Uuid,
    pub visibility: Visibility,
    pub status: EventStatus,
    pub version: i64,
    pub updated_at: jiff::Timestamp,
    pub seated: Seated,
    /// Whether anybody waits for a seat.
    pub anybody_waits: bool,
    /// Who answers, if they take part already.
    pub before: Option<Participant>,
}

impl Place {
    /// The event's seats as they are to be written.
    pub(super) fn seats(&self, seats: Seats, now: jiff::Timestamp) -> NewSeats {
        let event = (self.seated.event_id, self.version, self.updated_at);
        let taken = (self.seated.seats.taken, seats.taken);
        shown(event, taken, seats.next_place, now)
    }
}

#[derive(FromRow)]
struct PlaceRow {
    /// Which of the questions it is for.
    n: i64,
    organizer_id: Uuid,
    title: String,
    start_local: String,
    start_zone: Option<String>,
    capacity: Option<i64>,
    seats_taken: i64,
    next_place: i64,
    waitlist_enabled: bool,
    visibility: Visibility,
    status: EventStatus,
    version: i64,
    updated_at: Timestamp,
    anybody_waits: bool,
    role: Option<ParticipantRole>,
    answer: Option<ParticipantStatus>,
    admission: Option<Admission>,
    place: Option<i64>,
    comment: Option<String>,
    responded_at: Option<Timestamp>,
    participant_version: Option<i64>,
    invited_at: Option<Timestamp>,
    changed_at: Option<Timestamp>,
}

macro_rules! columns {
    () => {
        "e.organizer_id, e.title, e.start_local, e.start_zone, e.capacity, e.seats_taken, e.next_place, e.waitlist_enabled, \
         e.visibility, e.status, e.version, e.updated_at, \
         EXISTS (SELECT 1 FROM participants w WHERE w.event_id = e.id AND w.place IS NOT NULL) AS anybody_waits, \
         p.role, p.status AS answer, p.admission, p.place, p.comment, p.responded_at, p.version AS participant_version, \
         p.created_at AS invited_at, p.updated_at AS changed_at FROM "
    };
}

/// On PostgreSQL the transaction has begun by locking the event, so that this sees what the one before wrote.
pub(super) const FIND: Sql = Sql::each(
    concat!(
        "SELECT CAST(0 AS BIGINT) AS n, ",
        columns!(),
        "events e LEFT JOIN participants p ON p.event_id = e.id AND p.user_id = $2 \
         WHERE e.id = $1 AND e.deleted_at IS NULL FOR UPDATE OF e"
    ),
    concat!(
        "SELECT q.key AS n, ",
        columns!(),
        "json_each($1) q CROSS JOIN events e ON e.id = unhex(q.value ->> 0) \
         LEFT JOIN participants p ON p.event_id = e.id AND p.user_id = unhex(q.value ->> 1) WHERE e.deleted_at IS NULL"
    ),
);

impl PlaceRow {
    fn read(self, question: &Question) -> Result<Place, Error> {
        let Question {
            event_id, actor, ..
        } = question;
        let start = When::from_parts(&self.start_local, self.start_zone.as_deref())
            .ok_or_else(|| Error::Corrupt(format!("time of event {event_id}")))?;
        let participant = (
            self.role,
            self.answer,
            self.participant_version,
            self.invited_at,
            self.changed_at,
        );
        let before = match participant {
            (Some(role), Some(status), Some(version), Some(created_at), Some(updated_at)) => {
                Some(Participant {
                    event_id: *event_id,
                    user_id: actor.user_id,
                    role,
                    status,
                    hold: Hold::stored(self.admission.unwrap_or_default(), self.place),
                    comment: self.comment,
                    responded_at: self.responded_at.map(|at| at.0),
                    version,
                    created_at: created_at.0,
                    updated_at: updated_at.0,
                })
            }
            _ => None,
        };
        Ok(Place {
            organizer_id: self.organizer_id,
            visibility: self.visibility,
            status: self.status,
            version: self.version,
            updated_at: self.updated_at.0,
            seated: Seated {
                event_id: *event_id,
                about: events::about(&self.title, &start),
                seats: Seats {
                    capacity: self.capacity,
                    taken: self.seats_taken,
                    waitlist_enabled: self.waitlist_enabled,
                    next_place: self.next_place,
                },
            },
            anybody_waits: self.anybody_waits,
            before,
        })
    }
}

/// What SQLite is asked: ids as hexadecimal digits.
fn asked<'a>(questions: impl Iterator<Item = &'a Question>) -> Json<Vec<[String; 2]>> {
    let hex = |id: Uuid| id.simple().to_string();
    Json(
        questions
            .map(|one| [hex(one.event_id), hex(one.actor.user_id)])
            .collect(),
    )
}

/// What one answer needs; the transaction has begun with the event locked.
pub(super) async fn find(
    session: &mut Session,
    question: &Question,
) -> Result<Option<Place>, Error> {
    let sql = FIND.on(session.engine());
    let timing = Timing::start(session.engine(), "participants.find_place", sql);
    let row = match session.link() {
        Link::Postgres(link) => {
            let query = query_as::<_, PlaceRow>(sql)
                .bind(question.event_id)
                .bind(question.actor.user_id);
            timing.settle(query.fetch_optional(link).await)?
        }
        Link::Sqlite(link) => {
            let query = query_as::<_, PlaceRow>(sql).bind(asked(std::iter::once(question)));
            timing.settle(query.fetch_optional(link).await)?
        }
    };
    row.map(|row| row.read(question)).transpose()
}

/// What each of these answers needs, on SQLite's writing connection.
pub(super) async fn find_all(
    connection: &mut sqlx::SqliteConnection,
    questions: &[&Question],
) -> Result<Vec<Option<Result<Place, Error>>>, sqlx::Error> {
    let query = query_as::<_, PlaceRow>(FIND.sqlite).bind(asked(questions.iter().copied()));
    let mut found: Vec<_> = questions.iter().map(|_| None).collect();
    for row in query.fetch_all(connection).await? {
        let n = usize::try_from(row.n).unwrap_or(usize::MAX);
        if let (Some(slot), Some(question)) = (found.get_mut(n), questions.get(n)) {
            *slot = Some(row.read(question));
        }
    }
    Ok(found)
}
