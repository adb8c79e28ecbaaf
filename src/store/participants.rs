//! Participants: inviting, answering, leaving.

use serde_json::{Map, Value, json};
use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store, answers,
    changes::NewChange,
    columns::Timestamp,
    engine::{Session, Sql, reading, statement, transaction},
    error::{Error, Refusal},
    events,
    idempotency::Receipt,
    replica::listing,
    seating::{self, Seated},
    writes::Writes,
};
use crate::domain::{
    actor::Actor,
    change::{Audience, ChangeKind},
    event::EventStatus,
    fault::Faults,
    page::{Page, PageRequest},
    participant::{Participant, ParticipantRole, ParticipantStatus},
    seats::{Admission, Hold},
    text::normal_email,
    version::Expected,
};

/// Whom to invite.
#[derive(Clone, Debug)]
pub enum Invitee {
    /// The user with this id.
    User(Uuid),
    /// The user with this address.
    Email(String),
}

/// One invitation.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Whom.
    pub invitee: Invitee,
    /// As what.
    pub role: ParticipantRole,
    /// JSON Pointer to where the request names the person.
    pub pointer: String,
}

#[derive(FromRow)]
struct ParticipantRow {
    event_id: Uuid,
    user_id: Uuid,
    role: ParticipantRole,
    status: ParticipantStatus,
    admission: Admission,
    place: Option<i64>,
    comment: Option<String>,
    responded_at: Option<Timestamp>,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<ParticipantRow> for Participant {
    fn from(row: ParticipantRow) -> Self {
        Self {
            event_id: row.event_id,
            user_id: row.user_id,
            role: row.role,
            status: row.status,
            hold: Hold::stored(row.admission, row.place),
            comment: row.comment,
            responded_at: row.responded_at.map(|at| at.0),
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        }
    }
}

const FIND: Sql = Sql::same(
    "SELECT event_id, user_id, role, status, admission, place, comment, responded_at, version, created_at, updated_at \
     FROM participants WHERE event_id = $1 AND user_id = $2",
);

pub(super) async fn find(
    session: &mut Session,
    event_id: Uuid,
    user_id: Uuid,
) -> Result<Option<Participant>, Error> {
    let row = statement!(session, "participants.find", FIND, |sql, link| {
        query_as::<_, ParticipantRow>(sql)
            .bind(event_id)
            .bind(user_id)
            .fetch_optional(link)
    })?;
    Ok(row.map(Participant::from))
}

/// The account that an invitation means.
async fn resolve(session: &mut Session, invitee: &Invitee) -> Result<Option<Uuid>, Error> {
    const BY_ID: Sql = Sql::same("SELECT id FROM users WHERE id = $1");
    const BY_EMAIL: Sql = Sql::same("SELECT id FROM users WHERE email_key = $1");
    match invitee {
        Invitee::User(id) => statement!(session, "users.exists", BY_ID, |sql, link| {
            sqlx::query_scalar::<_, Uuid>(sql)
                .bind(*id)
                .fetch_optional(link)
        }),
        Invitee::Email(email) => statement!(session, "users.id_by_email", BY_EMAIL, |sql, link| {
            sqlx::query_scalar::<_, Uuid>(sql)
                .bind(normal_email(email))
                .fetch_optional(link)
        }),
    }
}

pub(super) fn change(
    kind: ChangeKind,
    organizer_id: Uuid,
    actor: Actor,
    participant: &Participant,
    data: Map<String, Value>,
) -> NewChange {
    let told = match kind {
        ChangeKind::ParticipantInvited => Some(participant.user_id),
        ChangeKind::ParticipantStatusChanged => Some(organizer_id),
        _ => None,
    };
    NewChange {
        kind,
        event_id: participant.event_id,
        user_id: Some(participant.user_id),
        version: participant.version,
        actor_id: Some(actor.user_id),
        data: Value::Object(data),
        at: participant.updated_at,
        // Nobody is told what they did themselves.
        audience: told
            .filter(|told| *told != actor.user_id)
            .map_or(Audience::Nobody, Audience::Person),
    }
}

impl Store {
    /// An event's participants, by user id. The caller must have been shown the event.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn participants(
        &self,
        event_id: Uuid,
        page: &PageRequest<Uuid>,
    ) -> Result<Page<Participant, Uuid>, Error> {
        const SQL: Sql = Sql::same(
            "SELECT event_id, user_id, role, status, admission, place, comment, responded_at, version, created_at, \
             updated_at FROM participants WHERE event_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
        );
        let rows = listing!(self, |session| {
            statement!(session, "participants.list", SQL, |sql, link| {
                query_as::<_, ParticipantRow>(sql)
                    .bind(event_id)
                    .bind(page.after.unwrap_or(Uuid::nil()))
                    .bind(page.limit + 1)
                    .fetch_all(link)
            })
        })?;
        let items = rows.into_iter().map(Participant::from).collect();
        Ok(Page::from_items(
            items,
            page.limit,
            |participant: &Participant| participant.user_id,
        ))
    }

