//! The span that is worked in: a value of the task's, and never entered in the registry.
//!
//! To enter a span is a look-up in the registry and a lock, and so is to leave it, at each poll; and sqlx enters whatever span is
//! current twice for each row that it yields. A value of the task's costs neither, and nobody but this module asks for it.

use std::fmt::{Debug, Write as _};
use std::future::Future;

use futures_util::future::Either;
use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::TraceParent;

tokio::task_local! {
    /// Of those that are recorded, the innermost.
    static CURRENT: Span;
}

/// Runs work in a span; in one that is not recorded it runs where it is.
pub fn within<F: Future>(span: Span, work: F) -> impl Future<Output = F::Output> + use<F> {
    if span.is_disabled() {
        Either::Left(work)
    } else {
        Either::Right(CURRENT.scope(span, work))
    }
}

/// Calls a function in a span; in one that is not recorded it is called where it is.
pub fn enter<T>(span: &Span, work: impl FnOnce() -> T) -> T {
    if span.is_disabled() {
        work()
    } else {
        CURRENT.sync_scope(span.clone(), work)
    }
}

/// Calls a function with the span that is worked in, if it is recorded.
pub(super) fn with_current<T>(f: impl FnOnce(&Span) -> T) -> Option<T> {
    CURRENT.try_with(f).ok()
}

/// The ids of the span that is worked in, if it is recorded.
pub(in crate::telemetry) fn active() -> Option<TraceParent> {
    with_current(TraceParent::of).flatten()
}

/// Notes on the span that is worked in, if it is recorded, that its work failed.
pub fn failed(error_type: Option<&'static str>) {
    with_current(|span| failed_in(span, error_type));
}

/// Notes on a span that its work failed.
pub fn failed_in(span: &Span, error_type: Option<&'static str>) {
    if let Some(error_type) = error_type {
        span.record("error.type", error_type);
    }
    span.record("otel.status_code", "ERROR");
}

/// Makes what is logged in a span an event of it, named by its message, or else by its place; an error marks the span as failed.
#[derive(Debug)]
pub(in crate::telemetry) struct SpanEvents;

impl<S: Subscriber> Layer<S> for SpanEvents {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        with_current(|span| {
            let metadata = event.metadata();
            let mut noted = Noted {
                name: String::new(),
                attributes: vec![
                    KeyValue::new("level", metadata.level().as_str()),
                    KeyValue::new("target", metadata.target()),
                ],
            };
            event.record(&mut noted);
            if noted.name.is_empty() {
                metadata.name().clone_into(&mut noted.name);
            }
            span.add_event(noted.name, noted.attributes);
            if *metadata.level() == Level::ERROR {
                span.set_status(Status::error(""));
            }
        });
    }
}

/// The name and the attributes of a span's event.
struct Noted {
    name: String,
    attributes: Vec<KeyValue>,
}

impl Noted {
    fn note(&mut self, field: &Field, value: impl Into<opentelemetry::Value>) {
        let value = value.into();
        if field.name() == "message" {
            self.name = value.as_str().into_owned();
        } else {
            self.attributes.push(KeyValue::new(field.name(), value));
        }
    }
}

impl Visit for Noted {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // There are no unsigned attributes.
        match i64::try_from(value) {
            Ok(value) => self.note(field, value),
            Err(_) => self.note(field, value.to_string()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A value that cannot be written is noted as far as it could.
        let _ = write!(text, "{value:?}");
        self.note(field, text);
    }
}
