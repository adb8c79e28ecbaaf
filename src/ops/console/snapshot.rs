//! The document behind the page's figures: `GET /console/snapshot`.

use std::time::Duration;

use serde_json::{Value, json};

use super::history::{History, ROUTES_WINDOW, WINDOW};
use super::quantile::{as_number, quantile};
use super::sample::{Buckets, Channel, REQUESTS, Sample, WAITS, bounds};
use super::{About, Checks, EVERY, slo};

/// Routes in the table.
const MAX_ROUTES: usize = 24;

/// Seconds are given to the microsecond, rates to the hundredth.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

pub(super) fn of(history: &History, about: &About, checks: &Checks, filter: &str) -> Value {
    let latest = history.latest();
    json!({
        "at_ms": millis(latest.wall),
        "started_ms": millis(history.started_wall),
        "every_seconds": EVERY.as_secs(),
        "window_seconds": WINDOW.as_secs(),
        "about": about,
        "log_filter": filter,
        "readiness": checks,
        "totals": totals(latest),
        "now": now(latest, about),
        "series": series(history),
        "slos": slo::all(history),
        "outbox": latest.channels.iter().map(|(name, one)| channel(name, one)).collect::<Vec<_>>(),
        "routes": routes(history),
        "sample_ms": rounded(latest.cost.as_secs_f64() * 1e3, 2),
    })
}

/// Counters since the start, the same numbers as in `/metrics`.
fn totals(latest: &Sample) -> Value {
    let counter = |name| latest.counter(name);
    json!({
        "requests": latest.latency.total(),
        "by_class": {
            "1xx": latest.by_class[1], "2xx": latest.by_class[2], "3xx": latest.by_class[3],
            "4xx": latest.by_class[4], "5xx": latest.by_class[5],
        },
        "cancelled": counter("http_server_requests_cancelled_total"),
        "shed": counter("http_server_requests_shed_total"),
        "limited": counter("limited"),
        "panics": counter("panics_total"),
        "pool_timeouts": counter("db_client_connection_timeouts_total"),
        "database_retries": counter("db_client_operation_retries_total"),
        "spans_lost": counter("spans_lost"),
        "log_lines_lost": counter("telemetry_log_lines_dropped_total"),
        "latency_buckets": latest.latency.0,
        "latency_bounds_seconds": bounds(REQUESTS),
    })
}

fn now(latest: &Sample, about: &About) -> Value {
    let gauge = |name| latest.gauge(name);
    json!({
        "in_flight": gauge("http_server_active_requests"),
        "max_in_flight": about.max_in_flight,
        "connections": gauge("http_server_open_connections"),
        "pool": {
            "used": gauge("pool_used"),
            "idle": gauge("pool_idle"),
            "max": gauge("db_client_connection_max"),
            "waiting": gauge("db_client_connection_pending_requests"),
        },
        "memory_bytes": gauge("process_resident_memory_bytes"),
        "open_fds": gauge("process_open_fds"),
        "max_fds": gauge("process_max_fds"),
        "workers": gauge("tokio_runtime_workers"),
        "tasks": gauge("tokio_runtime_alive_tasks"),
    })
}

fn channel(name: &str, one: &Channel) -> Value {
    json!({
        "channel": name,
        "pending": one.pending,
        "oldest_seconds": rounded(one.oldest_seconds, 1),
        "dead": one.dead,
        "outcomes": one.outcomes,
    })
}

/// One point for each sample but the first; what is per second is over the time since the one before.
fn series(history: &History) -> Value {
    let samples: Vec<&Sample> = history.fine().collect();
    let pairs = || {
        samples
            .windows(2)
            .filter_map(|pair| <[&Sample; 2]>::try_from(pair).ok())
    };
    let points = |digits,
                  point: &dyn Fn(&Sample, &Sample, f64) -> Option<f64>|
     -> Vec<Option<f64>> {
        let seconds = |before: &Sample, after: &Sample| {
            after
                .at
                .saturating_duration_since(before.at)
                .as_secs_f64()
                .max(0.001)
        };
        let values = pairs().map(|[before, after]| point(before, after, seconds(before, after)));
        values
            .map(|value| value.map(|value| rounded(value, digits)))
            .collect()
    };
    let class = |class: usize| {
        points(2, &move |before, after, seconds| {
            let count = |sample: &Sample| sample.by_class.get(class).copied().unwrap_or(0);
            Some(as_number(count(after).saturating_sub(count(before))) / seconds)
        })
    };
    let latency = |q| {
        points(6, &move |before, after, _| {
            delta(&before.latency, &after.latency, q, REQUESTS)
        })
    };
    let gauge = |name: &'static str| points(2, &move |_, after, _| Some(after.gauge(name)));
    let rate = |name: &'static str| {
        points(4, &move |before, after, seconds| {
            let grown = after.gauge(name) - before.gauge(name);
            // Before the first sample nothing was known of the process.
            (before.gauge(name) > 0.0).then_some(grown.max(0.0) / seconds)
        })
    };
    let outbox = |value: fn(&Channel) -> f64| {
        points(1, &move |_, after, _| {
            Some(after.channels.values().map(value).sum())
        })
    };
    json!({
        "t_ms": pairs().map(|[_, after]| millis(after.wall)).collect::<Vec<_>>(),
        "rate_2xx": class(2), "rate_3xx": class(3), "rate_4xx": class(4), "rate_5xx": class(5),
        "p50": latency(0.5), "p95": latency(0.95), "p99": latency(0.99),
        "in_flight": gauge("http_server_active_requests"),
        "pool_used": gauge("pool_used"),
        "pool_waiting": gauge("db_client_connection_pending_requests"),
        "pool_wait_p95": points(6, &|before, after, _| delta(&before.waits, &after.waits, 0.95, WAITS)),
        "cpu": rate("process_cpu_seconds_total"),
        "busy": rate("tokio_runtime_worker_busy_seconds_total"),
        "memory_bytes": gauge("process_resident_memory_bytes"),
        "outbox_pending": outbox(|channel| channel.pending),
        "outbox_oldest_seconds": points(1, &|_, after, _| {
            let ages = after.channels.values().map(|one| one.oldest_seconds);
            // Not known is not none.
            Some(ages.fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) }))
        }),
    })
}

fn delta(before: &Buckets, after: &Buckets, q: f64, name: &str) -> Option<f64> {
    quantile(q, bounds(name), &after.since(before).0)
}

/// The routes that took requests of late, the slowest first.
fn routes(history: &History) -> Value {
    let (covered, routes) = history.routes();
    let seconds = covered.as_secs_f64().max(0.001);
    let mut rows: Vec<(f64, Value)> = routes
        .into_iter()
        .map(|((method, template), route)| {
            let count = route.buckets.total();
            let at = |q| quantile(q, bounds(REQUESTS), &route.buckets.0).unwrap_or(0.0);
            let row = json!({
                "method": method,
                "route": template,
                "count": count,
                "per_second": rounded(as_number(count) / seconds, 3),
                "failed": route.failed,
                "refused": route.refused,
                "mean": rounded(route.seconds / as_number(count), 6),
                "p50": rounded(at(0.5), 6),
                "p95": rounded(at(0.95), 6),
                "p99": rounded(at(0.99), 6),
            });
            (at(0.95), row)
        })
        .collect();
    rows.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let all = rows.len();
    rows.truncate(MAX_ROUTES);
    json!({
        "window_seconds": ROUTES_WINDOW.as_secs(),
        "covered_seconds": covered.as_secs(),
        "all": all,
        "rows": rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>(),
    })
}

fn millis(wall: Duration) -> u64 {
    u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)
}
