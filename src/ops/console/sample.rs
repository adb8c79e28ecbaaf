//! One look at the service's own metrics, brought down to what the console shows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::history::{Share, Slos};
use crate::telemetry::instruments;
use crate::telemetry::objectives::{self, LAG_LIMIT_SECONDS, READ_LIMIT, WRITE_LIMIT};
use crate::telemetry::reading::{self, Sample as Read};
use crate::telemetry::wall_clock;

/// Routes that are told apart; there are far fewer, and this bounds the memory whatever happens.
const MAX_ROUTES: usize = 128;

pub(super) const REQUESTS: &str = "http_server_request_duration_seconds";
pub(super) const WAITS: &str = "db_client_connection_wait_time_seconds";

/// A route: method and template.
pub(super) type RouteName = (String, String);

/// Cumulative counts of a histogram: one for each bound, and one for all.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Buckets(pub(super) Vec<u64>);

/// What a route has answered since the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    pub(super) buckets: Buckets,
    pub(super) failed: u64,
    pub(super) refused: u64,
    pub(super) seconds: f64,
}

/// A channel of the outbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    pub(super) pending: f64,
    pub(super) oldest_seconds: f64,
    pub(super) dead: f64,
    pub(super) outcomes: BTreeMap<String, u64>,
}

/// Everything that one look finds. Counters are since the start of the process.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) wall: Duration,
    /// What it took to take it.
    pub(super) cost: Duration,
    /// Requests by the first digit of their status.
    pub(super) by_class: [u64; 6],
    pub(super) latency: Buckets,
    pub(super) slos: Slos,
    pub(super) waits: Buckets,
    pub(super) counters: BTreeMap<&'static str, u64>,
    pub(super) gauges: BTreeMap<&'static str, f64>,
    pub(super) channels: BTreeMap<String, Channel>,
    pub(super) routes: BTreeMap<RouteName, Route>,
}

/// Counters that are shown as they are, summed over their labels.
const COUNTERS: &[&str] = &[
    "http_server_requests_shed_total",
    "http_server_requests_cancelled_total",
    "db_client_connection_timeouts_total",
    "db_client_operation_retries_total",
    "panics_total",
    "telemetry_log_lines_dropped_total",
];
/// Gauges, likewise.
const GAUGES: &[&str] = &[
    "http_server_active_requests",
    "http_server_open_connections",
    "db_client_connection_max",
    "db_client_connection_pending_requests",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "tokio_runtime_workers",
    "tokio_runtime_alive_tasks",
    "tokio_runtime_worker_busy_seconds_total",
];

impl Buckets {
    fn of(name: &str) -> Self {
        Self(vec![0; bounds(name).len() + 1])
    }

    fn add(&mut self, bounds: &[f64], le: &str, value: f64) {
        let at = match le.parse::<f64>() {
            Ok(le) if le.is_finite() => bounds.iter().position(|bound| (bound - le).abs() < 1e-12),
            _ => Some(bounds.len()),
        };
        if let Some(count) = at.and_then(|at| self.0.get_mut(at)) {
            *count += whole(value);
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }

    /// What was added since.
    pub(super) fn since(&self, before: &Self) -> Self {
        let before = before.0.iter().copied().chain(std::iter::repeat(0));
        let counts = self.0.iter().zip(before);
        Self(counts.map(|(now, then)| now.saturating_sub(then)).collect())
    }
}

/// The bounds of a declared histogram.
pub(super) fn bounds(name: &str) -> &'static [f64] {
    instruments::find(name).map_or(&[], |one| one.bounds)
}

impl Sample {
    /// The sample of a process that has done nothing yet.
    pub(super) fn nothing(at: Instant, wall: Duration) -> Self {
        Self {
            at,
            wall,
            cost: Duration::ZERO,
            by_class: [0; 6],
            latency: Buckets::of(REQUESTS),
            slos: Slos::default(),
            waits: Buckets::of(WAITS),
            counters: COUNTERS.iter().map(|name| (*name, 0)).collect(),
            gauges: GAUGES.iter().map(|name| (*name, 0.0)).collect(),
            channels: BTreeMap::new(),
            routes: BTreeMap::new(),
        }
    }

    pub(super) fn take(runtime: Option<&tokio::runtime::Handle>) -> Self {
        let mut sample = Self::nothing(Instant::now(), wall_clock());
        reading::read(runtime, |read| sample.note(&read));
        sample
    }

    fn note(&mut self, read: &Read<'_>) {
        if let Some(part) = read.name.strip_prefix(REQUESTS) {
            return self.request(part, read);
        }
        if let Some(name) = COUNTERS.iter().find(|name| **name == read.name) {
            *self.counters.entry(name).or_default() += whole(read.value);
        } else if let Some(name) = GAUGES.iter().find(|name| **name == read.name) {
            *self.gauges.entry(name).or_default() += read.value;
        } else {
            self.other(read);
        }
    }

