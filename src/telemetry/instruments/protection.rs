//! Metrics of what protects and speeds up the service: rate limits, authentication, idempotency.

use metrics::{Counter, Gauge};

use super::family::Family;

static DECISIONS: Family<Counter, 2> = Family::new("rate_limit_decisions_total");
static TRACKED: Family<Gauge, 1> = Family::new("rate_limit_tracked_keys");
static AUTH: Family<Counter, 2> = Family::new("auth_attempts_total");
static SECRET_KEY: Family<Counter, 2> = Family::new("secret_key_uses_total");
static IDEMPOTENCY: Family<Counter, 1> = Family::new("idempotency_requests_total");

/// Makes the series of every rate-limit policy and outcome exist.
pub fn prime_rate_limits(policies: &[&'static str], outcomes: &[&'static str]) {
    for policy in policies {
        TRACKED.prime([policy]);
        for outcome in outcomes {
            DECISIONS.prime([policy, outcome]);
        }
    }
}

/// Makes the series of every way to authenticate, and of idempotency keys, exist.
pub fn prime_requests(auth_methods: &[&'static str], auth_outcomes: &[&'static str]) {
    for method in auth_methods {
        for outcome in auth_outcomes {
            AUTH.prime([method, outcome]);
        }
    }
    for outcome in ["new", "replayed", "conflict", "mismatch"] {
        IDEMPOTENCY.prime([outcome]);
    }
}

/// Makes the series of every use of the secret key, and of a previous one, exist.
pub fn prime_secret_keys() {
    for purpose in ["access_token", "kept_answer"] {
        for key in ["current", "previous"] {
            SECRET_KEY.prime([purpose, key]);
        }
    }
}

/// Counts what was found good by the secret key, or by a previous one.
pub fn secret_key_used(purpose: &'static str, key: &'static str) {
    SECRET_KEY.with([purpose, key], |one| one.increment(1));
}

/// Counts a decision of the rate limiter.
pub fn rate_limit_decided(policy: &'static str, outcome: &'static str) {
    DECISIONS.with([policy, outcome], |one| one.increment(1));
}

/// Sets how many clients the rate limiter remembers.
pub fn rate_limit_tracked(policy: &'static str, keys: u32) {
    TRACKED.with([policy], |one| one.set(keys));
}

/// Counts an attempt to authenticate.
pub fn auth_attempted(method: &'static str, outcome: &'static str) {
    AUTH.with([method, outcome], |one| one.increment(1));
}

/// Counts a request with an idempotency key: new, replayed, conflict or mismatch.
pub fn idempotency_asked(outcome: &'static str) {
    IDEMPOTENCY.with([outcome], |one| one.increment(1));
}