    /// One participant. The caller must have been shown the event.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the person does not take part.
    pub async fn participant(&self, event_id: Uuid, user_id: Uuid) -> Result<Participant, Error> {
        let found = reading!(self, |session| find(session, event_id, user_id).await)?;
        found.ok_or(Error::NotFound)
    }

    /// Invites people, all or none of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] names each unknown person; [`Refusal::AlreadyParticipant`], [`Refusal::EventCancelled`].
    pub async fn invite(
        &self,
        actor: Actor,
        event_id: Uuid,
        invitations: &[Invitation],
        receipt: &Receipt<'_, Vec<Participant>>,
    ) -> Result<Vec<Participant>, Error> {
        let invited = transaction!(self, "participants.invite", |tx| {
            let event = events::lock_own(tx, actor, event_id).await?;
            if event.content.status == EventStatus::Cancelled {
                return Err(Error::Refused(Refusal::EventCancelled));
            }
            let now = self.clock().now();
            let mut faults = Faults::default();
            let mut invited: Vec<Participant> = Vec::with_capacity(invitations.len());
            for invitation in invitations {
                let Some(user_id) = resolve(tx, &invitation.invitee).await? else {
                    faults.add(
                        &invitation.pointer,
                        "unknown_user",
                        "no account with this id or address",
                    );
                    continue;
                };
                if invited
                    .iter()
                    .any(|participant| participant.user_id == user_id)
                {
                    faults.add(&invitation.pointer, "duplicate", "each person once");
                    continue;
                }
                if find(tx, event_id, user_id).await?.is_some() {
                    return Err(Error::Refused(Refusal::AlreadyParticipant));
                }
                invited.push(Participant {
                    event_id,
                    user_id,
                    role: invitation.role,
                    status: ParticipantStatus::NeedsAction,
                    hold: Hold::Nothing,
                    comment: None,
                    responded_at: None,
                    version: 1,
                    created_at: now,
                    updated_at: now,
                });
            }
            if !faults.is_empty() {
                return Err(Error::Invalid(faults.into_vec()));
            }
            let mut writes = Writes::new();
            for participant in &invited {
                let mut data = events::summary(&event);
                data.insert("role".into(), json!(participant.role));
                let kind = ChangeKind::ParticipantInvited;
                writes.change(change(kind, event.organizer_id, actor, participant, data));
                writes.participant(participant.clone());
            }
            receipt.add_to(&mut writes, &invited);
            writes.write_as(tx, "participants.invite").await?;
            Ok(invited)
        })?;
        self.wake_outbox();
        Ok(invited)
    }

    /// Removes a participant: the organizer anyone, anyone themselves.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the event is not visible or the person does not take part, [`Error::Forbidden`],
    /// [`Error::Stale`].
    pub async fn remove_participant(
        &self,
        actor: Actor,
        event_id: Uuid,
        user_id: Uuid,
        expected: &Expected,
    ) -> Result<(), Error> {
        const SQL: Sql = Sql::same("DELETE FROM participants WHERE event_id = $1 AND user_id = $2");
        transaction!(self, "participants.remove", |tx| {
            let event = if actor.user_id == user_id {
                events::lock_visible(tx, actor, event_id).await?
            } else {
                events::lock_own(tx, actor, event_id).await?
            };
            let mut participant = find(tx, event_id, user_id).await?.ok_or(Error::NotFound)?;
            if !expected.allows(&participant.tag()) {
                return Err(Error::Stale);
            }
            let now = self.clock().now();
            participant.version += 1;
            participant.updated_at = now;
            statement!(tx, "participants.delete", SQL, |sql, link| {
                query(sql).bind(event_id).bind(user_id).execute(link)
            })?;
            let mut data = events::summary(&event);
            data.insert("status".into(), json!(participant.status));
            let kind = ChangeKind::ParticipantRemoved;
            let mut writes = Writes::new();
            writes.change(change(kind, event.organizer_id, actor, &participant, data));
            if participant.hold == Hold::Seat {
                let mut seated = Seated::from(&event);
                seated.seats.release(Hold::Seat);
                seating::promote(tx, &mut seated, now, &mut writes).await?;
                let taken = (event.seats_taken, seated.seats.taken);
                let was = (event.id, event.version, event.updated_at);
                writes.seats(answers::shown(was, taken, seated.seats.next_place, now));
            }
            writes.write_as(tx, "participants.remove").await?;
            Ok(())
        })?;
        self.wake_outbox();
        Ok(())
    }
}
