//! For the benchmark alone: what the service costs without its telemetry.
//!
//! It is no setting, and not for production: `CONVOKE_BENCH_TELEMETRY=off` leaves out what is recorded of each request and
//! statement, and says so in the log at the start. `docs/performance.md` has the figures.

use std::sync::LazyLock;

static OFF: LazyLock<bool> = LazyLock::new(|| {
    std::env::var_os("CONVOKE_BENCH_TELEMETRY").is_some_and(|value| value == "off")
});

/// Whether nothing is recorded.
pub fn is_off() -> bool {
    *OFF
}

/// The filter of the log: without the lines of requests where nothing is recorded.
pub(super) fn filter(wanted: &str) -> String {
    if is_off() {
        format!("{wanted},convoke::request=off")
    } else {
        wanted.to_owned()
    }
}
