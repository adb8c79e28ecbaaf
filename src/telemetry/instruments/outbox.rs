//! Metrics of the outbox: what waits, what was delivered, and how late.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::family::Family;

static PENDING: Family<Gauge, 1> = Family::new("outbox_pending");
static OLDEST: Family<Gauge, 1> = Family::new("outbox_oldest_age_seconds");
static DEAD: Family<Gauge, 1> = Family::new("outbox_dead");
static DELIVERIES: Family<Counter, 2> = Family::new("outbox_deliveries_total");
static DURATIONS: Family<Histogram, 2> = Family::new("outbox_delivery_duration_seconds");
static LAGS: Family<Histogram, 1> = Family::new("outbox_delivery_lag_seconds");

/// Makes the series of every channel and outcome exist.
pub fn prime(channels: &[&'static str], outcomes: &[&'static str]) {
    for channel in channels {
        PENDING.prime([channel]);
        OLDEST.prime([channel]);
        DEAD.prime([channel]);
        LAGS.prime([channel]);
        for outcome in outcomes {
            DELIVERIES.prime([channel, outcome]);
            DURATIONS.prime([channel, outcome]);
        }
    }
}

/// Sets what waits in a channel: the deliveries pending and dead, and the age of the oldest that is due.
pub fn backlog(channel: &'static str, pending: u64, dead: u64, oldest: Duration) {
    PENDING.with([channel], |one| one.set(as_number(pending)));
    DEAD.with([channel], |one| one.set(as_number(dead)));
    OLDEST.with([channel], |one| one.set(oldest.as_secs_f64()));
}

/// Tells that nobody knows what waits in a channel: a value of before would be taken for one of now.
pub fn backlog_unknown(channel: &'static str) {
    for gauge in [&PENDING, &DEAD, &OLDEST] {
        gauge.with([channel], |one| one.set(f64::NAN));
    }
}

/// Records one delivery attempt and how it ended.
pub fn delivered(channel: &'static str, outcome: &'static str, duration: Duration) {
    DELIVERIES.with([channel, outcome], |one| one.increment(1));
    DURATIONS.with([channel, outcome], |one| one.record(duration.as_secs_f64()));
}

/// Records how long after it was due a delivery was attempted for the first time.
pub fn first_attempted(channel: &'static str, lag: Duration) {
    LAGS.with([channel], |one| one.record(lag.as_secs_f64()));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; a backlog stays far below 2^53"
)]
fn as_number(count: u64) -> f64 {
    count as f64
}
