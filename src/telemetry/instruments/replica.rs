//! Metrics of the read replica.

use std::time::Duration;

use metrics::{Counter, Gauge};

use super::family::Family;

static CONFIGURED: Family<Gauge, 0> = Family::new("db_replica_configured");
static UP: Family<Gauge, 0> = Family::new("db_replica_up");
static LAG: Family<Gauge, 0> = Family::new("db_replica_lag_seconds");
static READS: Family<Counter, 1> = Family::new("db_list_reads_total");
static FALLBACKS: Family<Counter, 1> = Family::new("db_replica_fallbacks_total");

/// Makes every series exist.
pub fn prime(configured: bool, targets: &[&'static str], reasons: &[&'static str]) {
    CONFIGURED.with([], |one| one.set(f64::from(u8::from(configured))));
    UP.prime([]);
    LAG.prime([]);
    for target in targets {
        READS.prime([target]);
    }
    for reason in reasons {
        FALLBACKS.prime([reason]);
    }
}

/// Tells whether lists may go to the replica.
pub fn up(up: bool) {
    UP.with([], |one| one.set(f64::from(u8::from(up))));
    if !up {
        // How late a replica is that does not answer, nobody knows.
        LAG.with([], |one| one.set(f64::NAN));
    }
}

/// Sets how late the replica is.
pub fn lag(lag: Duration) {
    LAG.with([], |one| one.set(lag.as_secs_f64()));
}

/// Counts a list by where it was read from.
pub fn read(target: &'static str) {
    READS.with([target], |one| one.increment(1));
}

/// Counts a list that the primary was asked for because the replica was of no use.
pub fn fell_back(reason: &'static str) {
    FALLBACKS.with([reason], |one| one.increment(1));
}
