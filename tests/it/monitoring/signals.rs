//! Spans and log lines are what they are declared to be, and what is declared is seen, but for what needs a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoke::telemetry::signals::{
    COMMON, FIELDS, Field, Kind, LINES, Line, RESOURCE, SPANS, Span,
};
use serde_json::{Map, Value};

use super::workload;
use crate::support::engines::Engine;
use crate::support::otlp::{CollectedSpan, OtlpReceiver};
use crate::support::service::Service;

/// Attributes that a healthy run does not show.
const NEED_A_FAULT: &[(&str, &str, &str)] = &[
    ("server", "error.type", "a 5xx, or a client that goes away"),
    (
        "client",
        "error.type",
        "a statement that the database refuses",
    ),
    ("client", "db.operation.name", "a Redis that is shared"),
    (
        "consumer",
        "error.type",
        "a delivery that the database refuses",
    ),
];

/// Fields of lines that a healthy run writes, which it writes without them.
const FIELDS_THAT_NEED_A_FAULT: &[(&str, &str, &str)] = &[(
    "shutdown",
    "connections",
    "connections that had to be cut off",
)];

/// Runs a service through everything it can do, to its end.
async fn run(engine: Engine) -> (Vec<CollectedSpan>, Vec<Map<String, Value>>) {
    let collector = OtlpReceiver::http().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("CONVOKE_LOG", "info,convoke=debug"),
        ("CONVOKE_ENV", "development"),
        ("CONVOKE_RATE_LIMIT_ENABLED", "true"),
        ("CONVOKE_SHUTDOWN_GRACE", "0s"),
        ("CONVOKE_BACKUP_EVERY", "1h"),
        ("CONVOKE_BACKUP_TO", "file:backups"),
    ];
    let mut service = Service::start(engine, &settings).await;
    workload::everything(&service).await;
    let made = |line: &Value| line["message"] == "a backup was made";
    service
        .wait_for_log("a backup", Duration::from_mins(1), made)
        .await;
    service.terminate();
    assert!(service.wait().success());
    // Printed to the end, although the reader may be a moment behind.
    let is_last = |line: &Value| line["message"] == "shutdown" && line["step"] == "done";
    service
        .wait_for_log("the last", Duration::from_secs(10), is_last)
        .await;
    let lines = service.log_lines();
    let lines = lines
        .into_iter()
        .map(|line| line.as_object().cloned().expect("an object"));
    (collector.spans(), lines.collect())
}

fn kind(span: &CollectedSpan) -> &'static str {
    match span.span.kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        5 => "consumer",
        other => panic!("a span of kind {other}: {span:?}"),
    }
}

/// The name that the pattern makes of the span's attributes.
fn name(pattern: &str, span: &CollectedSpan) -> String {
    let mut name = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (attribute, after) = after.split_once('}').expect("closed");
        name.push_str(before);
        let value = span.attribute(attribute).unwrap_or_default();
        // The semantic conventions' word for an unknown method.
        name.push_str(if value == "_OTHER" { "HTTP" } else { &value });
        rest = after;
    }
    (name + rest).trim_end().to_owned()
}

fn declared(span: &CollectedSpan) -> &'static Span {
    let kind = kind(span);
    let fits = |one: &&Span| one.kind == kind && name(one.name, span) == span.span.name;
    let found = SPANS.iter().find(fits);
    found.unwrap_or_else(|| panic!("not declared: {span:?}"))
}

fn is_a(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::Integer => value.is_u64() || value.is_i64(),
        Kind::Number => value.is_number(),
    }
}

fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == name)
}

/// The declaration of a line, by its message, target and level.
fn line_of(line: &Map<String, Value>) -> usize {
    let text = |name: &str| line[name].as_str().expect("a text");
    let message = text("message");
    let fits = |one: &Line| {
        let says = match one.message.split_once("{}") {
            Some((before, after)) => message.starts_with(before) && message.ends_with(after),
            None => message == one.message,
        };
        says && one.target == text("target")
            && one.level.split(' ').any(|level| level == text("level"))
    };
    let found = LINES.iter().position(fits);
    found.unwrap_or_else(|| panic!("not declared: {line:?}"))
}

