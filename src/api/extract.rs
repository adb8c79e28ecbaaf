//! What handlers ask of a request: its body, its query, its ids and its caller; each fault names its place.

use axum::{
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::request::Parts,
};
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    principal::{Authentication, Principal},
    problem::Problem,
    problem_types as types,
};
use crate::domain::{
    actor::Actor,
    fault::{Fault, Faults},
    user::Scope,
};

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub T);

/// Reads a body into memory; how large it may be is set by the body limit's layer.
pub(super) async fn read_body(request: Request) -> Result<axum::body::Bytes, Problem> {
    match request.into_body().collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(failure) if is_too_large(&failure) => Err(Problem::new(
            &types::BODY_TOO_LARGE,
            "The body is larger than the service accepts.",
        )),
        Err(_) => Err(Problem::new(
            &types::MALFORMED_JSON,
            "The body ended early.",
        )),
    }
}

fn is_too_large(failure: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(failure);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_json(headers: &HeaderMap, patch: bool) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (patch && essence.eq_ignore_ascii_case("application/merge-patch+json"))
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers(), request.method() == Method::PATCH) {
            return Err(Problem::new(
                &types::UNSUPPORTED_MEDIA_TYPE,
                "Send the body as application/json.",
            ));
        }
        let body = read_body(request).await?;
        parse_json(&body).map(Json)
    }
}

/// Reads JSON: what is not JSON is malformed, what does not fit is invalid.
pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|failure| {
        let place = pointer(failure.path());
        let failure = failure.into_inner();
        if failure.is_data() {
            Problem::invalid(vec![type_fault(&place, &failure.to_string())])
        } else {
            malformed(&failure)
        }
    })?;
    reader.end().map_err(|failure| malformed(&failure))?;
    Ok(value)
}

/// Fits a value already read into a type.
pub(super) fn fit_json<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Vec<Fault>> {
    serde_path_to_error::deserialize(value).map_err(|failure| {
        let place = pointer(failure.path());
        vec![type_fault(&place, &failure.into_inner().to_string())]
    })
}

fn malformed(failure: &serde_json::Error) -> Problem {
    Problem::new(&types::MALFORMED_JSON, format!("Not JSON: {failure}."))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use std::fmt::Write;

    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            // Writing to a string cannot fail.
            Segment::Seq { index } => drop(write!(pointer, "/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

/// What serde says of a value that does not fit, as a fault. Its words are the only way to learn which field it means.
fn type_fault(place: &str, message: &str) -> Fault {
    let message = message.split(" at line ").next().unwrap_or(message);
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let (code, names_field) = if message.starts_with("unknown field") {
        ("unknown_field", true)
    } else if message.starts_with("missing field") {
        ("required", true)
    } else if message.starts_with("duplicate field") {
        ("duplicate", true)
    } else if message.starts_with("unknown variant") {
        ("unknown_value", false)
    } else {
        ("invalid_type", false)
    };
    let quoted = quoted.replace('~', "~0").replace('/', "~1");
    let pointer = if names_field && !place.ends_with(&format!("/{quoted}")) {
        format!("{place}/{quoted}")
    } else {
        place.to_owned()
    };
    Fault {
        pointer,
        code: code.into(),
        detail: message.chars().take(300).collect(),
    }
}

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
        Some(Authentication::Refused) => Err(Problem::new(
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

/// The query's parameters: each is taken by name, and whatever is left is refused.
#[derive(Debug)]
pub(crate) struct Params {
    pub(super) path: String,
    pairs: Vec<(String, String)>,
    faults: Faults,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = read_query(query);
        let mut faults = Faults::default();
        for (i, (name, value)) in pairs.iter().enumerate() {
            if pairs[..i].iter().any(|(other, _)| other == name) {
                faults.add(&format!("?{name}"), "duplicate", "each parameter once");
            } else if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
                faults.add(
                    &format!("?{name}"),
                    "invalid_encoding",
                    "percent-encoded UTF-8",
                );
            }
        }
        if !faults.is_empty() {
            return Err(malformed_query(faults));
        }
        Ok(Self {
            path: parts.uri.path().to_owned(),
            pairs,
            faults: Faults::default(),
        })
    }
}

fn read_query(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn malformed_query(faults: Faults) -> Problem {
    Problem::new(&types::MALFORMED_QUERY, "The query string cannot be read.")
        .with_errors(faults.into_vec())
}

impl Params {
    /// The parameters but those that turn the pages, in a fixed order: what a cursor belongs to.
    pub(super) fn fingerprint(&self) -> String {
        let mut pairs: Vec<_> = self
            .pairs
            .iter()
            .filter(|(name, _)| name != "cursor" && name != "limit")
            .collect();
        pairs.sort();
        format!("{}?{pairs:?}", self.path)
    }

    /// The same request with another cursor, as a reference relative to the service.
    pub(super) fn with_cursor(&self, cursor: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().filter(|(name, _)| name != "cursor"));
        query.append_pair("cursor", cursor);
        format!("{}?{}", self.path, query.finish())
    }

    /// The parameter's text, if it was sent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The parameter as `read` understands it; a value that it does not is a fault.
    pub(super) fn parse<T>(
        &mut self,
        name: &str,
        accepted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.text(name)?);
        if value.is_none() {
            self.faults
                .add(&format!("?{name}"), "invalid_value", accepted);
        }
        value
    }

    /// Refuses faults, and parameters other than `known`.
    pub(super) fn check(&mut self, known: &[&str]) -> Result<(), Problem> {
        let mut unknown = Faults::default();
        for (name, _) in &self.pairs {
            if !known.contains(&name.as_str()) {
                unknown.add(
                    &format!("?{name}"),
                    "unknown_parameter",
                    format!("one of: {}", known.join(", ")),
                );
            }
        }
        if !unknown.is_empty() {
            return Err(malformed_query(unknown));
        }
        std::mem::take(&mut self.faults)
            .or(())
            .map_err(Problem::invalid)
    }
}

/// No query parameters at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoParams;

impl<S: Send + Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            Params::from_request_parts(parts, state).await?.check(&[])?;
        }
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read from JSON")]
        number: i64,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read from JSON")]
        list: Vec<Inner>,
    }

    fn fault(json: &str) -> (String, String) {
        let value = serde_json::from_str(json).unwrap();
        let fault = fit_json::<Outer>(value).unwrap_err().remove(0);
        (fault.pointer, fault.code.into_owned())
    }

    #[test]
    fn a_fault_points_at_its_field() {
        for (json, pointer, code) in [
            (
                r#"{"list": [{"number": 1}], "more": 1}"#,
                "/more",
                "unknown_field",
            ),
            (
                r#"{"list": [{"number": 1}, {"number": 1, "a/b": 2}]}"#,
                "/list/1/a~1b",
                "unknown_field",
            ),
            (r#"{"list": [{}]}"#, "/list/0/number", "required"),
            ("{}", "/list", "required"),
            (
                r#"{"list": [{"number": "x"}]}"#,
                "/list/0/number",
                "invalid_type",
            ),
        ] {
            assert_eq!(fault(json), (pointer.to_owned(), code.to_owned()), "{json}");
        }
    }
}
