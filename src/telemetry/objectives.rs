//! The service level objectives, as `alerts/slo.yaml` states them for Prometheus.

use std::time::Duration;

/// One objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Its name, the `slo` label of the recording rules.
    pub name: &'static str,
    /// What is promised, in words.
    pub title: &'static str,
    /// The share that must be good.
    pub target: f64,
}

/// What the objectives are about: the API, and not the probes and scanners of other paths.
pub const ROUTES: &str = "/api/";
/// Fewer bad events in the long window alert nobody.
pub const MINIMUM_BAD: u64 = 10;
/// Slowest good read.
pub const READ_LIMIT: Duration = Duration::from_millis(250);
/// Slowest good write.
pub const WRITE_LIMIT: Duration = Duration::from_millis(500);
/// The bucket bound that stands for a delivery attempted within 30 s.
pub const LAG_LIMIT_SECONDS: f64 = 29.5;

/// Requests that are not answered with a 5xx.
pub const AVAILABILITY: Objective = Objective {
    name: "api-availability",
    title: "Requests answered without a 5xx",
    target: 0.999,
};
/// Reads within [`READ_LIMIT`].
pub const READ_LATENCY: Objective = Objective {
    name: "api-read-latency",
    title: "Reads answered within 250 ms",
    target: 0.99,
};
/// Writes within [`WRITE_LIMIT`].
pub const WRITE_LATENCY: Objective = Objective {
    name: "api-write-latency",
    title: "Writes answered within 500 ms",
    target: 0.99,
};
/// Notifications attempted in time.
pub const FRESHNESS: Objective = Objective {
    name: "delivery-freshness",
    title: "Notifications within 30 s",
    target: 0.99,
};

/// Whether a method only reads, as the objectives divide them.
pub fn is_read(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// Whether a method writes; what neither reads nor writes (`OPTIONS`) has no latency objective.
pub fn is_write(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH" | "DELETE")
}

/// How long a request with this method may take.
pub fn limit(method: &str) -> Duration {
    if is_read(method) {
        READ_LIMIT
    } else {
        WRITE_LIMIT
    }
}
