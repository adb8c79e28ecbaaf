//! The only place where an error becomes a response: problem documents (RFC 9457).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::problem_types as types;
pub(crate) use super::problem_types::{ProblemType, TYPES};
use crate::{
    domain::{fault::Fault, page::CursorError},
    store::{self, Refusal},
    telemetry::scope,
};

/// Media type of a problem document (RFC 9457 §3).
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal or failure on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: &'static ProblemType,
    detail: Cow<'static, str>,
    errors: Vec<Fault>,
    /// `Retry-After`, in seconds.
    retry_after: Option<u64>,
    allow: Option<HeaderValue>,
}

/// A problem document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Page that describes this kind of problem, relative to the service.
    #[serde(rename = "type")]
    #[schema(example = "/docs/problems/validation_failed")]
    kind: String,
    /// What kind of problem it is, for people.
    #[schema(example = "The input is not valid")]
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 422, minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong this time, for people.
    detail: &'a str,
    /// The path that was asked for.
    #[schema(example = "/api/v1/events/")]
    instance: &'a str,
    /// What kind of problem it is, for programs; never changes.
    #[schema(example = "validation_failed")]
    code: &'a str,
    /// As in `x-request-id`.
    request_id: &'a str,
    /// As in `traceresponse`.
    trace_id: &'a str,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [Fault],
}

impl Problem {
    /// A problem of this type.
    pub(crate) fn new(kind: &'static ProblemType, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            allow: None,
        }
    }

    /// Input whose values are not valid.
    pub(crate) fn invalid(errors: Vec<Fault>) -> Self {
        let detail = match errors.len() {
            1 => "One value is not valid.".into(),
            n => format!("{n} values are not valid."),
        };
        Self {
            errors,
            ..Self::new(&types::VALIDATION_FAILED, detail)
        }
    }

    /// With the fields at fault.
    #[must_use]
    pub(crate) fn with_errors(self, errors: Vec<Fault>) -> Self {
        Self { errors, ..self }
    }

    /// With `Retry-After`, in seconds.
    #[must_use]
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// With `Allow`.
    #[must_use]
    pub(crate) fn allow(self, methods: Option<HeaderValue>) -> Self {
        Self {
            allow: methods,
            ..self
        }
    }

    /// What it is, for programs.
    pub(crate) const fn code(&self) -> &'static str {
        self.kind.code
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let scope = scope::current();
        let (request_id, trace_id, path) = match &scope {
            Some(scope) => (
                scope.request_id.as_str(),
                scope.trace_id(),
                scope.path.as_str(),
            ),
            None => ("", "", ""),
        };
        if let Some(scope) = &scope {
            scope.set_error_code(self.kind.code);
        }
        let body = ProblemBody {
            kind: format!("/docs/problems/{}", self.kind.code),
            title: self.kind.title,
            status: status.as_u16(),
            detail: &self.detail,
            instance: path,
            code: self.kind.code,
            request_id,
            trace_id,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after.or(self.kind.retry_after) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3: an error is named only when a token was sent and refused.
            let challenge = match self.kind.code {
                "invalid_token" => r#"Bearer realm="convoke", error="invalid_token""#,
                _ => r#"Bearer realm="convoke""#,
            };
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, methods);
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        Self::of(&error)
    }
}

impl Problem {
    /// What the client is told of a failure of the store; the one place where it is logged.
    pub(crate) fn of(error: &store::Error) -> Self {
        if let store::Error::Together(failure) = error {
            return Self::of(failure);
        }
        if error.is_failure() {
            let cause = store::chain(error);
            if matches!(error, store::Error::Database(_) | store::Error::Corrupt(_)) {
                tracing::error!(error = cause, "a store operation failed");
            } else {
                tracing::warn!(error = cause, "the database is unavailable");
            }
        }
        match error {
            store::Error::NotFound => Self::new(
                &types::NOT_FOUND,
                "There is no such thing here, or it is not visible to you.",
            ),
            store::Error::Forbidden => Self::new(
                &types::FORBIDDEN,
                "Only the organizer and admins may do this.",
            ),
            store::Error::Stale => Self::new(
                &types::STALE_VERSION,
                "It has changed since; fetch it again.",
            ),
            store::Error::Invalid(faults) => Self::invalid(faults.clone()),
            store::Error::Superseded => Self::new(
                &types::IDEMPOTENCY_IN_PROGRESS,
                "Another attempt with this key has taken over.",
            ),
            store::Error::Refused(refusal) => (*refusal).into(),
            store::Error::Unavailable(_) | store::Error::BatchRolledBack { .. } => Self::new(
                &types::DATABASE_UNAVAILABLE,
                "The database does not answer; nothing was changed.",
            ),
            store::Error::OutcomeUnknown(_) => Self::new(
                &types::DATABASE_UNAVAILABLE,
                "The database went away during the commit; fetch the thing to see whether it changed.",
            ),
            store::Error::Together(_) | store::Error::Database(_) | store::Error::Corrupt(_) => {
                Self::new(
                    &types::INTERNAL_ERROR,
                    "This is a fault of the service; it has been logged.",
                )
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::EmailTaken => {
                Self::new(&types::EMAIL_TAKEN, "Another account has this address.")
            }
            Refusal::CapacityExceeded => Self::new(
                &types::CAPACITY_EXCEEDED,
                "No seat is free, and the event keeps no waiting list.",
            ),
            Refusal::CapacityBelowSeats => Self::new(
                &types::CAPACITY_BELOW_SEATS,
                "More seats are taken than the new capacity has.",
            ),
            Refusal::EventCancelled => {
                Self::new(&types::EVENT_CANCELLED, "The event was called off.")
            }
            Refusal::AlreadyParticipant => Self::new(
                &types::ALREADY_PARTICIPANT,
                "One of these people takes part already; nobody was invited.",
            ),
            Refusal::TooManyAttachments => Self::new(
                &types::TOO_MANY_ATTACHMENTS,
                "The event has as many files as it may have.",
            ),
            Refusal::QuotaExceeded => Self::new(
                &types::QUOTA_EXCEEDED,
                "The files of the event, or yours, would come to more than they may.",
            ),
            Refusal::TooManyKeys => Self::new(
                &types::TOO_MANY_API_KEYS,
                "Revoke a key before making another.",
            ),
        }
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Invalid => Self::new(
                &types::INVALID_CURSOR,
                "The cursor does not belong to this list.",
            ),
            CursorError::Expired => {
                Self::new(&types::CURSOR_EXPIRED, "Begin again without a cursor.")
            }
        }
    }
}
