//! Metrics of the stores of files: calls, their errors, and bytes.

use std::time::Duration;

use metrics::Counter;

use super::family::{Family, Traced};
use crate::telemetry::exemplars::Source;

static OPERATIONS: Family<Traced, 3> = Family::new("storage_operation_duration_seconds");
static ERRORS: Family<Counter, 2> = Family::new("storage_operation_errors_total");
static BYTES: Family<Counter, 2> = Family::new("storage_transferred_bytes_total");

static FALLBACK_READS: Family<Counter, 1> = Family::new("storage_fallback_reads_total");

/// Makes the series of a store exist.
pub fn prime(
    storage: &'static str,
    operations: impl IntoIterator<Item = &'static str>,
    error_types: impl IntoIterator<Item = &'static str>,
) {
    for operation in operations {
        OPERATIONS.prime([storage, operation, ""]);
    }
    for error_type in error_types {
        ERRORS.prime([storage, error_type]);
    }
    FALLBACK_READS.prime([storage]);
    for direction in ["read", "written"] {
        BYTES.prime([storage, direction]);
    }
}

/// Records a call; `error_type` is `None` when it succeeded. A failure is counted as an error as well.
pub fn operation(
    storage: &'static str,
    operation: &'static str,
    error_type: Option<&'static str>,
    duration: Duration,
    span: &tracing::Span,
) {
    let labels = [storage, operation, error_type.unwrap_or_default()];
    OPERATIONS.with(labels, |one| {
        one.record(duration.as_secs_f64(), Source::Span(span));
    });
    if let Some(error_type) = error_type {
        failed(storage, error_type);
    }
}

/// Counts a failure in the middle of a stream.
pub fn failed(storage: &'static str, error_type: &'static str) {
    ERRORS.with([storage, error_type], |one| one.increment(1));
}

/// Counts bytes; `direction` is `read` or `written`.
pub fn transferred(storage: &'static str, direction: &'static str, bytes: u64) {
    BYTES.with([storage, direction], |one| one.increment(bytes));
}

/// Counts a file that was found in the store before this one, `storage`.
pub fn fallback_read(storage: &'static str) {
    FALLBACK_READS.with([storage], |one| one.increment(1));
}
