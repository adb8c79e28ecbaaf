//! Parts of answering a request that ask nobody, for `load-tests/bench/parts.rs` to time. No part of the API.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    bodies::Body, conditional, event_wire::EventBody, listing::PageBody, reply::Reply, tokens,
};
use crate::{
    config::Secret,
    domain::{clock::Clock, event::EventView},
};

/// The answer to a look-up of an event; `None` when the headers cannot be read.
pub fn event_answer(headers: &HeaderMap, event: EventView) -> Option<Response> {
    let (tag, updated_at) = (event.tag(), event.updated_at);
    let reply = conditional::fresh(headers, &tag, updated_at, || {
        Reply::json(StatusCode::OK, &EventBody::from(event))
    });
    Some(reply.ok()?.into_response())
}

/// Events as a list keeps them.
#[derive(Clone, Debug)]
pub struct Bodies(Vec<Body>);

impl Bodies {
    /// Writes each for the first time; `None` when one cannot be written.
    pub fn of(views: Vec<EventView>) -> Option<Self> {
        let bodies: Result<Vec<_>, _> = views.into_iter().map(Body::of).collect();
        Some(Self(bodies.ok()?))
    }

    /// The body of a page of them.
    pub fn page(self, next_cursor: String) -> Vec<u8> {
        let body = PageBody {
            items: self.0,
            next_cursor: Some(next_cursor),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// Whether `If-Match` can be read.
pub fn if_match(headers: &HeaderMap) -> bool {
    conditional::if_match(headers).is_ok()
}

/// Access tokens.
#[derive(Clone, Debug)]
pub struct Tokens(tokens::Tokens);

impl Tokens {
    /// Signed with this secret.
    pub fn new(secret: &str) -> Self {
        let hour = Duration::from_hours(1);
        Self(tokens::Tokens::new(
            &Secret::new(secret),
            &[],
            Clock::system(),
            hour,
        ))
    }

    /// One that nobody has sent yet; `None` when it cannot be signed.
    pub fn issue(&self, user_id: Uuid) -> Option<String> {
        Some(self.0.issue(user_id).ok()?.0)
    }

    /// Whose it is.
    pub fn verify(&self, token: &str) -> Option<Uuid> {
        Some(self.0.verify(token)?.1)
    }
}
