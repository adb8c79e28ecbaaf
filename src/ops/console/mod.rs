//! The ops console: one page that shows metrics, traces and logs of this process to somebody who has nothing else.
//!
//! The page asks for two documents, which are the same for everybody who looks: the figures, made once with each sample, and
//! the list of kept requests, made at most once a second. Nothing here asks the database: the readiness checks shown are the
//! last that were made, for whoever; so it answers during an outage or an overload as at any other time.

mod assets;
mod history;
mod quantile;
mod sample;
mod slo;
mod snapshot;
#[cfg(test)]
mod tests;
mod traces;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use self::history::History;
use self::sample::Sample;
use super::{CheckReport, LastChecks, LogControl, OpsState, VersionInfo};
use crate::telemetry::ring::ring;
use crate::telemetry::wall_clock;

/// How often the figures are taken.
pub const EVERY: Duration = Duration::from_secs(5);
/// How long a list of kept requests serves everybody.
const LIST_FOR: Duration = Duration::from_secs(1);

/// What the page says of the build and its settings, besides what is measured. No secret and no address of a dependency.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// The build.
    #[serde(flatten)]
    pub version: VersionInfo,
    /// `development` or `production`.
    pub environment: &'static str,
    /// This process, as `service.instance.id` in traces.
    pub instance: String,
    /// Settings worth knowing on sight: the name, and the value in words.
    pub settings: Vec<(&'static str, String)>,
    /// Requests in flight at most.
    pub max_in_flight: usize,
}

/// The readiness checks, and when they were made.
#[derive(Clone, Debug, Default, Serialize)]
struct Checks {
    /// Milliseconds since the epoch; none yet when absent.
    at_ms: Option<u64>,
    checks: Vec<CheckReport>,
}

/// The console's memory. Cheap to clone.
#[derive(Clone)]
pub struct Console(Arc<Shared>);

struct Shared {
    about: About,
    log_control: LogControl,
    state: Mutex<Sampled>,
    page: Mutex<Bytes>,
    list: Mutex<Option<(Instant, Bytes)>>,
}

struct Sampled {
    history: History,
    checks: Checks,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

impl Console {
    /// With nothing sampled yet; every figure counts from now.
    pub fn new(about: About, log_control: LogControl) -> Self {
        let state = Sampled {
            history: History::new(Instant::now(), wall_clock()),
            checks: Checks::default(),
        };
        let console = Self(Arc::new(Shared {
            about,
            log_control,
            state: Mutex::new(state),
            page: Mutex::new(Bytes::new()),
            list: Mutex::new(None),
        }));
        console.sample(None);
        console
    }

    /// Samples for as long as it is polled.
    pub async fn run(self, last_checks: LastChecks) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (console, runtime) = (self.clone(), tokio::runtime::Handle::current());
            let last_checks = Arc::clone(&last_checks);
            let taken = tokio::task::spawn_blocking(move || {
                console.note_checks(last_checks());
                console.sample(Some(&runtime));
            });
            if let Err(failure) = taken.await {
                tracing::error!(error = %failure, "the console's figures could not be taken");
            }
        }
    }

    fn note_checks(&self, last: Option<(Duration, Vec<CheckReport>)>) {
        if let Some((at, checks)) = last {
            let at_ms = u64::try_from(at.as_millis()).ok();
            self.lock().checks = Checks { at_ms, checks };
        }
    }

    /// Takes a sample and makes the page of it. Requests wait for the page's lock only, under which nothing is made.
    fn sample(&self, runtime: Option<&tokio::runtime::Handle>) {
        let began = Instant::now();
        let mut sample = Sample::take(runtime);
        sample.cost = began.elapsed();
        let filter = self.0.log_control.filter();
        let mut state = self.lock();
        state.history.add(sample);
        let page = to_json(&snapshot::of(
            &state.history,
            &self.0.about,
            &state.checks,
            &filter,
        ));
        drop(state);
        *self.page() = page;
    }

    fn page(&self) -> std::sync::MutexGuard<'_, Bytes> {
        self.0.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sampled> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self) -> Bytes {
        let mut list = self.0.list.lock().unwrap_or_else(PoisonError::into_inner);
        match &*list {
            Some((made, text)) if made.elapsed() < LIST_FOR => text.clone(),
            _ => {
                let text = to_json(&traces::list(&ring().records()));
                *list = Some((Instant::now(), text.clone()));
                text
            }
        }
    }
}

fn to_json(value: &impl Serialize) -> Bytes {
    // Plain structures of ours; there is nothing in them that JSON has no word for.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

/// The page, its parts, and its two documents.
pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/console/snapshot", get(figures))
        .route("/console/traces", get(list))
        .route("/console/traces/{id}", get(one))
        .merge(assets::routes())
}

async fn figures(State(state): State<OpsState>) -> Response {
    let page = state.console.page().clone();
    json(page)
}

async fn list(State(state): State<OpsState>) -> Response {
    json(state.console.list())
}

async fn one(Path(id): Path<String>) -> Response {
    match traces::find(&ring().records(), &id) {
        Some(found) => json(to_json(&found)),
        None => (
            StatusCode::NOT_FOUND,
            [(header::CACHE_CONTROL, "no-store")],
            "it is not kept, or no longer\n",
        )
            .into_response(),
    }
}

fn json(body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}
