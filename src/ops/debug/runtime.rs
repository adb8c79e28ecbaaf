//! `GET /debug/runtime`: what the process is at, for when it hangs.

use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Handle, RuntimeMetrics};

use super::{Asked, DebugState, uncached};
use crate::lifecycle::tasks::TaskReport;
use crate::ops::{problem, query_problem};
use crate::telemetry::in_flight::RequestReport;

/// How long the workers are watched for their busy ratio.
const WATCH: Duration = Duration::from_millis(200);
const LIMIT: std::ops::RangeInclusive<usize> = 1..=1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Report {
    phase: &'static str,
    uptime_seconds: f64,
    /// Whether a CPU profile is being taken.
    profiling: bool,
    runtime: Runtime,
    tasks: Vec<TaskReport>,
    requests: Requests,
}

#[derive(Debug, Serialize)]
struct Runtime {
    alive_tasks: usize,
    global_queue_depth: usize,
    /// Over which the busy ratios were taken.
    watched_seconds: f64,
    workers: Vec<Worker>,
}

#[derive(Debug, Serialize)]
struct Worker {
    number: usize,
    /// 1 when it never rested. A worker that is stuck in one task reads 0: its time counts when the task lets go.
    busy_ratio: f64,
    busy_seconds_total: f64,
    parks_total: u64,
    /// Whether it rests now.
    parked: bool,
}

#[derive(Debug, Serialize)]
struct Requests {
    in_flight: usize,
    /// Of these, how many are too many to be kept track of.
    untracked: usize,
    oldest: Vec<RequestReport>,
}

pub(super) async fn show(
    State(state): State<DebugState>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let limit = match wanted {
        Ok(Query(wanted)) => wanted.limit.unwrap_or(100),
        Err(rejection) => {
            return query_problem(&rejection);
        }
    };
    if !LIMIT.contains(&limit) {
        let range = format!("must be from {} to {}", LIMIT.start(), LIMIT.end());
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "limit", &range);
    }
    let runtime = watch(&Handle::current().metrics()).await;
    let report = Report {
        phase: state.lifecycle.phase().as_str(),
        uptime_seconds: state.started.elapsed().as_secs_f64(),
        profiling: state.turn.is_taken(),
        runtime,
        tasks: state.lifecycle.tasks().report(),
        requests: Requests {
            in_flight: state.in_flight.count(),
            untracked: state.in_flight.untracked(),
            oldest: state.in_flight.oldest(limit),
        },
    };
    let mut response = uncached(&report);
    response
        .extensions_mut()
        .insert(Asked(format!("limit={limit}")));
    response
}

async fn watch(metrics: &RuntimeMetrics) -> Runtime {
    let busy = |worker| metrics.worker_total_busy_duration(worker);
    let before: Vec<Duration> = (0..metrics.num_workers()).map(busy).collect();
    let began = Instant::now();
    tokio::time::sleep(WATCH).await;
    let watched = began.elapsed();
    let workers = before.iter().enumerate().map(|(worker, before)| {
        let total = busy(worker);
        let share = total.saturating_sub(*before).as_secs_f64() / watched.as_secs_f64();
        Worker {
            number: worker,
            busy_ratio: share.min(1.0),
            busy_seconds_total: total.as_secs_f64(),
            parks_total: metrics.worker_park_count(worker),
            // It counts up when a worker begins to rest and when it goes on.
            parked: metrics.worker_park_unpark_count(worker) % 2 == 1,
        }
    });
    Runtime {
        alive_tasks: metrics.num_alive_tasks(),
        global_queue_depth: metrics.global_queue_depth(),
        watched_seconds: watched.as_secs_f64(),
        workers: workers.collect(),
    }
}
