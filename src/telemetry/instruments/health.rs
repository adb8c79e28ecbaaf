//! Metrics of what the service stands on: its checks, its schema and its disk.

use metrics::Gauge;

use super::family::Family;

static CHECKS: Family<Gauge, 1> = Family::new("readiness_check_status");
static PENDING: Family<Gauge, 0> = Family::new("db_schema_pending_migrations");
static AVAILABLE: Family<Gauge, 1> = Family::new("system_filesystem_available_bytes");
static SIZE: Family<Gauge, 1> = Family::new("system_filesystem_size_bytes");

/// Makes the series of every check exist, failing until it has passed, and that of the migrations.
pub fn prime(checks: &[&'static str]) {
    for check in checks {
        CHECKS.prime([check]);
    }
    PENDING.prime([]);
}

/// Tells whether a check passed.
pub fn checked(check: &'static str, passed: bool) {
    CHECKS.with([check], |one| one.set(u8::from(passed)));
}

/// Tells how many migrations the database lacks.
pub fn pending_migrations(count: u32) {
    PENDING.with([], |one| one.set(count));
}

/// Tells the room on the file system of a folder, in bytes. There is no series before it is known: a primed 0 would
/// read as a full disk.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; disks stay below 2^53 bytes"
)]
pub fn file_system(volume: &'static str, available: u64, size: u64) {
    AVAILABLE.with([volume], |one| one.set(available as f64));
    SIZE.with([volume], |one| one.set(size as f64));
}
