//! The route table, and the names of routes in telemetry.

use std::{collections::HashMap, sync::Arc};

use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

use super::{
    Api, api_keys, attachments, auth, avatars, events, history, notifications,
    participants::{self, InvitedBody},
    problem::{Problem, ProblemBody},
    problem_types::SHUTTING_DOWN,
    reply::{Answered, Reply},
    users,
};
use crate::domain::fault::Fault;
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

/// Methods as they are named in telemetry.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "_OTHER",
];

/// Failures that any request may meet.
const SHED: &[(u16, &str)] = &[
    (500, "internal_error"),
    (503, "overloaded"),
    (503, "deadline_exceeded"),
];

/// What every operation may answer, and none of them names.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ProblemBody, Fault, InvitedBody)))]
struct Shared;

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
        routes!(attachments::add, attachments::list),
        routes!(attachments::get, attachments::remove),
        routes!(attachments::download),
        routes!(avatars::set, avatars::get_own, avatars::remove),
        routes!(avatars::get),
        routes!(notifications::list),
        routes!(notifications::read_all),
        routes!(notifications::read),
    ];
    let mut router = OpenApiRouter::with_openapi(Shared::openapi());
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

/// One line: a process takes requests here. Rotation goes by `/readyz` of the ops listener.
async fn health(State(api): State<Api>) -> Answered {
    if api.lifecycle.phase() == Phase::Stopping {
        let detail = "This replica takes no more requests.";
        return Err(Problem::new(&SHUTTING_DOWN, detail));
    }
    Ok(Reply::json(StatusCode::OK, &json!({ "status": "ok" })))
}

/// Method, route, and the statuses with their kind of error that exist from the start.
type Series = (&'static str, String, Vec<(u16, &'static str)>);

/// The names of routes.
#[derive(Debug)]
pub(super) struct Routes {
    /// By each way to write a path: its name, and the methods that it knows.
    canonical: HashMap<String, (Arc<str>, Vec<&'static str>)>,
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
            let outcomes = [&[(200, ""), (404, ""), (503, "shutting_down")], SHED].concat();
            routes.add("GET", path, outcomes.clone());
            routes.add("HEAD", path, outcomes);
        }
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, operations) in paths.into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let method = method_label(&method.to_uppercase());
                let outcomes = outcomes(operation);
                if method == "GET" {
                    routes.add("HEAD", path, outcomes.clone());
                }
                routes.add(method, path, outcomes);
            }
        }
        for method in METHODS {
            let outcomes = [&[(404, ""), (405, ""), (413, ""), (429, "")], SHED].concat();
            routes.series.push((method, UNMATCHED.to_owned(), outcomes));
        }
        routes
    }

    fn add(&mut self, method: &'static str, path: &str, outcomes: Vec<(u16, &'static str)>) {
        let name: Arc<str> = Arc::from(path);
        for written in [twin(path), path.to_owned()] {
            let known = self.canonical.entry(written);
            let (_, methods) = known.or_insert_with(|| (Arc::clone(&name), Vec::new()));
            methods.push(method);
        }
        self.series.push((method, path.to_owned(), outcomes));
    }

    /// The name of the operation that matched, whichever way its path was written; a method that the path does not know matches
    /// nothing.
    pub(super) fn canonical(&self, method: &'static str, matched: Option<&str>) -> Arc<str> {
        let known = matched.and_then(|matched| self.canonical.get(matched));
        let known = known.filter(|(_, methods)| methods.contains(&method));
        Arc::clone(known.map_or(&self.unmatched, |(name, _)| name))
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

/// Everything that an operation is documented to answer, and its failures by kind.
fn outcomes(operation: &Value) -> Vec<(u16, &'static str)> {
    let documented = operation.get("responses").and_then(Value::as_object);
    let statuses = documented.into_iter().flatten();
    let statuses = statuses.filter_map(|(status, _)| status.parse::<u16>().ok());
    let refusals = statuses
        .filter(|status| *status < 500)
        .map(|status| (status, ""));
    refusals
        .chain(SHED.iter().copied())
        .chain([(503, "database_unavailable")])
        .collect()
}
