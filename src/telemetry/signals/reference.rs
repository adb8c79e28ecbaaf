//! Renders the declarations of spans and log lines as the reference of the documentation.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{COMMON, FIELDS, Field, LINES, Line, RESOURCE, SPANS};

/// The reference as JSON; `docs/signals.json` is this text.
pub fn reference_json() -> String {
    let spans = SPANS.iter().map(|span| {
        json!({
            "name": span.name,
            "kind": span.kind,
            "help": span.help,
            "attributes": fields(span.attributes),
        })
    });
    let lines = LINES.iter().map(|line| {
        json!({
            "message": line.message,
            "levels": line.level.split(' ').collect::<Vec<_>>(),
            "target": line.target,
            "fields": of(line).map(|(field, optional)| described(field, optional)).collect::<Vec<_>>(),
            "needs": line.needs,
        })
    });
    let all = json!({
        "resource": fields(RESOURCE),
        "spans": spans.collect::<Vec<_>>(),
        "log": {"common": fields(COMMON), "lines": lines.collect::<Vec<_>>()},
    });
    format!("{all:#}")
}

fn fields(fields: &[Field]) -> Vec<Value> {
    let described = |field: &Field| described(field, !field.when.is_empty());
    fields.iter().map(described).collect()
}

fn described(field: &Field, optional: bool) -> Value {
    json!({
        "name": field.name,
        "type": field.kind.as_str(),
        "help": field.help,
        "optional": optional,
        "when": field.when,
    })
}

/// The fields of a line, each with whether it may be absent.
fn of(line: &Line) -> impl Iterator<Item = (&'static Field, bool)> {
    line.fields.iter().filter_map(|name| {
        let bare = name.trim_end_matches('?');
        let field = FIELDS.iter().find(|field| field.name == bare)?;
        Some((field, bare != *name))
    })
}

/// The reference as Markdown; `docs/signals.md` is this text.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Spans and log lines\n\n\
         Generated from `src/telemetry/signals.rs`; do not edit.\n\n\
         ## Resource\n\nOf every span; what `OTEL_RESOURCE_ATTRIBUTES` says comes on top.\n\n",
    );
    table(&mut page, RESOURCE);
    page.push_str(
        "\n## Spans\n\nOnly what is sampled is built. A warning or an error that is logged inside a span becomes an \
         event of it; inside a database operation, of the span around that.\n",
    );
    for span in SPANS {
        let _ = write!(
            page,
            "\n### `{}` ({})\n\n{}\n\n",
            span.name, span.kind, span.help
        );
        table(&mut page, span.attributes);
    }
    page.push_str("\n## Log\n\nOne JSON object a line.\n\n### On every line\n\n");
    table(&mut page, COMMON);
    page.push_str("\n### Fields of the lines\n\n");
    table(&mut page, FIELDS);
    page.push_str(
        "\n### Lines\n\n`{}` stands for any text; a field with `?` may be absent. What the last column names has to happen \
         first.\n\n| message | level | target | fields | needs |\n|---|---|---|---|---|\n",
    );
    for line in LINES {
        let names: Vec<String> = line.fields.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | `{}` | {} | {} |",
            line.message,
            line.level,
            line.target,
            names.join(" "),
            line.needs
        );
    }
    page
}

fn table(page: &mut String, fields: &[Field]) {
    page.push_str("| name | type | meaning | present when |\n|---|---|---|---|\n");
    for field in fields {
        let kind = field.kind.as_str();
        let _ = writeln!(
            page,
            "| `{}` | {kind} | {} | {} |",
            field.name, field.help, field.when
        );
    }
}

/// Whether a message is one that the pattern stands for; in the sources a placeholder is as good as a text.
#[cfg(test)]
pub(super) fn matches(pattern: &str, message: &str) -> bool {
    match pattern.split_once("{}") {
        Some((before, after)) => {
            // A pattern that is nothing but a placeholder stands for other placeholders only.
            (!before.is_empty() || message.starts_with('{'))
                && message.starts_with(before)
                && message.ends_with(after)
        }
        None => pattern == message,
    }
}
