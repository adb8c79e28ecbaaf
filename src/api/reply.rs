//! A whole answer, held in memory: so that it can be sent, and kept for an `Idempotency-Key`.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::domain::clock::truncate;

/// Status, headers and body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

/// Marks a response whose answer is kept already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept;

#[derive(Serialize, Deserialize)]
struct Stored {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A JSON answer. What is private to its reader is not kept by caches.
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self {
                status,
                headers: Vec::new(),
                body,
            }
            .with(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )
            .with(
                header::CACHE_CONTROL,
                HeaderValue::from_static("private, no-cache"),
            ),
            Err(failure) => {
                tracing::error!(error = %failure, "an answer cannot be written as JSON");
                Self::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Its status.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// With a header; one that cannot be written is left out.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.retain(|(known, _)| *known != name);
            self.headers.push((name, value));
        }
        self
    }

    /// With the validators of a single resource (RFC 9110 §8.8): a strong `ETag` and `Last-Modified`.
    #[must_use]
    pub(crate) fn with_state(self, tag: &str, modified: jiff::Timestamp) -> Self {
        self.with(header::ETAG, format!("\"{tag}\""))
            .with(header::LAST_MODIFIED, http_date(modified))
    }

    /// As bytes, to be kept.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let headers = self.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let stored = Stored {
            status: self.status.as_u16(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(&self.body).into_owned(),
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// What [`Self::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let mut reply = Self::empty(StatusCode::from_u16(stored.status).ok()?);
        for (name, value) in stored.headers {
            reply = reply.with(HeaderName::try_from(name).ok()?, value);
        }
        reply.body = stored.body.into_bytes();
        Some(reply)
    }

    /// From a response whose body has been read.
    pub(crate) fn from_parts(parts: &http::response::Parts, body: Vec<u8>) -> Self {
        let kept = [
            header::CONTENT_TYPE,
            header::CACHE_CONTROL,
            header::ETAG,
            header::LAST_MODIFIED,
            header::LOCATION,
        ];
        let headers = kept
            .into_iter()
            .filter_map(|name| parts.headers.get(&name).cloned().map(|value| (name, value)));
        Self {
            status: parts.status,
            headers: headers.collect(),
            body,
        }
    }

    /// As a response that need not be kept again.
    pub(crate) fn kept(self) -> Response {
        let mut response = self.into_response();
        response.extensions_mut().insert(Kept);
        response
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        // axum names a media type for any body, even an empty one.
        headers.remove(header::CONTENT_TYPE);
        headers.extend(self.headers);
        response
    }
}

/// An instant in the form of RFC 9110 §5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(instant: jiff::Timestamp) -> String {
    truncate(instant)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// Shorthand for the result of a handler.
pub(crate) type Answered<T = Reply> = Result<T, Problem>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_being_kept() {
        let reply = Reply::json(StatusCode::CREATED, &serde_json::json!({"a": "é"}))
            .with(header::LOCATION, "/x")
            .with_state("7", jiff::Timestamp::from_second(784_111_777).unwrap());
        let again = Reply::from_bytes(&reply.to_bytes()).unwrap();
        assert_eq!(
            (again.status, &again.headers, &again.body),
            (reply.status, &reply.headers, &reply.body)
        );
        let response = again.into_response();
        assert_eq!(
            response.headers()[header::LAST_MODIFIED],
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(response.headers()[header::ETAG], "\"7\"");
    }
}
