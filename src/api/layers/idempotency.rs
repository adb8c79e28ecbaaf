//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the first answer is kept and given again.
//!
//! A key is reserved before the work; the work keeps its answer in its own transaction (see `store::Receipt`), so that a crash
//! leaves either both or neither. An answer without a write (a 4xx) is kept here. 5xx and 429 are not kept.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use crate::{
    api::{
        Api,
        extract::read_body,
        layers::guard::brings_a_file,
        principal::{Authentication, Principal},
        problem::Problem,
        problem_types as types,
        reply::{Kept, Reply},
    },
    store::{self, Reservation, Store, Ticket},
    telemetry::instruments::protection,
};

/// Longest key, in characters.
const KEY_MAX: usize = 255;

/// The right to do this request's work once; empty when the client did not ask for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Once(pub Option<Ticket>);

/// Marks a request whose key is not well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BadKey;

impl<S: Send + Sync> FromRequestParts<S> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.extensions.get::<BadKey>().is_some() {
            let detail = "Idempotency-Key is one quoted string or token of 1 to 255 printable ASCII characters.";
            return Err(Problem::new(&types::INVALID_HEADER, detail));
        }
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Does the request's work once.
pub(crate) async fn once<F: Future<Output = Response>>(
    api: &Api,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    // To know whether a file is the same it would have to be kept, or sent again: it is not done once.
    if request.method() != Method::POST || brings_a_file(&request) {
        return next(request).await;
    }
    // Without a principal there is nobody whose key it could be; and an answer with tokens is nobody's to have twice.
    let Some(Authentication::Known(principal)) =
        request.extensions().get::<Authentication>().copied()
    else {
        return next(request).await;
    };
    match key_of(request.headers()) {
        Ok(None) => next(request).await,
        Ok(Some(_)) if request.uri().path().starts_with("/api/v1/auth/") => next(request).await,
        // Apart: what few requests need would make the way of all of them longer.
        Ok(Some(key)) => Box::pin(run_once(api, request, next, principal, &key))
            .await
            .unwrap_or_else(Problem::into_response),
        // Refused by the handler that would need it, so that a path without POST answers 405 all the same.
        Err(BadKey) => {
            request.extensions_mut().insert(BadKey);
            next(request).await
        }
    }
}

/// The key: a quoted string of structured fields (RFC 9651 §3.3.3) or a bare token.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, BadKey> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let read = || {
        let text = value.to_str().ok()?.trim();
        let key = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None if text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"\",;\\".contains(&b)) =>
            {
                text.to_owned()
            }
            None => return None,
        };
        (1..=KEY_MAX).contains(&key.len()).then_some(key)
    };
    match read() {
        Some(key) if values.next().is_none() => Ok(Some(key)),
        _ => Err(BadKey),
    }
}

fn unquote(text: &str) -> Option<String> {
    let mut key = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(key),
            '\\' => key.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            c if (' '..='~').contains(&c) => key.push(c),
            _ => return None,
        }
    }
}

/// The keys of requests that run in this process, with the hashes of their bodies: a repeat of one of them needs no database to
/// be refused. Whoever waits for an answer asks often.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

/// A key's place among those that run.
struct Place<'a> {
    running: &'a Running,
    key_hash: Vec<u8>,
}

impl Running {
    /// Takes a place for the key, or says what is wrong with the request when it is taken.
    fn enter(&self, key_hash: &[u8], body_hash: &[u8]) -> Result<Place<'_>, Reservation> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.get(key_hash) {
            Some(body) if body == body_hash => Err(Reservation::Running),
            Some(_) => Err(Reservation::Mismatch),
            None => {
                keys.insert(key_hash.to_vec(), body_hash.to_vec());
                Ok(Place {
                    running: self,
                    key_hash: key_hash.to_vec(),
                })
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut keys = self
            .running
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        keys.remove(&self.key_hash);
    }
}

