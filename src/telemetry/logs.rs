//! The shape of a log line: one JSON object, or one readable line for a terminal.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::rc::Rc;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::traces;
use super::{recording, scope, wall_clock};

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

/// Room for texts that a thread keeps from one line to the next.
const KEPT_BYTES: usize = 8 * 1024;

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
        let keys = &*fields.keys_of(event.metadata());
        fields.clear();
        match self.format {
            LogFormat::Json => {
                event.record(&mut JsonVisitor { fields, keys });
                record(event, fields);
                write_json(out, event, fields)
            }
            LogFormat::Pretty => {
                if recording::is_on() {
                    event.record(&mut JsonVisitor { fields, keys });
                    record(event, fields);
                    fields.clear();
                }
                event.record(&mut PrettyVisitor { fields, keys });
                write_pretty(out, event, fields)
            }
        }
    }
}

/// What becomes of a field of a callsite.
#[derive(Debug)]
enum Key {
    /// It is the line's own message.
    Message,
    /// A member; how its name is written in JSON, from the comma before it to the colon behind it.
    Member(Box<str>),
    /// One of its name came before it.
    Repeated,
}

impl Key {
    fn new(name: &str, before: &[&str]) -> Self {
        if name == "message" && !before.contains(&name) {
            return Self::Message;
        }
        let bare = |name| str::strip_prefix(name, "r#").unwrap_or(name);
        let name = bare(name);
        if before.iter().any(|one| bare(one) == name) {
            return Self::Repeated;
        }
        let mut text = String::from(",\"");
        if RESERVED.contains(&name) || name.starts_with("field.") {
            text.push_str("field.");
        }
        escape(&mut text, name);
        text.push_str("\":");
        Self::Member(text.into())
    }
}

/// What one event said: its message, and its other fields already rendered. The room for them is used again.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
    scratch: String,
    line: String,
    /// As many as there are places in the program that log, for each thread.
    keys: HashMap<Identifier, Rc<[Key]>>,
}

impl Fields {
    fn clear(&mut self) {
        for text in [
            &mut self.message,
            &mut self.rest,
            &mut self.scratch,
            &mut self.line,
        ] {
            text.clear();
            // One long line must not keep its length for the rest of the thread's life.
            text.shrink_to(KEPT_BYTES);
        }
    }

    /// What becomes of the fields of a callsite, in their order; found out when it first logs.
    fn keys_of(&mut self, metadata: &'static Metadata<'static>) -> Rc<[Key]> {
        let keys = self.keys.entry(metadata.callsite()).or_insert_with(|| {
            let names: Vec<&str> = metadata.fields().iter().map(|one| one.name()).collect();
            let keys = names.iter().enumerate();
            keys.map(|(at, name)| Key::new(name, names.get(..at).unwrap_or_default()))
                .collect()
        });
        Rc::clone(keys)
    }
}

struct JsonVisitor<'a> {
    fields: &'a mut Fields,
    keys: &'a [Key],
}

impl JsonVisitor<'_> {
    /// Begins a member; `false` when the field is none.
    fn key(&mut self, field: &Field) -> bool {
        let Some(Key::Member(key)) = self.keys.get(field.index()) else {
            return false;
        };
        self.fields.rest.push_str(key);
        true
    }

    fn raw(&mut self, field: &Field, value: &str) {
        if let Some(Key::Message) = self.keys.get(field.index()) {
            self.fields.message.push_str(value);
        } else if self.key(field) {
            self.fields.rest.push_str(value);
        }
    }
}

impl Visit for JsonVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(Key::Message) = self.keys.get(field.index()) {
            self.fields.message.push_str(value);
        } else if self.key(field) {
            self.fields.rest.push('"');
            escape(&mut self.fields.rest, value);
            self.fields.rest.push('"');
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = std::mem::take(&mut self.fields.scratch);
        text.clear();
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
        self.fields.scratch = text;
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
            self.raw(field, zmij::Buffer::new().format_finite(value));
        } else {
            self.raw(field, "null");
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field, itoa::Buffer::new().format(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(field, itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field, if value { "true" } else { "false" });
    }
}

struct PrettyVisitor<'a> {
    fields: &'a mut Fields,
    keys: &'a [Key],
}

impl Visit for PrettyVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match self.keys.get(field.index()) {
            Some(Key::Message) => escape(&mut self.fields.message, value),
            Some(Key::Member(_)) => {
                let _ = write!(self.fields.rest, " {}=", field.name());
                escape(&mut self.fields.rest, value);
            }
            Some(Key::Repeated) | None => {}
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
    let line = &mut fields.line;
    line.clear();
    line.push_str("{\"timestamp\":\"");
    wall_clock::push(line, wall_clock::now());
    line.push_str("\",\"level\":\"");
    line.push_str(event.metadata().level().as_str());
    line.push_str("\",\"target\":\"");
    escape(line, event.metadata().target());
    line.push_str("\",\"message\":\"");
    escape(line, &fields.message);
    line.push('"');

    let in_request = scope::with_current(|scope| {
        line.push_str(",\"trace_id\":\"");
        line.push_str(scope.trace_id());
        line.push_str("\",\"span_id\":\"");
        line.push_str(scope.span_id());
        // The one id that a client may have chosen.
        line.push_str("\",\"request_id\":\"");
        escape(line, &scope.request_id);
        line.push('"');
    });
    if in_request.is_none()
        && let Some(ids) = traces::active()
    {
        let (trace, span) = (ids.trace_id, ids.span_id);
        write!(line, ",\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"")?;
    }
    line.push_str(&fields.rest);
    line.push_str("}\n");
    out.write_str(line)
}

fn write_pretty(out: &mut Writer<'_>, event: &Event<'_>, fields: &Fields) -> fmt::Result {
    let level = *event.metadata().level();
    let mut timestamp = String::new();
    wall_clock::push(&mut timestamp, wall_clock::now());
    out.write_str(&timestamp)?;
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
    if let Some(written) =
        scope::with_current(|scope| write!(out, " trace_id={}", scope.trace_id()))
    {
        written?;
    }
    out.write_char('\n')
}

/// Appends a text as the inside of a JSON string (RFC 8259, section 7).
fn escape(out: &mut String, text: &str) {
    // Nearly every text is clean; without a way out of the loop it is looked at many bytes at a time.
    let clean = text
        .bytes()
        .fold(true, |clean, byte| clean & is_clean(byte));
    if clean {
        out.push_str(text);
    } else {
        escape_each(out, text);
    }
}

fn is_clean(byte: u8) -> bool {
    !matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f)
}

fn escape_each(out: &mut String, text: &str) {
    for each in text.chars() {
        match each {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(each));
            }
            _ => out.push(each),
        }
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
