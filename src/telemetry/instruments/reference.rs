//! Renders the inventory of metrics as the reference of the documentation.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{INSTRUMENTS, Instrument};

/// The metric reference as JSON; `docs/metrics.json` is this text.
pub fn reference_json() -> String {
    let describe = |one: &Instrument| {
        json!({
            "name": one.name,
            "kind": one.kind.as_str(),
            "unit": one.unit,
            "help": one.help,
            "labels": one.labels,
            "buckets": one.bounds,
        })
    };
    let list: Vec<Value> = INSTRUMENTS.iter().map(describe).collect();
    format!("{:#}", Value::from(list))
}

/// The metric reference as Markdown; `docs/metrics.md` is this text.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Metric reference\n\n\
         Generated from `src/telemetry/instruments.rs`; do not edit.\n\n\
         | name | kind | unit | labels | buckets | meaning |\n\
         |---|---|---|---|---|---|\n",
    );
    for one in INSTRUMENTS {
        let kind = one.kind.as_str();
        let labels: Vec<String> = one.labels.iter().map(|name| format!("`{name}`")).collect();
        let bounds: Vec<String> = one.bounds.iter().map(f64::to_string).collect();
        let _ = writeln!(
            page,
            "| `{}` | {kind} | {} | {} | {} | {} |",
            one.name,
            one.unit,
            labels.join(" "),
            bounds.join(" "),
            one.help
        );
    }
    page
}
