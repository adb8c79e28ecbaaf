//! Rate limits: one policy each for reads, writes and logins, by principal, else by client address.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    num::NonZeroU32,
    time::Duration,
};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
};
use http::{HeaderMap, HeaderValue, Method};
use uuid::Uuid;

use super::{client::Client, rate_store::BoundedStore};
use crate::{
    api::{Api, principal::Authentication, problem::Problem, problem_types as types},
    config::{self, Rate},
    telemetry::{instruments::protection, scope},
};

/// The names of the policies.
pub(crate) const POLICIES: &[&str] = &["reads", "writes", "login", "login_account"];
/// What is decided.
pub(crate) const OUTCOMES: &[&str] = &["allowed", "limited"];

/// Where a password is tried.
const LOGIN: &str = "/api/v1/auth/login";

/// Whose quota it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LimitKey(u8, u128);

impl LimitKey {
    fn principal(id: Uuid) -> Self {
        Self(0, id.as_u128())
    }

    /// IPv6 by /64: one household or server has that many addresses to choose from.
    fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(4, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => Self(6, v6.to_bits() >> 64),
        }
    }

    /// An account by its normalised address.
    pub(crate) fn account(email: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        email.hash(&mut hasher);
        Self(1, u128::from(hasher.finish()))
    }
}

/// One policy.
struct Policy {
    name: &'static str,
    quota: u32,
    period: Duration,
    header: Option<HeaderValue>,
    limiter:
        RateLimiter<LimitKey, BoundedStore<LimitKey>, DefaultClock, StateInformationMiddleware>,
    clock: DefaultClock,
    keys: BoundedStore<LimitKey>,
}

/// What was decided of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    /// Whether it may go on.
    pub allowed: bool,
    /// Requests left.
    pub remaining: u32,
    /// Seconds until the quota is whole.
    pub reset: u64,
    /// Seconds until the next request is allowed.
    pub retry_after: u64,
}

impl Decision {
    fn outcome(self) -> &'static str {
        if self.allowed { "allowed" } else { "limited" }
    }
}

impl Policy {
    fn new(name: &'static str, rate: &Rate, max_keys: usize) -> Self {
        let each = rate.period / rate.count.get();
        let quota = Quota::with_period(each).map_or_else(
            // A period of nothing limits nothing worth limiting.
            || Quota::per_second(NonZeroU32::MAX),
            |quota| quota.allow_burst(rate.count),
        );
        let clock = DefaultClock::default();
        let keys = BoundedStore::new(max_keys);
        let limiter = RateLimiter::new(quota, keys.clone(), clock.clone());
        let header = format!("\"{name}\";q={};w={}", rate.count, rate.period.as_secs());
        Self {
            name,
            quota: rate.count.get(),
            period: rate.period,
            header: HeaderValue::from_str(&header).ok(),
            limiter,
            clock,
            keys,
        }
    }

    fn decide(&self, key: LimitKey) -> Decision {
        let decision = match self.limiter.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Decision {
                    allowed: true,
                    remaining,
                    reset: self.until_whole(remaining),
                    retry_after: 0,
                }
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.clock.now());
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Decision {
                    allowed: false,
                    remaining: 0,
                    reset: self.until_whole(0),
                    retry_after: seconds.max(1),
                }
            }
        };
        protection::rate_limit_decided(self.name, decision.outcome());
        decision
    }

    fn until_whole(&self, remaining: u32) -> u64 {
        let missing = u128::from(self.quota.saturating_sub(remaining));
        let millis = self.period.as_millis() * missing / u128::from(self.quota.max(1));
        u64::try_from(millis.div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

/// All policies; none when limits are off.
pub(crate) struct Rates(Option<[Policy; 4]>);

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rates").field(&self.0.is_some()).finish()
    }
}

impl Rates {
    /// By the settings.
    pub(crate) fn new(settings: &config::RateLimit) -> Self {
        let policy = |name, rate| Policy::new(name, rate, settings.max_keys);
        Self(settings.enabled.then(|| {
            [
                policy("reads", &settings.reads),
                policy("writes", &settings.writes),
                policy("login", &settings.login),
                policy("login_account", &settings.login_account),
            ]
        }))
    }

    /// Decides of an attempt to log in to an account; `None` when limits are off.
    pub(crate) fn login_account(&self, account: LimitKey) -> Option<Decision> {
        self.0.as_ref().map(|[.., policy]| policy.decide(account))
    }

    fn policy(&self, method: &Method, path: &str) -> Option<&Policy> {
        let [reads, writes, login, _] = self.0.as_ref()?;
        if !path.starts_with("/api/") {
            return None;
        }
        Some(match *method {
            _ if path.starts_with("/api/v1/auth/") => login,
            Method::GET | Method::HEAD | Method::OPTIONS => reads,
            _ => writes,
        })
    }

    /// Sets the gauges.
    pub(crate) fn observe(&self) {
        for policy in self.0.iter().flatten() {
            protection::rate_limit_tracked(
                policy.name,
                u32::try_from(policy.keys.len()).unwrap_or(u32::MAX),
            );
        }
    }
}

/// Counts the request against its policy.
pub(crate) async fn limit<F: Future<Output = Response>>(
    api: &Api,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let Some(policy) = api
        .limits
        .rates
        .policy(request.method(), request.uri().path())
    else {
        return next(request).await;
    };
    let extensions = request.extensions();
    let key = match (
        extensions.get::<Authentication>(),
        extensions.get::<Client>(),
    ) {
        (Some(Authentication::Known(principal)), _) if policy.name != "login" => {
            LimitKey::principal(principal.id())
        }
        (_, Some(client)) => LimitKey::address(client.address),
        (_, None) => LimitKey::address(IpAddr::from([0, 0, 0, 0])),
    };
    let decision = policy.decide(key);
    scope::with_current(|scope| scope.set_rate_limit(decision.outcome()));
    // Whoever tries a list of passwords is turned away here before any of them is looked at.
    if !decision.allowed
        && request.method() == Method::POST
        && request.uri().path().trim_end_matches('/') == LOGIN
    {
        protection::auth_attempted("password", "limited");
    }
    let mut response = if decision.allowed {
        next(request).await
    } else {
        let problem = Problem::new(
            &types::RATE_LIMITED,
            "You have used up what you may ask for in this time.",
        );
        problem.retry_after(decision.retry_after).into_response()
    };
    describe(response.headers_mut(), policy, decision);
    response
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers, structured fields).
fn describe(headers: &mut HeaderMap, policy: &Policy, decision: Decision) {
    if let Some(value) = &policy.header {
        headers.insert("ratelimit-policy", value.clone());
    }
    let state = format!(
        "\"{}\";r={};t={}",
        policy.name, decision.remaining, decision.reset
    );
    if let Ok(value) = HeaderValue::from_str(&state) {
        headers.insert("ratelimit", value);
    }
}
