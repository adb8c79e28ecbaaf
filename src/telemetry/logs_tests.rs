//! What a log line must and must never hold.

use std::io;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::telemetry::scope::tests::scope;
use crate::telemetry::subscriber::span_layer;
use crate::telemetry::traces::{TraceParent, enter, spans::build_consumer_span};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn logged(format: LogFormat, work: impl FnOnce()) -> String {
    let captured = Captured::default();
    let layer = tracing_subscriber::fmt::layer()
        .event_format(LineFormat::new(format))
        .with_ansi(false)
        .with_writer(captured.clone());
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let subscriber = tracing_subscriber::registry()
        .with(layer)
        .with(span_layer(tracer));
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
}

fn json(work: impl FnOnce()) -> Value {
    let line = logged(LogFormat::Json, work);
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    serde_json::from_str(&line).unwrap()
}

#[test]
fn fields_keep_their_types() {
    let line = json(|| {
        tracing::info!(
            status = 200_u16,
            delta = -3,
            ratio = 0.5,
            endless = f64::INFINITY,
            done = true,
            route = "/v1/events",
            debugged = ?Some(1),
            "request"
        );
    });
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "request");
    assert_eq!(line["status"], 200);
    assert_eq!(line["delta"], -3);
    assert_eq!(line["ratio"], 0.5);
    assert_eq!(line["endless"], Value::Null);
    assert_eq!(line["done"], true);
    assert_eq!(line["route"], "/v1/events");
    assert_eq!(line["debugged"], "Some(1)");
    assert_eq!(line.get("trace_id"), None);
}

#[test]
fn hostile_text_stays_inside_its_string_and_its_line() {
    let text = "a\"b\\c\nd\u{1}\u{7f}\r\t é \u{2028}";
    let line = json(|| tracing::warn!(agent = text, "{text}"));
    assert_eq!(line["agent"], text);
    assert_eq!(line["message"], text);
}

#[test]
fn a_key_is_never_written_twice() {
    let line = logged(LogFormat::Json, || {
        tracing::info!(
            level = "fake",
            trace_id = "fake",
            status = 1,
            status = 2,
            "x"
        );
    });
    for key in ["level", "trace_id", "status", "message", "field.level"] {
        let wanted = usize::from(key != "trace_id");
        assert_eq!(
            line.matches(&format!("\"{key}\":")).count(),
            wanted,
            "{key}"
        );
    }
    let parsed: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(parsed["level"], "INFO");
    assert_eq!(parsed["field.level"], "fake");
    assert_eq!(parsed["status"], 1);
}

#[test]
fn names_are_compared_as_they_are_written_and_a_message_may_be_a_number() {
    let line = logged(LogFormat::Json, || {
        tracing::info!(message = 5, "type" = 1, r#type = 2, endless = 1.5e300);
    });
    assert_eq!(line.matches("\"type\":").count(), 1, "{line}");
    let parsed: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&parsed["message"], &parsed["type"]),
        (&"5".into(), &1.into())
    );
    assert_eq!(parsed["endless"], 1.5e300);
}

#[tokio::test]
async fn a_line_inside_a_request_carries_its_ids() {
    let scope = scope("req\"1", true);
    let line = scope.run(async { json(|| tracing::info!("inside")) }).await;
    assert_eq!(line["trace_id"], "a".repeat(32));
    assert_eq!(line["span_id"], "b".repeat(16));
    assert_eq!(line["request_id"], "req\"1");
}

#[test]
fn an_error_is_written_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::other("inner"));
    let line = json(|| {
        tracing::error!(
            error = &error as &(dyn std::error::Error + 'static),
            "failed"
        );
    });
    assert_eq!(line["error"], "outer: inner");
}

#[test]
fn a_pretty_event_is_one_line() {
    let line = logged(LogFormat::Pretty, || {
        tracing::info!(route = "/a\n/b", "two\nlines");
    });
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.ends_with(": two\\nlines route=/a\\n/b\n"), "{line:?}");
}

#[test]
fn a_line_outside_a_request_names_the_span_it_is_logged_in() {
    let cause = format!("00-{}-{}-01", "a".repeat(32), "b".repeat(16));
    let mut ids = None;
    let line = json(|| {
        let span = build_consumer_span("email", TraceParent::parse(&cause).unwrap());
        ids = TraceParent::of(&span);
        enter(&span, || tracing::info!("delivered"));
    });
    let ids = ids.unwrap();
    assert_eq!(line["trace_id"], ids.trace_id.to_string());
    assert_eq!(line["span_id"], ids.span_id.to_string());
    assert!(
        json(|| tracing::info!("elsewhere"))
            .get("trace_id")
            .is_none()
    );
}
