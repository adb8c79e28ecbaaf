//! `/debug/`: looking into a service in production. Each request here leaves a line in the log that says what was asked.

mod effective;
mod memory;
mod names;
mod pprof_format;
mod profile;
mod runtime;
mod samples;

pub use self::effective::describe;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request};
use axum::http::header;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::lifecycle::Lifecycle;
use crate::telemetry::in_flight::InFlight;

/// What can be looked into. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DebugState {
    lifecycle: Lifecycle,
    in_flight: InFlight,
    effective: Arc<Value>,
    turn: profile::Turn,
    started: Instant,
}

impl DebugState {
    /// The process's lifecycle, the requests in flight, and the settings as they may be shown.
    pub fn new(lifecycle: Lifecycle, in_flight: InFlight, effective: Value) -> Self {
        Self {
            lifecycle,
            in_flight,
            effective: Arc::new(effective),
            turn: profile::Turn::default(),
            started: Instant::now(),
        }
    }
}

/// What is here; the index and the tests go by it.
const PAGES: [(&str, &str); 5] = [
    (
        "/debug/runtime",
        "the runtime's workers, the background tasks, and the requests in flight, oldest first (limit=1 to 1000)",
    ),
    (
        "/debug/memory",
        "what the process takes of the machine's memory",
    ),
    (
        "/debug/config",
        "every setting in force, with its source and without secrets",
    ),
    (
        "/debug/pprof/profile",
        "a CPU profile in pprof's format (seconds=1 to 60, hz=1 to 250, format=pprof or folded)",
    ),
    (
        "/debug/pprof/heap",
        "501: there is no heap profile, and the answer says why",
    ),
];

/// The routes below `/debug/`.
pub(super) fn router(state: DebugState) -> Router {
    Router::new()
        .route("/debug/", get(index))
        .route("/debug/runtime", get(runtime::show))
        .route("/debug/memory", get(memory::show))
        .route("/debug/config", get(effective::show))
        .route(
            "/debug/pprof/profile",
            get(profile::take).head(profile::head),
        )
        .route("/debug/pprof/heap", get(profile::heap))
        .route_layer(from_fn(audit))
        .with_state(state)
}

async fn index() -> Response {
    let pages = PAGES.map(|(path, about)| json!({"path": path, "about": about}));
    uncached(
        &json!({"pages": pages, "see_also": ["/log-level", "/metrics", "/readyz", "/version"]}),
    )
}

/// These answers are true for a moment only.
fn uncached(body: &impl serde::Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// What a request asked for, in words of ours, for its line in the log: a raw query is never written there.
#[derive(Clone, Debug)]
struct Asked(String);

/// Writes the line of a request, also when its client goes away before the answer.
async fn audit(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let mut line = Line {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        peer: peer.map(|ConnectInfo(peer)| peer.to_string()),
        started: Instant::now(),
        status: 499,
        asked: None,
    };
    let response = next.run(request).await;
    line.status = response.status().as_u16();
    line.asked = response.extensions().get().cloned();
    response
}

struct Line {
    method: String,
    path: String,
    peer: Option<String>,
    started: Instant,
    status: u16,
    asked: Option<Asked>,
}

impl Drop for Line {
    fn drop(&mut self) {
        tracing::info!(
            target: "convoke::debug",
            method = self.method,
            path = self.path,
            asked = self.asked.as_ref().map(|asked| asked.0.as_str()),
            status = self.status,
            peer = self.peer,
            duration_ms = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            "looked into"
        );
    }
}
