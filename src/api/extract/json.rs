//! JSON bodies: what is not JSON is malformed, what does not fit is invalid, and each fault names its field.

use std::io;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    api::{layers::guard::BodyTime, problem::Problem, problem_types as types},
    domain::{
        fault::{Fault, Faults},
        patch::unknown,
    },
    telemetry::scope,
};

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub T);

/// Reads a body into memory; how large it may be, and how long it may take, is set by the body limit's layer.
pub(crate) async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let limit = request.extensions().get::<BodyTime>().copied();
    let _doing = scope::doing("body");
    let reading = request.into_body().collect();
    let read = match limit {
        Some(BodyTime(limit)) => timeout(limit, reading).await,
        None => Ok(reading.await),
    };
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(failure)) if is_too_large(&failure) => Err(Problem::new(
            &types::BODY_TOO_LARGE,
            "The body is larger than the service accepts.",
        )),
        // Whoever sent it broke off: in the books it is the client that was slow, as it is below.
        Ok(Err(failure)) if is_cut_off(&failure) => {
            Err(Problem::new(&types::BODY_TIMEOUT, "The body ended early."))
        }
        Ok(Err(_)) => Err(Problem::new(
            &types::MALFORMED_JSON,
            "The body cannot be read.",
        )),
        Err(_) => Err(Problem::new(
            &types::BODY_TIMEOUT,
            "The body did not arrive in time.",
        )),
    }
}

/// The body of a request that has nothing to say: none, or an empty object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}

        let body = read_body(request).await?;
        if !body.trim_ascii().is_empty() {
            let Nothing {} = parse_json(&body)?;
        }
        Ok(Self)
    }
}

/// What is behind a failure, if it is of this kind: itself or one of its causes.
fn cause<E: std::error::Error + 'static>(failure: &axum::Error) -> Option<&E> {
    let first: &(dyn std::error::Error + 'static) = failure;
    std::iter::successors(Some(first), |error| error.source())
        .find_map(|error| error.downcast_ref())
}

/// Whether the connection ended within a body.
fn is_cut_off(failure: &axum::Error) -> bool {
    cause::<io::Error>(failure).is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        )
    })
}

/// Whether a body is larger than its limit.
pub(crate) fn is_too_large(failure: &axum::Error) -> bool {
    cause::<LengthLimitError>(failure).is_some()
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
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde would read an array as the values of an object's fields.
    if body.trim_ascii_start().first() == Some(&b'[') {
        let fault = type_fault("", "invalid type: sequence, expected an object");
        return Err(Problem::invalid(vec![fault]));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|failure| {
        let place = pointer(failure.path());
        let failure = failure.into_inner();
        // What does not fit may not be JSON either, further on.
        match serde_json::from_slice::<IgnoredAny>(body) {
            Err(syntax) => malformed(&syntax),
            Ok(_) if failure.is_data() => {
                Problem::invalid(vec![type_fault(&place, &failure.to_string())])
            }
            Ok(_) => malformed(&failure),
        }
    })?;
    reader.end().map_err(|failure| malformed(&failure))?;
    Ok(value)
}

/// Reads a field that is an object. serde alone would take an array of its values as well.
pub(crate) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<T, D::Error> {
    let object = serde_json::Map::<String, Value>::deserialize(from)?;
    T::deserialize(Value::Object(object)).map_err(D::Error::custom)
}

/// Reads a field that may be left out but not null.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Notes every name in a merge patch that its target does not know.
pub(crate) fn refuse_unknown(faults: &mut Faults, at: &str, target: &Value, patch: &Value) {
    for name in unknown(target, patch) {
        let name = name.replace('~', "~0").replace('/', "~1");
        faults.add(
            &format!("{at}/{name}"),
            "unknown_field",
            "a field that this can have",
        );
    }
}

/// Fits a value already read into a type.
pub(crate) fn fit_json<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Vec<Fault>> {
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
