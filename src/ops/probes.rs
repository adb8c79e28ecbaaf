//! The probes: alive, ready, and which build.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::OpsState;

/// What a check found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// It works.
    Ok,
    /// It does not, and the service cannot serve without it.
    Failed,
}

/// The answer of one dependency.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// What was asked, such as `database`.
    pub name: &'static str,
    /// What was found.
    pub status: CheckStatus,
    /// How long it took.
    pub latency_seconds: f64,
    /// What is wrong, in words fit for an operator; no secret and no address with a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The build that is running.
#[derive(Clone, Debug, Serialize)]
pub struct VersionInfo {
    /// The version of the program.
    pub version: &'static str,
    /// The revision it was built from.
    pub revision: &'static str,
    /// The Rust version it needs at least.
    pub rust_version: &'static str,
}

#[derive(Debug, Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<CheckReport>,
}

/// Touches nothing that can be slow: a restart does not mend a database.
pub(super) async fn live() -> impl IntoResponse {
    (no_store(), "ok\n")
}

pub(super) async fn ready(State(state): State<OpsState>) -> impl IntoResponse {
    let checks = (state.readiness)().await;
    let is_ready = checks.iter().all(|check| check.status == CheckStatus::Ok);
    let (code, status) = if is_ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    (code, no_store(), Json(Readiness { status, checks }))
}

pub(super) async fn version(State(state): State<OpsState>) -> impl IntoResponse {
    Json(state.version)
}

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}
