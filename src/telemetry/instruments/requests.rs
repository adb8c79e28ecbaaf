//! Metrics of the HTTP server, with a handle for each route, method, status and error at hand.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Gauge};

use super::family::{Family, OTHER, Traced, series};
use crate::telemetry::exemplars::Source;
use crate::telemetry::scope::RequestScope;

const DURATION: &str = "http_server_request_duration_seconds";

/// The methods that are told apart; any other is `_OTHER` (semantic conventions for HTTP).
const METHODS: [&str; 10] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", OTHER,
];

/// The label of a request that matched no route.
pub const UNMATCHED: &str = "unmatched";

/// Statuses and errors told apart for a route and method; the routes' own lists are far shorter.
const MAX_OUTCOMES: usize = 64;

static ACTIVE: Family<Gauge, 1> = Family::new("http_server_active_requests");
static SHED: Family<Counter, 1> = Family::new("http_server_requests_shed_total");
static CONNECTIONS: Family<Gauge, 0> = Family::new("http_server_open_connections");

/// A route and method of the API, and the statuses it can answer.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method's name in capitals.
    pub method: &'static str,
    /// The route's template.
    pub route: String,
    /// The statuses to make series for, each with its `error_type` (empty for success).
    pub outcomes: Vec<(u16, &'static str)>,
}

type Outcomes = Vec<((u16, &'static str), Traced)>;

struct Place {
    route: Box<str>,
    methods: [RwLock<Outcomes>; METHODS.len()],
    cancelled: Counter,
}

/// The request metrics of every route; one for the listener, shared by all requests.
pub struct Requests {
    places: Vec<Place>,
    by_route: HashMap<Box<str>, usize>,
    unmatched: Place,
    active: [Gauge; METHODS.len()],
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests")
            .field("routes", &self.by_route.len())
            .finish_non_exhaustive()
    }
}

impl Place {
    fn new(route: &str) -> Self {
        Self {
            route: route.into(),
            methods: std::array::from_fn(|_| RwLock::new(Vec::new())),
            cancelled: series("http_server_requests_cancelled_total", &[route]),
        }
    }

    fn with(&self, method: usize, outcome: (u16, &'static str), f: impl FnOnce(&Traced)) {
        let Some(cell) = self.methods.get(method) else {
            return;
        };
        let known = cell.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, handle)) = known.iter().find(|(one, _)| *one == outcome) {
            return f(handle);
        }
        drop(known);
        let mut known = cell.write().unwrap_or_else(PoisonError::into_inner);
        let outcome = if known.len() < MAX_OUTCOMES {
            outcome
        } else {
            (outcome.0 / 100 * 100, OTHER)
        };
        let at = known.iter().position(|(one, _)| *one == outcome);
        let at = at.unwrap_or_else(|| {
            known.push((outcome, self.histogram(method, outcome)));
            known.len() - 1
        });
        if let Some((_, handle)) = known.get(at) {
            f(handle);
        }
    }

    fn histogram(&self, method: usize, (status, error_type): (u16, &str)) -> Traced {
        let method = METHODS.get(method).copied().unwrap_or(OTHER);
        series(
            DURATION,
            &[method, &self.route, &status.to_string(), error_type],
        )
    }
}

impl Requests {
    /// Makes the series of every route, so that each is there from the first exposition on.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut requests = Self {
            places: Vec::new(),
            by_route: HashMap::new(),
            unmatched: Place::new(UNMATCHED),
            active: METHODS.map(|method| ACTIVE.get([method])),
        };
        for route in routes {
            let next = requests.places.len();
            let at = *requests
                .by_route
                .entry(route.route.as_str().into())
                .or_insert(next);
            if at == next {
                requests.places.push(Place::new(&route.route));
            }
            if let Some(place) = requests.places.get(at) {
                for outcome in route.outcomes {
                    place.with(method_id(route.method), outcome, |_| {});
                }
            }
        }
        let not_found = (404, "not_found");
        requests.unmatched.with(method_id("GET"), not_found, |_| {});
        for reason in ["overload", "deadline", "shutting_down"] {
            SHED.prime([reason]);
        }
        CONNECTIONS.prime([]);
        requests
    }

    /// Records a request that was answered. `route` is the matched template or [`UNMATCHED`]; `error_type` is a
    /// bounded word, empty for success. Allocates only when it sees a combination for the first time.
    pub fn observe(
        &self,
        method: &str,
        route: &str,
        status: u16,
        error_type: &'static str,
        duration: Duration,
        scope: &RequestScope,
    ) {
        self.place(route)
            .with(method_id(method), (status, error_type), |one| {
                one.record(duration.as_secs_f64(), Source::Request(scope));
            });
    }

    /// Counts a request whose client went away.
    pub fn cancelled(&self, route: &str) {
        self.place(route).cancelled.increment(1);
    }

    /// Counts a request as active until the answer is dropped.
    pub fn active(&self, method: &str) -> Active {
        let gauge = self.active.get(method_id(method));
        let gauge = gauge.cloned().unwrap_or_else(Gauge::noop);
        gauge.increment(1.0);
        Active(gauge)
    }

    fn place(&self, route: &str) -> &Place {
        let known = self.by_route.get(route).and_then(|at| self.places.get(*at));
        known.unwrap_or(&self.unmatched)
    }
}

/// A request or a connection that counts for as long as this lives.
#[derive(Debug)]
#[must_use = "it counts for as long as this lives"]
pub struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Counts a connection as open until the answer is dropped.
pub fn connection_opened() -> Active {
    let gauge = CONNECTIONS.get([]);
    gauge.increment(1.0);
    Active(gauge)
}

/// Counts a request refused to protect the service: overload, deadline or shutting_down.
#[expect(clippy::doc_markdown, reason = "the words are label values")]
pub fn shed(reason: &'static str) {
    SHED.with([reason], |one| one.increment(1));
}

/// The name of a method as a label: itself when it is known, else `_OTHER`.
pub fn method_label(method: &str) -> &'static str {
    METHODS.get(method_id(method)).copied().unwrap_or(OTHER)
}

fn method_id(method: &str) -> usize {
    let known = METHODS.iter().position(|known| *known == method);
    known.unwrap_or(METHODS.len() - 1)
}
