//! The route table, and the names of routes in telemetry.

use std::{collections::HashMap, sync::Arc};

use axum::{Router, extract::State, routing::get};
use serde_json::{Value, json};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

use super::{
    Api, api_keys, auth, events, history, notifications, participants, reply::Reply, users,
};
use crate::lifecycle::Phase;
use crate::telemetry::instruments::requests::{Route, UNMATCHED, method_label};

/// Paths outside the API, as they are named in telemetry.
const OTHERS: &[&str] = &[
    "/health",
    "/openapi.json",
    "/docs",
    "/docs/{*rest}",
    "/docs/problems/",
    "/docs/problems/{code}",
];

/// Every path of the API: what it is called, who answers it.
pub(super) fn table() -> (Router<Api>, utoipa::openapi::OpenApi) {
    let table: Vec<UtoipaMethodRouter<Api>> = vec![
        routes!(auth::register),
        routes!(auth::login),
        routes!(auth::refresh),
        routes!(auth::logout),
        routes!(users::get, users::change),
        routes!(api_keys::create, api_keys::list),
        routes!(api_keys::revoke),
        routes!(events::create, events::list),
        routes!(events::get, events::replace, events::change, events::delete),
        routes!(events::cancel),
        routes!(history::list),
        routes!(participants::invite, participants::list),
        routes!(participants::get, participants::remove),
        routes!(participants::answer),
        routes!(notifications::list),
        routes!(notifications::read_all),
        routes!(notifications::read),
    ];
    let mut router = OpenApiRouter::new();
    for one in table {
        // Each path answers with and without its trailing slash; only the one in the contract is documented.
        for path in one.1.paths.keys() {
            router = router.route(&twin(path), one.2.clone());
        }
        router = router.routes(one);
    }
    router
        .route("/health", get(health))
        .route("/health/", get(health))
        .split_for_parts()
}

/// The same path with or without a trailing slash, whichever it is not.
fn twin(path: &str) -> String {
    path.strip_suffix('/')
        .map_or_else(|| format!("{path}/"), str::to_owned)
}

/// One line for load balancers.
async fn health(State(api): State<Api>) -> Reply {
    let (status, word) = if api.lifecycle.phase() == Phase::Ready {
        (http::StatusCode::OK, "ok")
    } else {
        (http::StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    Reply::json(status, &json!({ "status": word }))
}

/// Method, route, and the statuses with their kind of error that exist from the start.
type Series = (&'static str, String, Vec<(u16, &'static str)>);

/// The names of routes.
#[derive(Debug)]
pub(super) struct Routes {
    canonical: HashMap<String, Arc<str>>,
    unmatched: Arc<str>,
    series: Vec<Series>,
}

impl Routes {
    /// From the document, which holds every route of the API.
    pub(super) fn new(document: &Value) -> Self {
        let mut routes = Self {
            canonical: HashMap::new(),
            unmatched: Arc::from(UNMATCHED),
            series: Vec::new(),
        };
        for path in OTHERS {
            routes.name(path);
            routes
                .series
                .push(("GET", (*path).to_owned(), vec![(200, ""), (404, "")]));
        }
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, operations) in paths.into_iter().flatten() {
            routes.name(path);
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let method = method_label(&method.to_uppercase());
                routes
                    .series
                    .push((method, path.clone(), outcomes(operation)));
            }
        }
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
            "_OTHER",
        ] {
            routes.series.push((
                method_label(method),
                UNMATCHED.to_owned(),
                vec![(404, ""), (405, "")],
            ));
        }
        routes
    }

    fn name(&mut self, path: &str) {
        let name: Arc<str> = Arc::from(path);
        self.canonical.insert(twin(path), Arc::clone(&name));
        self.canonical.insert(path.to_owned(), name);
    }

    /// The name of the route that matched, whichever way it was written.
    pub(super) fn canonical(&self, matched: Option<&str>) -> Arc<str> {
        Arc::clone(
            matched
                .and_then(|matched| self.canonical.get(matched))
                .unwrap_or(&self.unmatched),
        )
    }

    /// The series that exist from the start.
    pub(super) fn series(&self) -> Vec<Route> {
        let series = self.series.iter().cloned();
        series
            .map(|(method, route, outcomes)| Route {
                method,
                route,
                outcomes,
            })
            .collect()
    }
}

/// What an operation may answer to anybody, and its failures: enough for a `rate()` over the first of each to be right.
fn outcomes(operation: &Value) -> Vec<(u16, &'static str)> {
    let public = operation
        .get("security")
        .is_some_and(|security| *security == json!([{}]));
    let documented = operation.get("responses").and_then(Value::as_object);
    let statuses = documented
        .into_iter()
        .flatten()
        .filter_map(|(status, _)| status.parse::<u16>().ok());
    let mut outcomes: Vec<_> = statuses
        .filter(|status| {
            *status < 400 || (*status < 500 && (public || matches!(status, 401 | 429)))
        })
        .map(|status| (status, ""))
        .collect();
    outcomes.extend([
        (500, "internal_error"),
        (503, "overloaded"),
        (503, "database_unavailable"),
        (503, "deadline_exceeded"),
    ]);
    outcomes
}
