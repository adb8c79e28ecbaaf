//! What handlers ask of a request: its body, its query, its ids and its caller; each fault names its place.

mod json;
mod params;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use http::Method;
use uuid::Uuid;

pub(crate) use self::{
    json::{Json, NoBody, fit_json, is_too_large, object, present, read_body, refuse_unknown},
    params::{NoParams, Params},
};
use super::{
    principal::{Authentication, Principal},
    problem::Problem,
    problem_types as types,
};
use crate::domain::{actor::Actor, user::Scope};

/// The one id in the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id(pub Uuid);

/// The ids of a participant's path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    /// The event.
    pub event_id: Uuid,
    /// The person.
    pub user_id: Uuid,
}

/// The ids of an attachment's path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttachedTo {
    /// The event.
    pub event_id: Uuid,
    /// The file.
    pub attachment_id: Uuid,
}

/// The ids in the path, in order. One that is no UUID names nothing.
async fn path_ids<S: Send + Sync, const N: usize>(
    parts: &mut Parts,
    state: &S,
) -> Result<[Uuid; N], Problem> {
    let nothing = || {
        Problem::new(
            &types::NOT_FOUND,
            "There is no such thing here, or it is not visible to you.",
        )
    };
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| nothing())?;
    let ids: Option<Vec<Uuid>> = params.iter().map(|(_, value)| parse_id(value)).collect();
    ids.and_then(|ids| ids.try_into().ok()).ok_or_else(nothing)
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_ids(parts, state).await.map(|[id]| Self(id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Pair {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_ids(parts, state)
            .await
            .map(|[event_id, user_id]| Self { event_id, user_id })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AttachedTo {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_ids(parts, state)
            .await
            .map(|[event_id, attachment_id]| Self {
                event_id,
                attachment_id,
            })
    }
}

/// A UUID in its canonical form (RFC 9562 §4), either case.
pub(super) fn parse_id(text: &str) -> Option<Uuid> {
    if text.len() == 36 {
        Uuid::try_parse(text).ok()
    } else {
        None
    }
}

/// The caller, who must be somebody and may do what the method says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Who acts.
    pub actor: Actor,
}

/// The caller, who must have logged in: no key will do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    /// Who acts.
    pub actor: Actor,
}

fn authenticated(parts: &Parts) -> Result<Principal, Problem> {
    match parts.extensions.get::<Authentication>() {
        Some(Authentication::Known(principal)) => Ok(*principal),
        Some(Authentication::Refused(_)) => Err(Problem::new(
            &types::INVALID_TOKEN,
            "The token is malformed, expired or revoked.",
        )),
        Some(Authentication::Anonymous) | None => Err(Problem::new(
            &types::UNAUTHENTICATED,
            "Send a bearer token.",
        )),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let principal = authenticated(parts)?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        match principal {
            Principal::Key {
                scope: Scope::Read, ..
            } if !reads => Err(Problem::new(
                &types::INSUFFICIENT_SCOPE,
                "This key may only read.",
            )),
            principal => Ok(Self {
                actor: principal.actor(),
            }),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match authenticated(parts)? {
            Principal::User { actor } => Ok(Self { actor }),
            Principal::Key { .. } => Err(Problem::new(
                &types::INSUFFICIENT_SCOPE,
                "Keys cannot do this; log in.",
            )),
        }
    }
}
