//! Metrics of backups, read from the database, so that every replica tells of those that a command or another replica made.

use metrics::{Counter, Gauge};

use super::family::Family;

static LAST_SUCCESS: Family<Gauge, 0> = Family::new("backup_last_success_timestamp_seconds");
static DURATION: Family<Gauge, 0> = Family::new("backup_duration_seconds");
static SIZE: Family<Gauge, 0> = Family::new("backup_size_bytes");
static FAILURES: Family<Counter, 0> = Family::new("backup_failures_total");
static LAST_VERIFIED: Family<Gauge, 0> = Family::new("backup_last_verified_timestamp_seconds");
static UNSOUND: Family<Counter, 0> = Family::new("backup_verification_failures_total");
static EXPECTED: Family<Gauge, 1> = Family::new("backup_expected_interval_seconds");

/// What is known of backups.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// When the last good one was begun, in seconds since the Unix epoch.
    pub last_success: f64,
    /// How long it took, in seconds.
    pub duration: f64,
    /// Its size in bytes.
    pub size: u64,
    /// How many failed, ever.
    pub failures: u64,
    /// When one was last restored for a trial, in seconds since the Unix epoch.
    pub last_verified: f64,
    /// How many were found damaged, ever.
    pub verification_failures: u64,
}

/// Makes the series exist of what is expected. There are none of what is known before it is: a counter that a new process
/// primed at 0 and then set to what the database says would read as so many failures at once.
pub fn prime() {
    EXPECTED.prime(["backup"]);
    EXPECTED.prime(["trial"]);
}

/// Tells how often backups and trials are expected, in seconds; 0 when they are not.
pub fn expected(backup: f64, trial: f64) {
    EXPECTED.with(["backup"], |one| one.set(backup));
    EXPECTED.with(["trial"], |one| one.set(trial));
}

/// Tells what is known.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; backups stay below 2^53 bytes"
)]
pub fn known(known: &Known) {
    LAST_SUCCESS.with([], |one| one.set(known.last_success));
    DURATION.with([], |one| one.set(known.duration));
    SIZE.with([], |one| one.set(known.size as f64));
    FAILURES.with([], |one| one.absolute(known.failures));
    LAST_VERIFIED.with([], |one| one.set(known.last_verified));
    UNSOUND.with([], |one| one.absolute(known.verification_failures));
}
