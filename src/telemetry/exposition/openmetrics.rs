//! The metrics as OpenMetrics 1.0.0, with exemplars.

use std::fmt::Write as _;

use super::super::exemplars::Snapshot;
use super::super::instruments::{self, Instrument, Kind};

/// Writes families of the text format, each beginning with its HELP line, as OpenMetrics.
pub(super) fn write<'a>(
    families: impl IntoIterator<Item = &'a str>,
    series: usize,
    exemplars: &Snapshot,
) -> String {
    let mut out = String::new();
    for family in families {
        let head = family.strip_prefix("# HELP ").unwrap_or_default();
        let name = head.split(' ').next().unwrap_or_default();
        // What is not declared cannot be made; see `Family`.
        let Some(instrument) = instruments::find(name) else {
            continue;
        };
        write_head(&mut out, instrument);
        for line in family.lines().filter(|line| !line.starts_with('#')) {
            if instrument.kind == Kind::Histogram {
                write_histogram_line(&mut out, instrument, line, exemplars);
            } else if line.starts_with("telemetry_series ") {
                let _ = writeln!(out, "telemetry_series {series}");
            } else {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

fn write_head(out: &mut String, instrument: &Instrument) {
    // The suffix is the samples' and not the family's (OpenMetrics 1.0.0, "Counter" and "Info").
    let (family, kind) = match (instrument.kind, instrument.name.strip_suffix("_info")) {
        (Kind::Counter, _) => {
            let name = instrument.name;
            (name.strip_suffix("_total").unwrap_or(name), "counter")
        }
        (Kind::Gauge, Some(family)) => (family, "info"),
        // The suffix is one of histograms; see `true_type`.
        (Kind::Gauge, None) if instrument.name.ends_with("_count") => (instrument.name, "unknown"),
        (Kind::Gauge, None) => (instrument.name, "gauge"),
        (Kind::Histogram, _) => (instrument.name, "histogram"),
    };
    let _ = writeln!(out, "# TYPE {family} {kind}");
    let unit = instrument.unit;
    let in_unit = || family.strip_suffix(unit)?.strip_suffix('_');
    if !unit.is_empty() && in_unit().is_some() {
        let _ = writeln!(out, "# UNIT {family} {unit}");
    }
    let _ = write!(out, "# HELP {family} ");
    for character in instrument.help.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            plain => out.push(plain),
        }
    }
    out.push('\n');
}

/// A bound is a canonical float here, and a bucket may show an exemplar.
fn write_histogram_line(
    out: &mut String,
    instrument: &Instrument,
    line: &str,
    exemplars: &Snapshot,
) {
    const LE: &str = "le=\"";
    let parts = || {
        let (before, rest) = line.rsplit_once(LE)?;
        let (bound, after) = rest.split_once('"')?;
        Some((before, bound, after))
    };
    // The sum and the count have no bound.
    let Some((before, bound, after)) = parts() else {
        out.push_str(line);
        out.push('\n');
        return;
    };
    out.push_str(before);
    out.push_str(LE);
    out.push_str(bound);
    if bound.bytes().all(|byte| byte.is_ascii_digit()) {
        out.push_str(".0");
    }
    out.push('"');
    out.push_str(after);
    let bucket = match bound.parse::<f64>() {
        Ok(bound) => instrument.bounds.partition_point(|one| *one < bound),
        Err(_) => instrument.bounds.len(),
    };
    if let Some(one) = exemplars.find(before.trim_end_matches(','), bucket) {
        let _ = write!(
            out,
            " # {{trace_id=\"{}\",span_id=\"{}\"}} {} {}.{:03}",
            one.trace_id,
            one.span_id,
            one.value,
            one.at.as_secs(),
            one.at.subsec_millis()
        );
    }
    out.push('\n');
}
