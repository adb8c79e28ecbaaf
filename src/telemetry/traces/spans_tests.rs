//! Which spans are built, under whom, and with which attributes.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

use super::*;
use crate::telemetry::subscriber::span_layer;
use crate::telemetry::traces::sampling::ChosenIds;
use crate::telemetry::traces::{Sampling, enter};
use tracing_subscriber::layer::SubscriberExt as _;

const ALL: Policy = Policy {
    sampling: Sampling {
        parent_based: true,
        ratio: 1.0,
    },
    propagate: true,
};

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

fn spans_of(work: impl FnOnce()) -> Vec<SpanData> {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(ChosenIds::default())
        .with_simple_exporter(kept.clone())
        .build();
    let layers = tracing_subscriber::registry().with(span_layer(provider.tracer("test")));
    tracing::subscriber::with_default(layers, work);
    std::mem::take(&mut *kept.0.lock().unwrap())
}

fn attribute(span: &SpanData, name: &str) -> Vec<String> {
    let found = span.attributes.iter().filter(|kv| kv.key.as_str() == name);
    found.map(|kv| kv.value.to_string()).collect()
}

fn from(traceparent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", traceparent.parse().unwrap());
    headers
}

fn parent(flags: &str) -> String {
    format!("00-{}-{}-{flags}", "a".repeat(32), "b".repeat(16))
}

#[test]
fn a_server_span_has_the_announced_ids_and_its_caller_as_parent() {
    let mut announced = None;
    let spans = spans_of(|| {
        let server = server_span_by(ALL, "GET", "/v1/events/{id}", &from(&parent("01")));
        server.finish(404, Some("not_found"));
        announced = Some((server.ids.trace_id, server.ids.span_id));
    });
    let [span] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    let (trace_id, span_id) = announced.unwrap();
    assert_eq!(trace_id.to_string(), "a".repeat(32));
    assert_eq!(span.span_context.trace_id(), trace_id);
    assert_eq!(span.span_context.span_id(), span_id);
    assert_eq!(span.parent_span_id.to_string(), "b".repeat(16));
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(span.name, "GET /v1/events/{id}");
    assert_eq!(attribute(span, "http.route"), ["/v1/events/{id}"]);
    assert_eq!(attribute(span, "http.response.status_code"), ["404"]);
    assert_eq!(span.status, Status::Unset);
    assert_eq!(span.attributes.len(), 4, "{:?}", span.attributes);
}

#[test]
fn only_a_5xx_marks_the_server_span_as_failed() {
    let spans = spans_of(|| {
        server_span_by(ALL, "GET", "unmatched", &HeaderMap::new()).finish(503, Some("503"));
    });
    assert_eq!(spans[0].name, "GET");
    assert!(matches!(spans[0].status, Status::Error { .. }));
    assert_eq!(attribute(&spans[0], "http.route"), [""; 0]);
}

#[test]
fn a_request_that_is_not_sampled_has_ids_and_builds_nothing() {
    let spans = spans_of(|| {
        let server = server_span_by(ALL, "GET", "/", &from(&parent("00")));
        assert!(server.span.is_disabled() && !server.ids.sampled);
        assert_eq!(server.ids.trace_id.to_string(), "a".repeat(32));
        assert_ne!(server.ids.span_id, opentelemetry::trace::SpanId::INVALID);
        enter(&server.span, || {
            assert!(database_span("sqlite", "events.find", "SELECT 1").is_disabled());
            assert!(cache_span("sessions").is_disabled());
        });
    });
    assert!(spans.is_empty());
}

#[test]
fn a_database_span_is_a_child_of_the_request() {
    let spans = spans_of(|| {
        let server = server_span_by(ALL, "GET", "/", &HeaderMap::new());
        enter(&server.span, || {
            let span = database_span("sqlite", "events.find", "SELECT $1");
            span.record("db.response.returned_rows", 3);
        });
    });
    let [database, server] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(database.parent_span_id, server.span_context.span_id());
    assert_eq!(database.name, "events.find");
    assert_eq!(database.span_kind, SpanKind::Client);
    assert_eq!(attribute(database, "db.query.text"), ["SELECT $1"]);
    assert_eq!(attribute(database, "db.response.returned_rows"), ["3"]);
}

#[test]
fn a_delivery_is_a_root_linked_to_the_request_that_caused_it() {
    let cause = TraceParent::parse(&parent("01")).unwrap();
    let spans = spans_of(|| drop(build_consumer_span("email", cause)));
    let [span] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(span.name, "process email");
    assert_eq!(span.span_kind, SpanKind::Consumer);
    assert_eq!(span.parent_span_id, opentelemetry::trace::SpanId::INVALID);
    assert_ne!(span.span_context.trace_id(), cause.trace_id);
    let links: Vec<_> = span.links.iter().collect();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].span_context.trace_id(), cause.trace_id);
    assert_eq!(links[0].span_context.span_id(), cause.span_id);
}

#[test]
fn a_delivery_without_a_sampled_cause_has_no_span() {
    let spans = spans_of(|| {
        for cause in [None, Some("nonsense"), Some(parent("00").as_str())] {
            assert!(consumer_span("email", cause).is_disabled());
        }
    });
    assert!(spans.is_empty());
}

#[test]
fn spans_of_other_crates_stay_out_and_an_error_marks_the_span() {
    let spans = spans_of(|| {
        let server = server_span_by(ALL, "GET", "/", &HeaderMap::new());
        enter(&server.span, || {
            let _foreign = tracing::info_span!("foreign").entered();
            tracing::info!("not worth an event");
            tracing::error!(error = "no more room", attempts = 3_u64, "went wrong");
        });
        tracing::error!("outside");
    });
    assert_eq!(spans.len(), 1);
    let [event] = &spans[0].events.events[..] else {
        panic!("{:?}", spans[0].events)
    };
    assert_eq!(event.name, "went wrong");
    let mut noted: Vec<String> = event
        .attributes
        .iter()
        .map(|kv| format!("{}={}", kv.key, kv.value))
        .collect();
    noted.sort();
    let target = format!("target={}", module_path!());
    assert_eq!(
        noted,
        [
            "attempts=3",
            "error=no more room",
            "level=ERROR",
            target.as_str()
        ]
    );
    assert!(matches!(spans[0].status, Status::Error { .. }));
}
