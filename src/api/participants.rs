//! `/events/{event_id}/participants/`: inviting, answering, leaving.

use axum::extract::State;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    conditional::{fresh, if_match},
    extract::{Caller, Id, Json, NoParams, Pair, Params, present},
    layers::idempotency::Once,
    listing::{PageBody, page_of_event},
    problem::Problem,
    reply::{Answered, Reply},
};
use crate::{
    domain::{
        fault::Faults,
        participant::{
            COMMENT_MAX, Comment, INVITE_MAX, Participant, ParticipantRole, ParticipantStatus,
        },
        seats::Admission,
        text,
    },
    store::{Answer, Invitation, Invitee, Receipt},
    telemetry::instruments::product,
};

/// One person at one event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Participant)]
pub(crate) struct ParticipantBody {
    /// The event.
    event_id: Uuid,
    /// The person.
    user_id: Uuid,
    /// What is expected of them.
    role: ParticipantRole,
    /// What they answered.
    status: ParticipantStatus,
    /// Whether they have a seat.
    admission: Admission,
    /// What they said with the answer.
    #[schema(required = true)]
    comment: Option<String>,
    /// When they last answered.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    responded_at: Option<jiff::Timestamp>,
    /// Grows by one with each change.
    #[schema(minimum = 1)]
    version: i64,
}

impl From<&Participant> for ParticipantBody {
    fn from(participant: &Participant) -> Self {
        Self {
            event_id: participant.event_id,
            user_id: participant.user_id,
            role: participant.role,
            status: participant.status,
            admission: participant.hold.admission(),
            comment: participant.comment.clone(),
            responded_at: participant.responded_at,
            version: participant.version,
        }
    }
}

fn reply(status: StatusCode, participant: &Participant) -> Reply {
    Reply::json(status, &ParticipantBody::from(participant))
        .with_state(&participant.tag(), participant.updated_at)
}

/// Somebody to invite: by id or by address, one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteeInput {
    /// Their id.
    #[serde(default, deserialize_with = "present")]
    user_id: Option<Uuid>,
    /// Their address.
    #[serde(default, deserialize_with = "present")]
    email: Option<String>,
    /// What is expected of them; required unless said otherwise.
    #[serde(default)]
    role: Option<ParticipantRole>,
}

/// One person, or up to 500 at once.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what `read_invitations` reads")]
pub(crate) enum InviteInput {
    /// One.
    One(InviteeInput),
    /// Several.
    Several {
        /// Whom.
        participants: Vec<InviteeInput>,
    },
}

/// What came of inviting several at once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitedBody {
    /// The new participants, in the order in which they were named.
    items: Vec<ParticipantBody>,
}

/// Either form; which it is shows in the field `participants`, so that a fault is explained in terms of the form meant.
fn read_invitations(body: serde_json::Value) -> Result<(Vec<Invitation>, bool), Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Several {
        participants: Vec<InviteeInput>,
    }
    let several = body.get("participants").is_some();
    let items = body
        .get("participants")
        .and_then(serde_json::Value::as_array);
    if let Some(at) = items.and_then(|items| items.iter().position(|item| !item.is_object())) {
        let mut faults = Faults::default();
        faults.add(&format!("/participants/{at}"), "invalid_type", "an object");
        return Err(Problem::invalid(faults.into_vec()));
    }
    let inputs = if several {
        super::extract::fit_json::<Several>(body)
            .map_err(Problem::invalid)?
            .participants
    } else {
        vec![super::extract::fit_json::<InviteeInput>(body).map_err(Problem::invalid)?]
    };
    let mut faults = Faults::default();
    if inputs.is_empty() || inputs.len() > INVITE_MAX {
        faults.add(
            "/participants",
            "out_of_range",
            format!("1 to {INVITE_MAX} people"),
        );
    }
    let mut invitations = Vec::with_capacity(inputs.len());
    for (i, input) in inputs.into_iter().enumerate() {
        let at = if several {
            format!("/participants/{i}")
        } else {
            String::new()
        };
        let (invitee, field) = match (input.user_id, input.email) {
            (Some(id), None) => (Invitee::User(id), "user_id"),
            (None, Some(email)) => {
                text::email(&mut faults, &format!("{at}/email"), &email);
                (Invitee::Email(email), "email")
            }
            _ => {
                faults.add(&at, "invalid_invitee", "either user_id or email");
                continue;
            }
        };
        invitations.push(Invitation {
            invitee,
            role: input.role.unwrap_or_default(),
            pointer: format!("{at}/{field}"),
        });
    }
    faults.or((invitations, several)).map_err(Problem::invalid)
}

fn invited(event_id: Uuid, several: bool) -> impl Fn(&Vec<Participant>) -> Reply + Send + Sync {
    move |participants| match participants.as_slice() {
        [one] if !several => {
            let location = format!("/api/v1/events/{event_id}/participants/{}", one.user_id);
            reply(StatusCode::CREATED, one).with(header::LOCATION, location)
        }
        all => Reply::json(
            StatusCode::CREATED,
            &InvitedBody {
                items: all.iter().map(ParticipantBody::from).collect(),
            },
        ),
    }
}

