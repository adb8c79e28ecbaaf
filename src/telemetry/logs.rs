//! The shape of a log line: one JSON object, or one readable line for a terminal.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::TraceContextExt as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{recording, scope};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// One readable line, for a terminal.
    Pretty,
}

/// Names that the line itself uses; an event's field of such a name is written as `field.<name>`.
const RESERVED: &[&str] = &[
    "timestamp",
    "level",
    "target",
    "message",
    "trace_id",
    "span_id",
    "request_id",
];

/// Writes an event in one of the two formats, with the ids of the request or span it happened in.
#[derive(Clone, Copy, Debug)]
pub struct LineFormat {
    format: LogFormat,
}

impl LineFormat {
    /// A formatter of the given kind.
    pub fn new(format: LogFormat) -> Self {
        Self { format }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        thread_local! {
            static FIELDS: RefCell<Fields> = RefCell::new(Fields::default());
        }
        FIELDS.with(|fields| match fields.try_borrow_mut() {
            Ok(mut fields) => self.write(&mut out, event, &mut fields),
            // A field's own `Debug` may log while we format it.
            Err(_) => self.write(&mut out, event, &mut Fields::default()),
        })
    }
}

impl LineFormat {
    fn write(self, out: &mut Writer<'_>, event: &Event<'_>, fields: &mut Fields) -> fmt::Result {
        fields.clear();
        match self.format {
            LogFormat::Json => {
                event.record(&mut JsonVisitor(fields));
                record(event, fields);
                write_json(out, event, fields)
            }
            LogFormat::Pretty => {
                if recording::is_on() {
                    event.record(&mut JsonVisitor(fields));
                    record(event, fields);
                    fields.clear();
                }
                event.record(&mut PrettyVisitor(fields));
                write_pretty(out, event, fields)
            }
        }
    }
}

/// What one event said: its message, and its other fields already rendered.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
    scratch: String,
    seen: Vec<&'static str>,
}

impl Fields {
    fn clear(&mut self) {
        self.message.clear();
        self.rest.clear();
        self.seen.clear();
    }

    /// Notes a name and answers whether it is the first of its kind. The few fields of an event make a scan
    /// cheaper than a set.
    fn first(&mut self, name: &'static str) -> bool {
        let first = !self.seen.contains(&name);
        if first {
            self.seen.push(name);
        }
        first
    }

    /// Starts a JSON member; `false` when the name was there before.
    fn json_key(&mut self, name: &'static str) -> bool {
        let name = name.strip_prefix("r#").unwrap_or(name);
        if !self.first(name) {
            return false;
        }
        self.rest.push_str(",\"");
        if RESERVED.contains(&name) || name.starts_with("field.") {
            self.rest.push_str("field.");
        }
        escape(&mut self.rest, name);
        self.rest.push_str("\":");
        true
    }
}

struct JsonVisitor<'a>(&'a mut Fields);

impl JsonVisitor<'_> {
    fn raw(&mut self, field: &Field, value: impl fmt::Display) {
        if self.0.json_key(field.name()) {
            let _ = write!(self.0.rest, "{value}");
        }
    }
}

impl Visit for JsonVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            if self.0.first("message") {
                self.0.message.push_str(value);
            }
        } else if self.0.json_key(field.name()) {
            self.0.rest.push('"');
            escape(&mut self.0.rest, value);
            self.0.rest.push('"');
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = std::mem::take(&mut self.0.scratch);
        text.clear();
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
        self.0.scratch = text;
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.record_str(field, &text);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.raw(field, value);
        } else {
            self.raw(field, "null");
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field, value);
    }
}

struct PrettyVisitor<'a>(&'a mut Fields);

impl Visit for PrettyVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = field.name();
        if !self.0.first(name) {
        } else if name == "message" {
            escape(&mut self.0.message, value);
        } else {
            let _ = write!(self.0.rest, " {name}=");
            escape(&mut self.0.rest, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Hands the line to the request or delivery that it was logged in, for the ops console.
fn record(event: &Event<'_>, fields: &Fields) {
    let metadata = event.metadata();
    let level = metadata.level().as_str();
    recording::line(level, metadata.target(), &fields.message, &fields.rest);
}

fn write_json(out: &mut Writer<'_>, event: &Event<'_>, fields: &mut Fields) -> fmt::Result {
    out.write_str("{\"timestamp\":\"")?;
    write_timestamp(out, now())?;
    out.write_str("\",\"level\":\"")?;
    out.write_str(event.metadata().level().as_str())?;
    out.write_str("\",\"target\":\"")?;
    fields.scratch.clear();
    escape(&mut fields.scratch, event.metadata().target());
    fields.scratch.push_str("\",\"message\":\"");
    escape(&mut fields.scratch, &fields.message);
    fields.scratch.push('"');
    out.write_str(&fields.scratch)?;

    let in_request = scope::with_current(|scope| {
        out.write_str(",\"trace_id\":\"")?;
        out.write_str(&scope.trace_id)?;
        out.write_str("\",\"span_id\":\"")?;
        out.write_str(&scope.span_id)?;
        // The one id that a client may have chosen.
        out.write_str("\",\"request_id\":\"")?;
        fields.scratch.clear();
        escape(&mut fields.scratch, &scope.request_id);
        out.write_str(&fields.scratch)?;
        out.write_char('"')
    });
    match in_request {
        Some(written) => written?,
        None => opentelemetry::Context::map_current(|context| {
            let span = context.span();
            let ids = span.span_context();
            if ids.is_valid() {
                let (trace, span) = (ids.trace_id(), ids.span_id());
                write!(out, ",\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"")
            } else {
                Ok(())
            }
        })?,
    }
    out.write_str(&fields.rest)?;
    out.write_str("}\n")
}

fn write_pretty(out: &mut Writer<'_>, event: &Event<'_>, fields: &Fields) -> fmt::Result {
    let level = *event.metadata().level();
    write_timestamp(out, now())?;
    if out.has_ansi_escapes() {
        let colour = match level {
            Level::ERROR => "31",
            Level::WARN => "33",
            Level::INFO => "32",
            _ => "34",
        };
        write!(out, " \x1b[{colour}m{level:>5}\x1b[0m ")?;
    } else {
        write!(out, " {level:>5} ")?;
    }
    write!(out, "{}: {}", event.metadata().target(), fields.message)?;
    out.write_str(&fields.rest)?;
    if let Some(written) = scope::with_current(|scope| write!(out, " trace_id={}", scope.trace_id))
    {
        written?;
    }
    out.write_char('\n')
}

/// Appends a text as the inside of a JSON string (RFC 8259, section 7).
fn escape(out: &mut String, text: &str) {
    let mut clean_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x00..=0x1f | 0x7f => "",
            _ => continue,
        };
        out.push_str(text.get(clean_from..at).unwrap_or_default());
        if short.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(short);
        }
        clean_from = at + 1;
    }
    out.push_str(text.get(clean_from..).unwrap_or_default());
}

/// The time since the epoch by the machine's clock, for what operators read.
#[expect(
    clippy::disallowed_methods,
    reason = "a log line tells when it was written, whatever the injected clock says"
)]
pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Writes a time since the epoch as RFC 3339 with microseconds, in UTC.
fn write_timestamp(out: &mut impl fmt::Write, since_epoch: Duration) -> fmt::Result {
    let seconds = since_epoch.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let micros = since_epoch.subsec_micros();
    write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
    )
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