on_both_engines! {
    async fn spans_and_lines_are_as_declared_and_all_are_seen(engine: Engine) {
        let (spans, lines) = run(engine).await;
        spans_are_as_declared(&spans);
        lines_are_as_declared(&lines);
    }
}

fn spans_are_as_declared(spans: &[CollectedSpan]) {
    let mut seen: BTreeSet<(&str, String)> = BTreeSet::new();
    for span in spans {
        let declared = declared(span);
        assert_eq!(span.span.name, name(declared.name, span), "{span:?}");
        let names = |list: &[opentelemetry_proto::tonic::common::v1::KeyValue]| -> Vec<String> {
            list.iter().map(|one| one.key.clone()).collect()
        };
        let found = names(&span.span.attributes);
        let unique: BTreeSet<&String> = found.iter().collect();
        assert_eq!(unique.len(), found.len(), "an attribute twice: {span:?}");
        for attribute in &found {
            let field = find(declared.attributes, attribute);
            let field = field.unwrap_or_else(|| panic!("{attribute} is not declared: {span:?}"));
            let value = span.attribute(attribute).expect("there");
            let whole = value.parse::<i64>().is_ok();
            assert!(field.kind == Kind::Text || whole, "{attribute} is {value}");
            seen.insert((declared.kind, attribute.clone()));
        }
        for field in declared
            .attributes
            .iter()
            .filter(|field| field.when.is_empty())
        {
            assert!(
                found.iter().any(|one| one == field.name),
                "no {}: {span:?}",
                field.name
            );
        }
        assert!(span.span.events.is_empty(), "nothing went wrong: {span:?}");
        let resource: BTreeSet<String> = names(&span.resource).into_iter().collect();
        let declared: BTreeSet<String> =
            RESOURCE.iter().map(|field| field.name.to_owned()).collect();
        assert_eq!(resource, declared);
    }
    let all = SPANS
        .iter()
        .flat_map(|span| span.attributes.iter().map(|field| (span.kind, field.name)));
    let unseen: BTreeSet<_> = all
        .filter(|(kind, name)| !seen.contains(&(*kind, (*name).to_owned())))
        .collect();
    let excused: BTreeSet<_> = NEED_A_FAULT
        .iter()
        .map(|(kind, name, _)| (*kind, *name))
        .collect();
    assert_eq!(unseen, excused);
}

fn lines_are_as_declared(lines: &[Map<String, Value>]) {
    let mut seen: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut common: BTreeSet<&str> = BTreeSet::new();
    for line in lines {
        let at = line_of(line);
        let declared = LINES[at].fields;
        let fields = seen.entry(at).or_default();
        for (name, value) in line {
            if let Some(field) = find(COMMON, name) {
                assert!(is_a(field.kind, value), "{name} in {line:?}");
                common.insert(field.name);
                continue;
            }
            let own = declared.iter().any(|one| one.trim_end_matches('?') == name);
            assert!(own, "{name} is not declared: {line:?}");
            let field = find(FIELDS, name).expect("a line's fields are in the list");
            assert!(is_a(field.kind, value), "{name} in {line:?}");
            fields.insert(name.clone());
        }
        let required = COMMON
            .iter()
            .filter(|field| field.when.is_empty())
            .map(|field| field.name);
        for name in required.chain(declared.iter().copied().filter(|name| !name.ends_with('?'))) {
            assert!(line.contains_key(name), "no {name} in {line:?}");
        }
    }
    assert_eq!(common, COMMON.iter().map(|field| field.name).collect());
    let mut unseen = BTreeSet::new();
    for (at, line) in LINES
        .iter()
        .enumerate()
        .filter(|(_, line)| line.needs.is_empty())
    {
        let fields = seen
            .get(&at)
            .unwrap_or_else(|| panic!("never written: {line:?}"));
        let names = line.fields.iter().map(|name| name.trim_end_matches('?'));
        unseen.extend(
            names
                .filter(|name| !fields.contains(*name))
                .map(|name| (line.message, name)),
        );
    }
    let excused: BTreeSet<_> = FIELDS_THAT_NEED_A_FAULT
        .iter()
        .map(|(line, name, _)| (*line, *name))
        .collect();
    assert_eq!(unseen, excused);
}
