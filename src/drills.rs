//! Faults that a fire drill cannot put in from outside. Built only with the feature `drills`, which no release has.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use crate::telemetry::instruments::protection;

/// The header by which a request to the API asks its handler to panic.
const HEADER: &str = "x-drill";
const MIB: usize = 1024 * 1024;

/// What was asked to be kept in memory.
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// The routes on the ops listener: `POST /debug/drills/{fault}/{value}`.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/debug/drills/block/{milliseconds}", post(block))
        .route("/debug/drills/memory/{mebibytes}", post(keep_memory))
        .route("/debug/drills/series/{count}", post(make_series))
}

/// Panics where a handler would, if the request asks for it.
pub(crate) fn obey(headers: &HeaderMap) {
    assert!(
        headers.get(HEADER).is_none_or(|asked| asked != "panic"),
        "a fire drill asked for a panic"
    );
}

/// Blocks every worker of the event loop.
#[expect(clippy::disallowed_methods, reason = "no task of the service's")]
async fn block(Path(milliseconds): Path<u64>) -> StatusCode {
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    for _ in 0..workers {
        tokio::spawn(async move { std::thread::sleep(Duration::from_millis(milliseconds)) });
    }
    StatusCode::NO_CONTENT
}

/// Takes memory and keeps it. Written to, because untouched pages take none.
async fn keep_memory(Path(mebibytes): Path<f64>) -> StatusCode {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few hundred"
    )]
    let bytes = (mebibytes * 1024.0) as usize * (MIB / 1024);
    KEPT.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(vec![1; bytes]);
    StatusCode::NO_CONTENT
}

/// Gives a label of two metrics as many values, as a defect would that let clients fill it.
async fn make_series(Path(count): Path<u32>) -> StatusCode {
    for number in 0..count {
        let policy = String::leak(format!("drill-{number}"));
        protection::rate_limit_decided(policy, "allowed");
        protection::rate_limit_tracked(policy, 1);
    }
    StatusCode::NO_CONTENT
}
