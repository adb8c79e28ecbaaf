//! The ops listener's router: console, metrics, probes, version and log level. It is never mounted on the public one.

pub mod console;
pub mod debug;
mod gzip;
mod host;
mod log_level;
mod probes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use serde_json::json;
use tower_http::timeout::RequestBodyTimeoutLayer;

pub use self::console::{About, Console};
pub use self::probes::{CheckReport, CheckStatus, VersionInfo};

use crate::telemetry::exposition::Format;
use crate::telemetry::{Exposition, LogControl};

/// Longest pause between two parts of a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks every dependency how it is. What it asks must keep its own time limit.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<CheckReport>> + Send + Sync>;

/// What was found when the dependencies were asked last, and when, since the Unix epoch.
pub type LastChecks = Arc<dyn Fn() -> Option<(Duration, Vec<CheckReport>)> + Send + Sync>;

/// What the ops listener shows and changes.
#[derive(Clone)]
pub struct OpsState {
    /// Renders the metrics.
    pub exposition: Exposition,
    /// Reads and changes the log's filter.
    pub log_control: LogControl,
    /// Asks the dependencies.
    pub readiness: Readiness,
    /// The build.
    pub version: VersionInfo,
    /// What the console shows.
    pub console: Console,
    /// What can be looked into.
    pub debug: debug::DebugState,
    /// Names by which it may be asked, besides addresses and names without a dot; in lower case.
    pub hosts: Arc<[String]>,
}

impl std::fmt::Debug for OpsState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpsState")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The routes of the ops listener.
pub fn router(state: OpsState) -> Router {
    let debug = debug::router(state.debug.clone());
    #[cfg(feature = "drills")]
    let debug = debug.merge(crate::drills::router());
    let hosts = state.hosts.clone();
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/version", get(probes::version))
        .route("/log-level", get(log_level::show).put(log_level::change))
        .merge(console::routes())
        .with_state(state)
        .merge(debug)
        .layer(from_fn_with_state(hosts, host::check))
        // Its places are few, and the probes need one.
        .layer(RequestBodyTimeoutLayer::new(BODY_TIMEOUT))
}

/// A problem document (RFC 9457) that names the faulty field.
fn problem(status: StatusCode, field: &str, detail: &str) -> Response {
    let document = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": format!("{field}: {detail}"),
        "errors": [{ "field": field, "detail": detail }],
    });
    let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, media_type, document.to_string()).into_response()
}

/// The problem of a query that cannot be read, by the field that axum says is at fault.
fn query_problem(rejection: &QueryRejection) -> Response {
    let text = rejection.body_text();
    let told = text
        .rsplit_once("query string: ")
        .map_or(text.as_str(), |(_, told)| told);
    let (field, detail) = match told.split_once(": ") {
        Some((field, detail)) if !field.contains([' ', '`']) => (field, detail),
        _ => ("query", told),
    };
    problem(StatusCode::UNPROCESSABLE_ENTITY, field, detail)
}

async fn metrics(State(state): State<OpsState>, headers: HeaderMap) -> Response {
    let format = Format::negotiate(&headers);
    match state.exposition.scrape(format).await {
        Ok(text) => {
            let described = [
                (header::CONTENT_TYPE, format.content_type()),
                (header::VARY, "accept, accept-encoding"),
            ];
            if !gzip::is_wanted(&headers) {
                return (described, text).into_response();
            }
            match gzip::compress(text).await {
                Ok(bytes) => {
                    (described, [(header::CONTENT_ENCODING, "gzip")], bytes).into_response()
                }
                Err(failure) => problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "accept-encoding",
                    &failure.to_string(),
                ),
            }
        }
        Err(busy) => {
            let mut response = (StatusCode::SERVICE_UNAVAILABLE, busy.to_string()).into_response();
            let seconds = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
    }
}

#[cfg(test)]
mod tests;
