//! Renders the inventory of metrics as the reference page of the documentation.

use std::fmt::Write as _;

use super::{INSTRUMENTS, Kind};

/// The metric reference as Markdown; `docs/metrics.md` is this text.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Metric reference\n\n\
         Generated from `src/telemetry/instruments.rs`; do not edit.\n\n\
         | name | kind | unit | labels | buckets | meaning |\n\
         |---|---|---|---|---|---|\n",
    );
    for one in INSTRUMENTS {
        let kind = match one.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
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
