//! Puts the tracing subscriber together: the log layer with its filter, and the OpenTelemetry layer.

use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::log_control::{FilterError, LogControl, parse_filter};
use super::log_writer::LogWriter;
use super::logs::{LineFormat, LogFormat};
use super::traces::SpanEvents;
use super::traces::spans::TARGET;

/// Builds the subscriber; the filter rules the log alone, so that a quiet log does not end the traces.
pub(super) fn build(
    filter: &str,
    format: LogFormat,
    writer: LogWriter,
    tracer: SdkTracer,
) -> Result<(impl Subscriber + Send + Sync, LogControl), FilterError> {
    let (reloadable, handle) = reload::Layer::<EnvFilter, Registry>::new(parse_filter(filter)?);
    let logs = tracing_subscriber::fmt::layer()
        .event_format(LineFormat::new(format))
        .with_ansi(format == LogFormat::Pretty)
        .with_writer(writer)
        // Spans are for the traces; formatting their fields for a log that never shows them is waste.
        .with_filter(reloadable.and(filter_fn(is_event)));
    let control = LogControl::new(filter.to_owned(), handle);
    let subscriber = tracing_subscriber::registry()
        .with(logs)
        .with(span_layer(tracer));
    Ok((subscriber, control))
}

// `Metadata::is_event` itself is not general enough over its lifetime.
fn is_event(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

/// What goes into the traces: our own spans, and the warnings and errors that happen inside them.
pub(super) fn span_layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_filter(filter_fn(|metadata| {
            metadata.is_span() && metadata.target() == TARGET
        }));
    let events = SpanEvents.with_filter(filter_fn(|metadata| {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }));
    spans.and_then(events)
}