    fn other(&mut self, read: &Read<'_>) {
        let is = |label, value| read.label(label) == Some(value);
        match read.name {
            "db_client_connection_wait_time_seconds_bucket" => {
                let le = read.label("le").unwrap_or_default();
                self.waits.add(bounds(WAITS), le, read.value);
            }
            "db_client_connection_count" => {
                let name = if is("state", "idle") {
                    "pool_idle"
                } else {
                    "pool_used"
                };
                self.gauges.insert(name, read.value);
            }
            "rate_limit_decisions_total" if !is("outcome", "allowed") => {
                *self.counters.entry("limited").or_default() += whole(read.value);
            }
            "telemetry_spans_total" if !is("outcome", "exported") => {
                *self.counters.entry("spans_lost").or_default() += whole(read.value);
            }
            "outbox_pending" => self.channel(read).pending = read.value,
            "outbox_oldest_age_seconds" => self.channel(read).oldest_seconds = read.value,
            "outbox_dead" => self.channel(read).dead = read.value,
            "outbox_deliveries_total" => {
                let outcome = read.label("outcome").unwrap_or_default().to_owned();
                self.channel(read)
                    .outcomes
                    .insert(outcome, whole(read.value));
            }
            "outbox_delivery_lag_seconds_count" => self.slos.freshness.total += whole(read.value),
            "outbox_delivery_lag_seconds_bucket" if has_bound(read, LAG_LIMIT_SECONDS) => {
                self.slos.freshness.good += whole(read.value);
            }
            _ => {}
        }
    }

    fn channel(&mut self, read: &Read<'_>) -> &mut Channel {
        let name = read.label("channel").unwrap_or_default();
        self.channels.entry(name.to_owned()).or_default()
    }

    fn request(&mut self, part: &str, read: &Read<'_>) {
        let label = |name| read.label(name).unwrap_or_default();
        let (method, status) = (
            label("http_request_method"),
            label("http_response_status_code"),
        );
        let class = status
            .bytes()
            .next()
            .map_or(0, |first| usize::from(first.saturating_sub(b'0')));
        let (value, bounds) = (whole(read.value), bounds(REQUESTS));
        let name = (method.to_owned(), label("http_route").to_owned());
        let known = self.routes.contains_key(&name) || self.routes.len() < MAX_ROUTES;
        let route = known.then(|| self.routes.entry(name).or_insert_with(Route::empty));
        let (latency, limit) = if objectives::is_read(method) {
            (Some(&mut self.slos.read), READ_LIMIT)
        } else if objectives::is_write(method) {
            (Some(&mut self.slos.write), WRITE_LIMIT)
        } else {
            (None, WRITE_LIMIT)
        };
        let promised = label("http_route").starts_with(objectives::ROUTES);
        // A failure is the availability's, whatever its latency.
        let latency = latency.filter(|_| promised && class != 5);
        match part {
            "_count" => {
                if let Some(count) = self.by_class.get_mut(class) {
                    *count += value;
                }
                let good = if class == 5 { 0 } else { value };
                if promised {
                    self.slos.availability.add(good, value);
                }
                if let Some(latency) = latency {
                    latency.add(0, value);
                }
                if let Some(route) = route {
                    route.failed += if class == 5 { value } else { 0 };
                    route.refused += if class == 4 { value } else { 0 };
                }
            }
            "_sum" => {
                if let Some(route) = route {
                    route.seconds += read.value;
                }
            }
            _ => {
                let le = label("le");
                self.latency.add(bounds, le, read.value);
                if let Some(route) = route {
                    route.buckets.add(bounds, le, read.value);
                }
                if let Some(latency) = latency.filter(|_| has_bound(read, limit.as_secs_f64())) {
                    latency.add(value, 0);
                }
            }
        }
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    pub(super) fn gauge(&self, name: &str) -> f64 {
        self.gauges.get(name).copied().unwrap_or(0.0)
    }
}

impl Route {
    pub(super) fn empty() -> Self {
        Self {
            buckets: Buckets::of(REQUESTS),
            ..Self::default()
        }
    }
}

impl Share {
    fn add(&mut self, good: u64, total: u64) {
        self.good += good;
        self.total += total;
    }
}

fn has_bound(read: &Read<'_>, bound: f64) -> bool {
    let le = read.label("le").and_then(|le| le.parse::<f64>().ok());
    le.is_some_and(|le| (le - bound).abs() < 1e-12)
}

/// Counts are written as whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count is neither negative nor near 2^53"
)]
fn whole(value: f64) -> u64 {
    value as u64
}
