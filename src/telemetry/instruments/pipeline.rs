//! Metrics of the telemetry itself: spans, log lines and expositions.

use std::time::Duration;

use metrics::{Counter, Gauge};

use super::family::Family;

static SPANS: Family<Counter, 1> = Family::new("telemetry_spans_total");
static LINES_DROPPED: Family<Counter, 0> = Family::new("telemetry_log_lines_dropped_total");
static SERIES: Family<Gauge, 0> = Family::new("telemetry_series");
static SCRAPES: Family<Gauge, 0> = Family::new("telemetry_scrape_duration_seconds");

/// Makes the series exist.
pub fn prime() {
    for outcome in ["exported", "failed", "dropped"] {
        SPANS.prime([outcome]);
    }
    LINES_DROPPED.prime([]);
    SERIES.prime([]);
    SCRAPES.prime([]);
}

/// The counter of the spans that end in `outcome`: exported, failed or dropped.
pub fn spans(outcome: &'static str) -> Counter {
    SPANS.get([outcome])
}

/// The counter of the log lines lost.
pub fn log_lines_dropped() -> Counter {
    LINES_DROPPED.get([])
}

/// Sets how long the last exposition took.
pub fn scraped(duration: Duration) {
    SCRAPES.with([], |one| one.set(duration.as_secs_f64()));
}
