//! The spans that Convoke makes, each decided on before it is built.

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::field::Empty;
use tracing::span::Id;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::context::TraceParent;
use super::current::with_current;
use super::sampling::{random_ids, with_ids};
use super::{Policy, policy};

/// The target of every span made here; the OpenTelemetry layer takes no other, so that no library's spans, and
/// least of all the exporter's own, end up in a trace.
pub(in crate::telemetry) const TARGET: &str = "convoke::trace";

/// The route of a request that matched none.
const UNMATCHED: &str = "unmatched";

/// The span of a request, and the ids that the request has whether it is recorded or not.
#[derive(Clone, Debug)]
pub struct ServerSpan {
    /// The span to work in; disabled when the request is not sampled.
    pub span: Span,
    /// Its ids, and whether it is recorded.
    pub ids: TraceParent,
}

impl ServerSpan {
    /// Records how the request ended, once: recording a field twice would write the attribute twice.
    ///
    /// Only a 5xx is an error of the server's (semantic conventions for HTTP spans, "Status").
    pub fn finish(&self, status: u16, error_type: Option<&str>) {
        if self.span.is_disabled() {
            return;
        }
        self.span
            .record("http.response.status_code", i64::from(status));
        if let Some(error_type) = error_type {
            self.span.record("error.type", error_type);
        }
        if status >= 500 {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// Starts the server span of a request; `route` is the template, `unmatched` for none.
pub fn server_span(method: &str, route: &str, headers: &HeaderMap) -> ServerSpan {
    server_span_by(policy(), method, route, headers)
}

pub(super) fn server_span_by(
    policy: Policy,
    method: &str,
    route: &str,
    headers: &HeaderMap,
) -> ServerSpan {
    let parent = policy
        .propagate
        .then(|| TraceParent::from_headers(headers))
        .flatten();
    let (new_trace_id, span_id) = random_ids();
    let trace_id = parent.map_or(new_trace_id, |parent| parent.trace_id);
    let mut server = ServerSpan {
        span: Span::none(),
        ids: TraceParent {
            trace_id,
            span_id,
            sampled: false,
        },
    };
    if !policy.sampling.decide(parent, trace_id) {
        return server;
    }
    let tracestate = headers
        .get("tracestate")
        .and_then(|value| value.to_str().ok());
    let remote = parent.map(|parent| parent.span_context(tracestate));
    let (span, started) = with_ids(trace_id, span_id, || {
        build_server_span(method, route, remote)
    });
    // Without a subscriber, or after the provider's end, there is no span, and the ids stay ours.
    if started.is_sampled() {
        server.span = span;
        server.ids.sampled = true;
    }
    server
}

fn build_server_span(
    method: &str,
    route: &str,
    remote: Option<SpanContext>,
) -> (Span, SpanContext) {
    let matched = (route != UNMATCHED).then_some(route);
    let method_name = if method == "_OTHER" { "HTTP" } else { method };
    let name = match matched {
        Some(route) => format!("{method_name} {route}"),
        None => method_name.to_owned(),
    };
    let span = info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        "http.request.method" = method,
        "http.route" = matched,
        "http.response.status_code" = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
    );
    if let Some(remote) = remote {
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
    // Asking for the context starts the span, which fixes its ids here and now.
    let started = span.context().span().span_context().clone();
    (span, started)
}

/// Makes a span below the one that is worked in, or a disabled one outside a recorded span.
fn below(make: impl FnOnce(Option<Id>) -> Span) -> Span {
    with_current(|parent| make(parent.id())).unwrap_or_else(Span::none)
}

/// A client span for one named database operation, or a disabled one outside a recorded span.
///
/// `db.response.returned_rows`, `error.type` and `otel.status_code` can be recorded on it later.
pub fn database_span(system: &'static str, summary: &str, text: &str) -> Span {
    below(|parent| {
        info_span!(
            target: TARGET,
            parent: parent,
            "database",
            otel.name = summary,
            otel.kind = "client",
            "db.system.name" = system,
            "db.query.summary" = summary,
            "db.query.text" = text,
            "db.response.returned_rows" = Empty,
            "error.type" = Empty,
            otel.status_code = Empty,
        )
    })
}

/// A client span for one call to a store of files, or a disabled one outside a recorded span.
///
/// `error.type` and `otel.status_code` can be recorded on it later.
pub fn storage_span(storage: &'static str, operation: &'static str) -> Span {
    below(|parent| {
        info_span!(
            target: TARGET,
            parent: parent,
            "storage",
            otel.name = format!("storage {operation}"),
            otel.kind = "client",
            "storage.system" = storage,
            "storage.operation" = operation,
            "error.type" = Empty,
            otel.status_code = Empty,
        )
    })
}

/// A span for a cache look-up that missed, or a disabled one outside a recorded span.
pub fn cache_span(cache: &'static str) -> Span {
    below(|parent| {
        info_span!(
            target: TARGET,
            parent: parent,
            "cache",
            otel.name = format!("miss {cache}"),
            "cache.name" = cache,
        )
    })
}

/// A client span for one command of Redis, or a disabled one outside a recorded span; [`super::failed`] notes what went wrong.
pub fn redis_span(command: &'static str) -> Span {
    below(|parent| {
        info_span!(
            target: TARGET,
            parent: parent,
            "redis",
            otel.name = command,
            otel.kind = "client",
            "db.system.name" = "redis",
            "db.operation.name" = command,
            "error.type" = Empty,
            otel.status_code = Empty,
        )
    })
}

/// The span of a job that the schedule starts: the root of a trace of its own, or a disabled one when it is not sampled.
///
/// `otel.status_code` can be recorded on it later.
pub fn job_span(name: &'static str) -> Span {
    let (trace_id, span_id) = random_ids();
    if !policy().sampling.decide(None, trace_id) {
        return Span::none();
    }
    with_ids(trace_id, span_id, || {
        let span = info_span!(
            target: TARGET,
            parent: None,
            "job",
            otel.name = format!("job {name}"),
            "job.name" = name,
            otel.status_code = Empty,
        );
        // Asking for the context starts the span, which fixes its ids here and now.
        let _ = span.context();
        span
    })
}

/// A consumer span for a delivery, linked to the request that caused it.
///
/// It is the root of a trace of its own and is built when, and only when, that request was sampled.
/// `error.type` and `otel.status_code` can be recorded on it later.
pub fn consumer_span(channel: &'static str, traceparent: Option<&str>) -> Span {
    let cause = traceparent.and_then(TraceParent::parse);
    // With no exporter no request is sampled, but a row may have been written by a replica that has one.
    let records = policy().sampling != super::Sampling::OFF;
    match cause.filter(|cause| cause.sampled && records) {
        Some(cause) => build_consumer_span(channel, cause),
        None => Span::none(),
    }
}

pub(in crate::telemetry) fn build_consumer_span(channel: &'static str, cause: TraceParent) -> Span {
    let span = info_span!(
        target: TARGET,
        parent: None,
        "process",
        otel.name = format!("process {channel}"),
        otel.kind = "consumer",
        "messaging.system" = "convoke",
        "messaging.operation.type" = "process",
        "messaging.operation.name" = "process",
        "messaging.destination.name" = channel,
        "error.type" = Empty,
        otel.status_code = Empty,
    );
    span.add_link(cause.span_context(None));
    span
}

/// The trace that a span is recorded in, if it is.
pub fn trace_of(span: &Span) -> Option<u128> {
    TraceParent::of(span).map(|ids| u128::from_be_bytes(ids.trace_id.to_bytes()))
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
