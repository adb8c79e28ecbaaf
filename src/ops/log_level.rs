//! Shows the log's filter and changes it for a time.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use tracing_subscriber::filter::LevelFilter;

use super::{OpsState, problem};
use crate::telemetry::FilterError;
use crate::telemetry::log_control::parse_filter;

/// A changed filter is forgotten sooner than a bill for logs is noticed.
const DEFAULT_TTL_SECONDS: u64 = 900;
const MAX_TTL_SECONDS: u64 = 86_400;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    filter: String,
    #[serde(default = "default_ttl")]
    ttl_seconds: u64,
}

fn default_ttl() -> u64 {
    DEFAULT_TTL_SECONDS
}

#[derive(Debug, Serialize)]
struct Level {
    filter: String,
    base_filter: String,
    /// Until `base_filter` comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<u128>,
}

pub(super) async fn show(State(state): State<OpsState>) -> Response {
    level(&state)
}

/// Takes the raw body: this listener owes its faults the same form as the API, whatever the content type.
pub(super) async fn change(State(state): State<OpsState>, body: Bytes) -> Response {
    let change: Change = match read(&body) {
        Ok(change) => change,
        Err((status, field, detail)) => return problem(status, &field, &detail),
    };
    if !(1..=MAX_TTL_SECONDS).contains(&change.ttl_seconds) {
        let range = format!("must be from 1 to {MAX_TTL_SECONDS}");
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "ttl_seconds", &range);
    }
    let ttl = Duration::from_secs(change.ttl_seconds);
    let before = state.log_control.filter();
    let tell = || {
        tracing::info!(
            before,
            after = change.filter,
            ttl_seconds = change.ttl_seconds,
            "log filter changed"
        );
    };
    // Told while the old filter holds, for the new one may leave the line out; or by the new one, if the old one does.
    let old = parse_filter(&before).ok();
    let heard = old.and_then(|old| old.max_level_hint()) >= Some(LevelFilter::INFO);
    if heard && parse_filter(&change.filter).is_ok() {
        tell();
    }
    match state.log_control.set(&change.filter, Some(ttl)) {
        Ok(()) => {
            if !heard {
                tell();
            }
            level(&state)
        }
        Err(error @ FilterError::Invalid(_)) => problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "filter",
            &error.to_string(),
        ),
        Err(error @ FilterError::Gone) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "filter",
            &error.to_string(),
        ),
    }
}

/// The change that was asked for, or what is wrong: the status, the faulty field, and words.
fn read(body: &[u8]) -> Result<Change, (StatusCode, String, String)> {
    let unreadable = |error: &serde_json::Error| {
        (
            StatusCode::BAD_REQUEST,
            "body".to_owned(),
            error.to_string(),
        )
    };
    // serde takes an array for an object whose fields have no names.
    if body.trim_ascii_start().starts_with(b"[") {
        let (field, detail) = ("body".to_owned(), "must be an object".to_owned());
        return Err((StatusCode::UNPROCESSABLE_ENTITY, field, detail));
    }
    let mut text = serde_json::Deserializer::from_slice(body);
    let change = serde_path_to_error::deserialize(&mut text).map_err(|error| {
        if error.inner().classify() != Category::Data {
            return unreadable(error.inner());
        }
        let (path, detail) = (error.path().to_string(), error.inner().to_string());
        // What is missing has no place in the body.
        let missing = detail
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next());
        let field = missing.unwrap_or(if path == "." { "body" } else { &path });
        (StatusCode::UNPROCESSABLE_ENTITY, field.to_owned(), detail)
    })?;
    text.end().map_err(|error| unreadable(&error))?;
    Ok(change)
}

fn level(state: &OpsState) -> Response {
    let left = state.log_control.time_left();
    // Rounded up: what was just set reads as it was asked for.
    let ttl_seconds = left.map(|left| left.as_millis().div_ceil(1000));
    Json(Level {
        filter: state.log_control.filter(),
        base_filter: state.log_control.base_filter().to_owned(),
        ttl_seconds,
    })
    .into_response()
}
