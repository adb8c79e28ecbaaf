//! The documents behind the page's requests: `GET /console/traces` and `GET /console/traces/{id}`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::telemetry::recording::Line;
use crate::telemetry::ring::{MAX_BYTES, Record, Why, Work};

/// Of each kind, the newest.
const LISTED: usize = 40;
/// Others of the same traces, the newest.
const MAX_RELATED: usize = 32;

/// A short line for each, the newest first.
pub(super) fn list(records: &[Arc<Record>]) -> Value {
    let bytes: usize = records.iter().map(|record| record.bytes()).sum();
    let of = |why| {
        let kept = records.iter().filter(move |record| record.why == why);
        kept.take(LISTED)
    };
    let kinds = [Why::Failed, Why::Slow, Why::Slowest, Why::Sampled];
    let mut listed: Vec<&Arc<Record>> = kinds.into_iter().flat_map(of).collect();
    listed.sort_by_key(|record| std::cmp::Reverse(record.began));
    json!({
        "kept": records.len(),
        "kept_bytes": bytes,
        "max_bytes": MAX_BYTES,
        "items": listed.into_iter().map(|record| summary(record)).collect::<Vec<_>>(),
    })
}

/// A record by its number or its trace, and whatever else is kept of the same traces; `None` when nothing is.
pub(super) fn find(records: &[Arc<Record>], id: &str) -> Option<Value> {
    let trace = u128::from_str_radix(id, 16).ok().filter(|_| id.len() == 32);
    let number = id.parse::<u64>().ok().filter(|_| trace.is_none());
    let wanted = |record: &&Arc<Record>| {
        Some(record.id) == number || trace.is_some_and(|trace| record.trace == trace)
    };
    let found = records.iter().find(wanted)?;
    let mut traces = vec![found.trace];
    if let Work::Delivery { causes, .. } = &found.work {
        traces.extend(causes);
    }
    traces.retain(|trace| *trace != 0);
    let related = records.iter().filter(|record| {
        let causes: &[u128] = match &record.work {
            Work::Delivery { causes, .. } => causes,
            Work::Request { .. } => &[],
        };
        record.id != found.id
            && (traces.contains(&record.trace) || causes.iter().any(|cause| traces.contains(cause)))
    });
    // A client may send the same trace with every request.
    let related = related.take(MAX_RELATED);
    let mut related: Vec<Value> = related.map(|record| detail(record)).collect();
    // In the order of time.
    related.reverse();
    Some(json!({ "record": detail(found), "related": related }))
}

fn summary(record: &Record) -> Value {
    let mut summary = json!({
        "id": record.id,
        "why": record.why,
        "began_ms": u64::try_from(record.began.as_millis()).unwrap_or(u64::MAX),
        "duration_us": u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX),
        "trace_id": (record.trace != 0).then(|| hex(record.trace)),
        "exported": record.exported,
        "error": record.error,
        "steps": record.recorded.steps.len(),
        "lines": record.recorded.lines.len(),
    });
    let more = match &record.work {
        Work::Request {
            method,
            route,
            status,
            ..
        } => {
            json!({"kind": "request", "method": method, "route": route.as_ref(), "status": status})
        }
        Work::Delivery {
            channel,
            outcome,
            count,
            ..
        } => {
            json!({"kind": "delivery", "channel": channel.as_ref(), "outcome": outcome, "count": count})
        }
    };
    extend(&mut summary, more);
    summary
}

fn detail(record: &Record) -> Value {
    let mut detail = summary(record);
    let recorded = &record.recorded;
    extend(
        &mut detail,
        json!({
            "steps": recorded.steps,
            "steps_dropped": recorded.steps_dropped,
            "lines": recorded.lines.iter().map(line).collect::<Vec<_>>(),
            "lines_dropped": recorded.lines_dropped,
        }),
    );
    let more = match &record.work {
        Work::Request {
            request_id,
            span_id,
            ..
        } => {
            json!({"request_id": request_id, "span_id": format!("{span_id:016x}")})
        }
        Work::Delivery { causes, .. } => {
            json!({"causes": causes.iter().map(|cause| hex(*cause)).collect::<Vec<_>>()})
        }
    };
    extend(&mut detail, more);
    detail
}

fn line(line: &Line) -> Value {
    json!({
        "at_us": line.at_us,
        "level": line.level,
        "target": line.target,
        // As text, which keeps the fields in the order in which they were logged.
        "json": format!("{{{}}}", line.members),
    })
}

fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

fn hex(trace: u128) -> String {
    format!("{trace:032x}")
}
