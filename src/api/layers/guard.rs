//! What protects the service from its requests: a bound on those in flight, a deadline, a largest body.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    response::{IntoResponse, Response},
};
use http::{Method, header};
use http_body_util::Limited;

use crate::{
    api::{Api, problem::Problem, problem_types as types},
    telemetry::instruments::requests,
};

/// Whether the request brings a file. It has a body limit of its own, takes as long as its bytes keep coming, and is read as they do.
pub(crate) fn brings_a_file(request: &Request) -> bool {
    let matched = request.extensions().get::<MatchedPath>();
    let path = matched.map_or("", |path| path.as_str().trim_end_matches('/'));
    matches!(
        (request.method(), path),
        (&Method::POST, "/api/v1/events/{event_id}/attachments")
            | (&Method::PUT, "/api/v1/users/me/avatar")
    )
}

/// Answers 503 at once when as many requests are in flight as may be: to queue them would only make all of them late.
pub(crate) async fn bound_in_flight<F: Future<Output = Response>>(
    api: &Api,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    // A load balancer that is told "overloaded" would send everything to the other replicas, which are no better off.
    if request.uri().path().trim_end_matches('/') == "/health" {
        return next(request).await;
    }
    let Ok(_place) = api.limits.in_flight.try_acquire() else {
        requests::shed("overload");
        return Problem::new(
            &types::OVERLOADED,
            "Too many requests are in flight; this one was not begun.",
        )
        .into_response();
    };
    next(request).await
}

/// Gives a request up at its deadline.
pub(crate) async fn bound_time<F: Future<Output = Response>>(
    api: &Api,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if brings_a_file(&request) {
        return next(request).await;
    }
    let answered = tokio::time::timeout(api.limits.request_timeout, next(request)).await;
    answered.unwrap_or_else(|_| {
        requests::shed("deadline");
        Problem::new(
            &types::DEADLINE_EXCEEDED,
            "The request did not finish within its time.",
        )
        .into_response()
    })
}

/// How long a body may take to arrive: less than the request, so that a slow client is told that it is slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyTime(pub(crate) Duration);

/// Refuses a body that says it is too large, and stops reading one that is.
pub(crate) async fn bound_body<F: Future<Output = Response>>(
    api: &Api,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let limit = if brings_a_file(&request) {
        let matched = request.extensions().get::<MatchedPath>();
        let path = matched.map_or("", |path| path.as_str().trim_end_matches('/'));
        api.files.body_limit(path)
    } else {
        api.limits.body
    };
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && announced.is_some_and(|length| length > limit) {
        let problem = Problem::new(
            &types::BODY_TOO_LARGE,
            format!("At most {limit} bytes are accepted."),
        );
        return problem.into_response();
    }
    let mut request = request.map(|body| Body::new(Limited::new(body, limit)));
    request
        .extensions_mut()
        .insert(BodyTime(api.limits.request_timeout / 2));
    next(request).await
}
