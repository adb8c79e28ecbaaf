//! The outermost layer: ids, span, metrics, the log line; a panic becomes a 500, and a client that goes away is noticed.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Body;

use crate::{
    api::{Api, problem::Problem, problem_types as types},
    domain::new_id,
    telemetry::{
        RequestScope,
        instruments::{process, requests},
        objectives, off,
        ring::{Record, Why, Work, ring},
        traces::{self, ServerSpan},
        wall_clock,
    },
};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// One request, from its first byte read to its answer.
struct Observed {
    api: Api,
    method: &'static str,
    route: Arc<str>,
    started: Instant,
    scope: Arc<RequestScope>,
    span: ServerSpan,
    request_bytes: u64,
    answered: bool,
}

/// Observes a request.
pub(crate) async fn observe<F: Future<Output = Response>>(
    api: &Api,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if off::is_off() {
        return unobserved(next(request)).await;
    }
    let started = Instant::now();
    let method = requests::method_label(request.method().as_str());
    let matched = request.extensions().get::<MatchedPath>();
    let route = api
        .routes
        .canonical(method, matched.map(MatchedPath::as_str));
    let span = traces::server_span(method, &route, request.headers());
    let request_id = request_id(request.headers());
    let path = request.uri().path().to_owned();
    let scope = RequestScope::new(request_id, path, span.ids, started);
    let request_bytes = request.body().size_hint().exact().unwrap_or(0);
    let active = api.requests.active(method);
    let tracked = api.in_flight.enter(method, &route, started, &scope);
    let mut observed = Observed {
        api: api.clone(),
        method,
        route,
        started,
        scope: Arc::clone(&scope),
        span,
        request_bytes,
        answered: false,
    };

    let tracing_span = observed.span.span.clone();
    let work = scope.run(async {
        AssertUnwindSafe(next(request))
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| panicked(&*panic))
    });
    let mut response = traces::within(tracing_span, work).await;

    observed.finish(&response);
    drop((active, tracked));
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&scope.request_id) {
        headers.insert(REQUEST_ID.clone(), value);
    }
    if let Ok(value) = HeaderValue::from_str(scope.traceparent()) {
        headers.insert(TRACERESPONSE.clone(), value);
    }
    response
}

/// A request of which nothing is recorded: only its id is made, for its answer.
async fn unobserved(work: impl Future<Output = Response>) -> Response {
    let answered = AssertUnwindSafe(work).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| panicked(&*panic));
    if let Ok(value) = HeaderValue::from_str(&new_id().to_string()) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    response
}

/// The client's id if it is well formed: up to 128 letters, digits and `-_.`; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let well_formed = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(well_formed);
    given.map_or_else(|| new_id().to_string(), str::to_owned)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    process::panicked();
    tracing::error!(
        error = message.unwrap_or("no message"),
        "a handler panicked"
    );
    Problem::new(
        &types::INTERNAL_ERROR,
        "This is a fault of the service; it has been logged.",
    )
    .into_response()
}

impl Observed {
    fn finish(&mut self, response: &Response) {
        self.answered = true;
        let status = response.status();
        let elapsed = self.started.elapsed();
        let error_type = if status.is_server_error() {
            self.scope.error_code().unwrap_or("_OTHER")
        } else {
            ""
        };
        self.api.requests.observe(
            self.method,
            &self.route,
            status.as_u16(),
            error_type,
            elapsed,
            &self.scope,
        );
        self.span.finish(
            status.as_u16(),
            Some(error_type).filter(|error_type| !error_type.is_empty()),
        );
        let outcome = match status.as_u16() {
            500.. => "server_error",
            400.. => "client_error",
            _ => "success",
        };
        let length = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        // Unknown when it is compressed as it is sent.
        let bytes = response.body().size_hint().exact().or(length);
        self.end(status.as_u16(), outcome, elapsed, bytes);
    }

    /// Writes the line, and keeps the request for the ops console if it is worth it.
    fn end(
        &self,
        status: u16,
        outcome: &'static str,
        elapsed: Duration,
        response_bytes: Option<u64>,
    ) {
        let error = match status {
            499 => Some("client_gone"),
            _ => self.scope.error_code(),
        };
        let took = (elapsed, objectives::limit(self.method));
        let now = self.started + elapsed;
        let why = ring().wants((self.method, &self.route), error, status >= 500, took, now);
        self.scope.recording.ending(why.is_some());
        self.log(status, outcome, elapsed, response_bytes);
        if let Some(why) = why {
            ring().keep(self.record(why, status, error, elapsed));
        }
    }

    fn record(
        &self,
        why: Why,
        status: u16,
        error: Option<&'static str>,
        duration: Duration,
    ) -> Record {
        let scope = &self.scope;
        let work = Work::Request {
            method: self.method,
            route: Arc::clone(&self.route),
            status,
            request_id: scope.request_id.as_str().into(),
            span_id: u64::from_be_bytes(scope.ids.span_id.to_bytes()),
        };
        Record {
            id: 0,
            why,
            began: wall_clock().saturating_sub(duration),
            duration,
            work,
            trace: u128::from_be_bytes(scope.ids.trace_id.to_bytes()),
            exported: scope.ids.sampled,
            error,
            recorded: scope.recording.take(),
        }
    }

    /// The one wide line of a request.
    fn log(
        &self,
        status: u16,
        outcome: &'static str,
        elapsed: Duration,
        response_bytes: Option<u64>,
    ) {
        let scope = &self.scope;
        scope.enter(|| {
            tracing::info!(
                target: "convoke::request",
                method = self.method,
                route = &*self.route,
                status,
                outcome,
                duration_ms = milliseconds(elapsed),
                database_ms = milliseconds(scope.database_time()),
                database_queries = scope.database_queries(),
                request_bytes = self.request_bytes,
                response_bytes,
                principal = scope.principal().unwrap_or("anonymous"),
                rate_limit = scope.rate_limit(),
                error_code = scope.error_code(),
                "request"
            );
        });
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.answered {
            // 499 is nginx's number for it; nobody is there to be told.
            self.api.requests.cancelled(&self.route);
            self.span.finish(499, Some("client_gone"));
            self.end(499, "client_gone", self.started.elapsed(), None);
        }
    }
}

fn milliseconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
