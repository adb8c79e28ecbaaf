//! Metrics of the database client: operations by name, their errors, retries and the pool.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::error_types;
use super::family::{Family, Traced};
use crate::telemetry::exemplars::Source;

static OPERATIONS: Family<Traced, 3> = Family::new("db_client_operation_duration_seconds");
static ERRORS: Family<Counter, 2> = Family::new("db_client_operation_errors_total");
static BATCHES: Family<Histogram, 0> = Family::new("db_client_write_batch_size");
static LOOKUPS: Family<Histogram, 0> = Family::new("db_client_read_batch_size");
static RETRIES: Family<Counter, 2> = Family::new("db_client_operation_retries_total");
static CONNECTIONS: Family<Gauge, 2> = Family::new("db_client_connection_count");
static CONNECTIONS_MAX: Family<Gauge, 1> = Family::new("db_client_connection_max");
static PENDING: Family<Gauge, 1> = Family::new("db_client_connection_pending_requests");
static WAITS: Family<Histogram, 1> = Family::new("db_client_connection_wait_time_seconds");
static TIMEOUTS: Family<Counter, 1> = Family::new("db_client_connection_timeouts_total");

/// Makes the series of every named operation, every known error, every reason to retry, and the pools exist.
pub fn prime(
    system: &'static str,
    summaries: impl IntoIterator<Item = &'static str>,
    retry_reasons: impl IntoIterator<Item = &'static str>,
    pools: impl IntoIterator<Item = &'static str>,
) {
    for summary in summaries {
        OPERATIONS.prime([system, summary, ""]);
    }
    for error_type in error_types::all(system) {
        ERRORS.prime([system, error_type]);
    }
    BATCHES.prime([]);
    LOOKUPS.prime([]);
    for reason in retry_reasons {
        RETRIES.prime([system, reason]);
    }
    for pool in pools {
        CONNECTIONS.prime([pool, "idle"]);
        CONNECTIONS.prime([pool, "used"]);
        CONNECTIONS_MAX.prime([pool]);
        PENDING.prime([pool]);
        WAITS.prime([pool]);
        TIMEOUTS.prime([pool]);
    }
}

/// Records a named operation; `error_type` is one of [`error_types::all`], or `None` when it succeeded. A failure is
/// counted as an error as well. `span` is the operation's own.
pub fn operation(
    system: &'static str,
    summary: &'static str,
    error_type: Option<&'static str>,
    duration: Duration,
    span: &tracing::Span,
) {
    OPERATIONS.with([system, summary, error_type.unwrap_or_default()], |one| {
        one.record(duration.as_secs_f64(), Source::Span(span));
    });
    if let Some(error_type) = error_type {
        failed(system, error_type);
    }
}

/// Counts an operation that failed before its statement began, for want of a connection.
pub fn failed(system: &'static str, error_type: &'static str) {
    ERRORS.with([system, error_type], |one| one.increment(1));
}

/// Records how many writes shared a commit of SQLite's writer.
pub fn batch_committed(writes: usize) {
    let writes = u32::try_from(writes).unwrap_or(u32::MAX);
    BATCHES.with([], |one| one.record(f64::from(writes)));
}

/// Records how many look-ups shared a statement.
pub fn looked_up(asked: usize) {
    let asked = u32::try_from(asked).unwrap_or(u32::MAX);
    LOOKUPS.with([], |one| one.record(f64::from(asked)));
}

/// Counts an operation that is tried again.
pub fn retried(system: &'static str, reason: &'static str) {
    RETRIES.with([system, reason], |one| one.increment(1));
}

/// Sets the state of a pool.
pub fn pool(name: &'static str, idle: u32, used: u32, max: u32) {
    CONNECTIONS.with([name, "idle"], |one| one.set(idle));
    CONNECTIONS.with([name, "used"], |one| one.set(used));
    CONNECTIONS_MAX.with([name], |one| one.set(max));
}

/// Counts an operation as waiting for a connection until the answer is dropped, whatever ends the wait.
pub fn waiting(pool: &'static str) -> Waiting {
    let pending = PENDING.get([pool]);
    pending.increment(1.0);
    Waiting(pending)
}

/// An operation that waits for a connection.
#[derive(Debug)]
#[must_use = "it counts as waiting for as long as this lives"]
pub struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Records how long an operation waited for its connection.
pub fn waited(pool: &'static str, duration: Duration) {
    WAITS.with([pool], |one| one.record(duration.as_secs_f64()));
}

/// Counts a wait for a connection that was given up.
pub fn wait_timed_out(pool: &'static str) {
    TIMEOUTS.with([pool], |one| one.increment(1));
}
