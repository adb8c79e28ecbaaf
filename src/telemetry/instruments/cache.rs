//! Metrics of the caches, of the channel by which they hear of changes, and of the Redis that replicas share.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::family::Family;

static REQUESTS: Family<Counter, 2> = Family::new("cache_requests_total");
static ENTRIES: Family<Gauge, 1> = Family::new("cache_entries");
static INVALIDATIONS: Family<Counter, 2> = Family::new("cache_invalidations_total");
static CHANNEL: Family<Gauge, 1> = Family::new("cache_channel_state");
static LAG: Family<Histogram, 0> = Family::new("cache_channel_lag_seconds");
static SHARED: Family<Gauge, 1> = Family::new("cache_shared_breaker_state");
static REDIS: Family<Histogram, 2> = Family::new("cache_shared_operation_duration_seconds");

/// How a look-up can end.
const OUTCOMES: &[&str] = &["hit", "shared_hit", "miss"];
/// Who made entries doubtful, and which.
const INVALIDATED: &[[&str; 2]] = &[
    ["process", "entry"],
    ["channel", "entry"],
    ["channel", "everything"],
    ["channel", "unreadable"],
];
/// The states of the channel, and of the breaker before Redis.
const CHANNEL_STATES: &[&str] = &["off", "heard", "lost"];
const BREAKER_STATES: &[&str] = &["off", "closed", "open", "half_open"];
/// What is asked of Redis, and what can go wrong.
const OPERATIONS: &[&str] = &["connect", "get", "ping", "set"];
const ERROR_TYPES: &[&str] = &[
    "",
    "auth",
    "io",
    "loading",
    "oom",
    "queue_full",
    "readonly",
    "response",
    "server",
    "timeout",
];

/// Makes every series of these caches exist.
pub fn prime_caches(caches: &[&'static str]) {
    for cache in caches {
        for outcome in OUTCOMES {
            REQUESTS.prime([cache, outcome]);
        }
        ENTRIES.prime([cache]);
    }
}

/// Makes every other series exist.
pub fn prime() {
    for values in INVALIDATED {
        INVALIDATIONS.prime(*values);
    }
    LAG.prime([]);
    for operation in OPERATIONS {
        for error_type in ERROR_TYPES {
            REDIS.prime([operation, error_type]);
        }
    }
    one_of(&CHANNEL, CHANNEL_STATES, "off");
    one_of(&SHARED, BREAKER_STATES, "off");
}

fn one_of(family: &Family<Gauge, 1>, all: &[&'static str], now: &str) {
    for state in all {
        family.with([state], |one| one.set(u8::from(*state == now)));
    }
}

/// Counts a look-up: hit, `shared_hit` or miss.
pub fn asked(cache: &'static str, outcome: &'static str) {
    asked_for(cache, outcome, 1);
}

/// Counts so many of them.
pub fn asked_for(cache: &'static str, outcome: &'static str, times: usize) {
    REQUESTS.with([cache, outcome], |one| one.increment(times as u64));
}

/// Sets how many entries a cache holds.
pub fn entries(cache: &'static str, entries: u64) {
    let entries = u32::try_from(entries).unwrap_or(u32::MAX);
    ENTRIES.with([cache], |one| one.set(entries));
}

/// Counts what became doubtful: an entry, everything, or everything for want of understanding; made so by this process's own
/// change, or by what was heard, or no longer heard, of others.
pub fn invalidated(source: &'static str, outcome: &'static str) {
    INVALIDATIONS.with([source, outcome], |one| one.increment(1));
}

/// Tells whether changes are heard: off, heard or lost.
pub fn channel_state(state: &'static str) {
    one_of(&CHANNEL, CHANNEL_STATES, state);
}

/// Records how long a word took to come back.
pub fn channel_lag(lag: Duration) {
    LAG.with([], |one| one.record(lag));
}

/// Tells the state of the breaker before Redis.
pub fn shared_state(state: &'static str) {
    one_of(&SHARED, BREAKER_STATES, state);
}

/// Records an operation of Redis; `error_type` is `None` when it succeeded.
pub fn redis_asked(operation: &'static str, error_type: Option<&'static str>, elapsed: Duration) {
    REDIS.with([operation, error_type.unwrap_or_default()], |one| {
        one.record(elapsed);
    });
}

/// Records an operation that Redis was not even asked for.
pub fn redis_refused(operation: &'static str, error_type: &'static str) {
    redis_asked(operation, Some(error_type), Duration::ZERO);
}