/// Invite people
///
/// One, or up to 500 at once; all or none of them.
#[utoipa::path(post, path = "/api/v1/events/{event_id}/participants/", tag = "participants", operation_id = "inviteParticipants",
    request_body = InviteInput, responses((status = 201, description = "The participant, or the participants", body = ParticipantBody)))]
pub(super) async fn invite(
    State(api): State<Api>,
    caller: Caller,
    Id(event_id): Id,
    _: NoParams,
    once: Once,
    Json(body): Json<serde_json::Value>,
) -> Answered<axum::response::Response> {
    let (invitations, several) = read_invitations(body)?;
    let answer = invited(event_id, several);
    let render = api.keeping(&answer);
    let participants = api
        .store
        .invite(
            caller.actor,
            event_id,
            &invitations,
            &Receipt::new(once.0, &render),
        )
        .await?;
    product::participants_invited(participants.len() as u64);
    Ok(answer(&participants).kept())
}

/// List participants
#[utoipa::path(get, path = "/api/v1/events/{event_id}/participants/", tag = "participants", operation_id = "listParticipants",
    responses((status = 200, description = "A page of participants", body = PageBody<ParticipantBody>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Id(event_id): Id,
    mut params: Params,
) -> Answered {
    let (pager, page) = page_of_event::<Uuid>(&api, caller, event_id, &mut params).await?;
    let found = api.store.participants(event_id, &page).await?;
    Ok(pager.reply(&params, found, |participant| {
        ParticipantBody::from(&participant)
    }))
}

/// Fetch a participant
#[utoipa::path(get, path = "/api/v1/events/{event_id}/participants/{user_id}", tag = "participants", operation_id = "getParticipant",
    responses((status = 200, description = "The participant", body = ParticipantBody)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Pair { event_id, user_id }: Pair,
    _: NoParams,
    headers: HeaderMap,
) -> Answered {
    api.store.event(caller.actor, event_id).await?;
    let participant = api.store.participant(event_id, user_id).await?;
    fresh(&headers, &participant.tag(), participant.updated_at, || {
        reply(StatusCode::OK, &participant)
    })
}

/// Remove a participant
///
/// The organizer may remove anyone, anyone themselves.
#[utoipa::path(delete, path = "/api/v1/events/{event_id}/participants/{user_id}", tag = "participants", operation_id = "removeParticipant",
    responses((status = 204, description = "They take part no longer")))]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Pair { event_id, user_id }: Pair,
    _: NoParams,
    headers: HeaderMap,
) -> Answered {
    let expected = if_match(&headers)?;
    api.store
        .remove_participant(caller.actor, event_id, user_id, &expected)
        .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Comment, D::Error> {
    Option::deserialize(from).map(Comment::Now)
}

/// An answer to an invitation, or to a public event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerInput {
    /// Whether they come.
    status: AnswerStatus,
    /// What they say with it; left out, what they said before stays.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    comment: Comment,
}

/// An answer.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerStatus {
    /// Comes; takes a seat.
    Accepted,
    /// Does not come.
    Declined,
    /// May come; takes no seat.
    Tentative,
}

impl From<AnswerStatus> for ParticipantStatus {
    fn from(status: AnswerStatus) -> Self {
        match status {
            AnswerStatus::Accepted => Self::Accepted,
            AnswerStatus::Declined => Self::Declined,
            AnswerStatus::Tentative => Self::Tentative,
        }
    }
}

/// Answer
///
/// By that participant alone. Anyone may join a public event by it. Accepting takes a seat, or a place in the queue.
#[utoipa::path(patch, path = "/api/v1/events/{event_id}/participants/{user_id}/status", tag = "participants", operation_id = "answer",
    request_body = AnswerInput, responses((status = 200, description = "The participant", body = ParticipantBody)))]
pub(super) async fn answer(
    State(api): State<Api>,
    caller: Caller,
    Pair { event_id, user_id }: Pair,
    _: NoParams,
    headers: HeaderMap,
    Json(input): Json<AnswerInput>,
) -> Answered {
    let mut faults = Faults::default();
    if let Comment::Now(Some(comment)) = &input.comment {
        text::prose(&mut faults, "/comment", comment, 0, COMMENT_MAX);
    }
    faults.or(()).map_err(Problem::invalid)?;
    let expected = if_match(&headers)?;
    if user_id != caller.actor.user_id {
        // Not told apart from an event that is not there, unless the caller may see it.
        api.store.event(caller.actor, event_id).await?;
        return Err(Problem::new(
            &super::problem_types::FORBIDDEN,
            "Everybody answers for themselves.",
        ));
    }
    let answer = Answer {
        status: input.status.into(),
        comment: input.comment,
    };
    let (participant, changed) = api
        .store
        .answer(caller.actor, event_id, &expected, &answer)
        .await?;
    if changed.status {
        product::participant_status_changed(participant.status.as_str());
    }
    if changed.admission {
        product::participant_admission_changed(participant.hold.admission().as_str());
    }
    Ok(reply(StatusCode::OK, &participant))
}