async fn run_once<F: Future<Output = Response>>(
    api: &Api,
    request: Request,
    next: impl FnOnce(Request) -> F,
    principal: Principal,
    key: &str,
) -> Result<Response, Problem> {
    let mut hash = Sha256::new();
    let path = request.uri().path().trim_end_matches('/').to_owned();
    for part in [
        principal.id().as_bytes().as_slice(),
        request.method().as_str().as_bytes(),
        path.as_bytes(),
        key.as_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let key_hash = hash.finalize().to_vec();
    let (mut parts, body) = request.into_parts();
    let body = read_body(Request::new(body)).await?;
    let body_hash = Sha256::digest(&body).to_vec();

    let place = api.running.enter(&key_hash, &body_hash);
    let ticket = Ticket::new(key_hash.clone());
    // Whatever ends the request early, even while it reserves the key, the key is given back.
    let mut guard = Release {
        api: api.clone(),
        ticket: None,
    };
    let reservation = match &place {
        Err(Reservation::Mismatch) => Reservation::Mismatch,
        Err(_) => Reservation::Running,
        Ok(_) => {
            guard.ticket = Some(ticket.clone());
            let lease = api.limits.request_timeout * 2;
            let ttl = api.limits.idempotency_ttl;
            api.store.reserve(&ticket, &body_hash, lease, ttl).await?
        }
    };
    let (outcome, refusal) = match reservation {
        Reservation::New => ("new", None),
        Reservation::Done(answer) => {
            guard.ticket = None;
            protection::idempotency_asked("replayed");
            return replay(api, &answer);
        }
        Reservation::Running => {
            let detail = "The first request with this key is still running.";
            (
                "conflict",
                Some(Problem::new(&types::IDEMPOTENCY_IN_PROGRESS, detail)),
            )
        }
        Reservation::Mismatch => {
            let detail = "This key was used with another body.";
            (
                "mismatch",
                Some(Problem::new(&types::IDEMPOTENCY_KEY_REUSED, detail)),
            )
        }
    };
    protection::idempotency_asked(outcome);
    if let Some(refusal) = refusal {
        guard.ticket = None;
        return Err(refusal);
    }
    parts.extensions.insert(Once(Some(ticket.clone())));
    let response = next(Request::from_parts(parts, Body::from(body))).await;
    if response.extensions().get::<Kept>().is_some() {
        guard.ticket = None;
        return Ok(response);
    }
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes().to_vec())
        .unwrap_or_default();
    let reply = Reply::from_parts(&parts, body.clone());
    match api
        .store
        .keep_answer(&ticket, &api.tokens.seal(&reply.to_bytes()))
        .await
    {
        Ok(()) => guard.ticket = None,
        // The answer is right all the same; only a repeat would be worked out again.
        Err(failure) => {
            let error = store::chain(&failure);
            tracing::warn!(error, "an answer could not be kept");
        }
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(api: &Api, answer: &[u8]) -> Result<Response, Problem> {
    let reply = api.tokens.unseal(answer).and_then(|(used, bytes)| {
        protection::secret_key_used("kept_answer", used.as_str());
        Reply::from_bytes(&bytes)
    });
    let Some(reply) = reply else {
        // The secret was changed since, and the one before is not accepted any more.
        return Err(Problem::new(
            &types::IDEMPOTENCY_KEY_REUSED,
            "The kept answer can no longer be read; use a new key.",
        ));
    };
    let mut response = reply.into_response();
    response
        .headers_mut()
        .insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

struct Release {
    api: Api,
    ticket: Option<Ticket>,
}

impl Drop for Release {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let store = self.api.store.clone();
        self.api
            .lifecycle
            .spawn("idempotency.release", give_back(store, ticket));
    }
}

/// Gives a key back, trying for a while: until its lease runs out nobody can use it.
async fn give_back(store: Store, ticket: Ticket) {
    for pause in [100, 500, 2_000, 5_000] {
        match store.release(&ticket).await {
            Ok(true) => return,
            // A reservation that was cut off may still be on its way.
            Ok(false) => {}
            Err(failure) => {
                tracing::debug!(
                    error = store::chain(&failure),
                    "an idempotency key could not be given back yet"
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &'static str) -> Result<Option<String>, BadKey> {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_static(value));
        key_of(&headers)
    }

    #[test]
    fn a_key_is_a_token_or_a_quoted_string() {
        assert_eq!(key("abc-1"), Ok(Some("abc-1".into())));
        assert_eq!(key("\"abc-1\""), Ok(Some("abc-1".into())));
        assert_eq!(key(r#""a\"b\\c d""#), Ok(Some("a\"b\\c d".into())));
        for bad in ["", "\"", "\"a", "\"a\"b", "a b", "a,b", "\"\"", "\"a\\n\""] {
            assert_eq!(key(bad), Err(BadKey), "{bad}");
        }
    }
}
