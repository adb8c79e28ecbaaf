//! What is declared is emitted, and what is emitted is declared: metrics, as a scraper sees them after everything was used.

use std::collections::{BTreeMap, BTreeSet};

use convoke::store::OPERATIONS;
use convoke::telemetry::instruments::{INSTRUMENTS, Instrument, Kind};
use serde_json::Value;

use super::workload;
use crate::support::openmetrics::{self, Family};
use crate::support::service::Service;

/// Operations that the workload does not reach, and what they need.
const UNREACHED: &[(&str, &str)] = &[
    ("attachments.forget", "a deleted event with files"),
    (
        "backups.damaged",
        "a backup that was changed after it was made",
    ),
    ("wal.cluster", "needs a read replica"),
    ("wal.position", "needs a read replica"),
    ("wal.replayed", "needs a read replica"),
    ("backups.insert", "a backup"),
    ("backups.verified", "a backup restored for a trial"),
    (
        "changes.after",
        "a reader of the whole log; deliveries are made without one",
    ),
    ("database.clock", "`convoke doctor` asks it"),
    (
        "deleted_files.delete",
        "a file that was removed a grace ago",
    ),
    (
        "deliveries.bury",
        "a delivery that the database refuses to the last attempt",
    ),
    (
        "deliveries.give_back",
        "a delivery behind one that the database refuses",
    ),
    (
        "deliveries.lease",
        "a batch with a delivery that the database refuses",
    ),
    (
        "deliveries.retry_later",
        "a delivery that the database refuses",
    ),
    (
        "events.move",
        "other rules of time zones than at the last start",
    ),
    ("files.list", "a backup, or a move of files"),
    ("files.unknown", "a file older than the grace"),
    (
        "idempotency_keys.release",
        "a request with a key that fails for want of the database",
    ),
    (
        "idempotency_keys.take_over",
        "a request with a key whose process died",
    ),
    ("leases.renew", "a scheduled job that takes its time"),
    (
        "participants.promote",
        "hundreds of seats that come free at once",
    ),
    (
        "token_families.revoke_user",
        "`convoke user disable` ends all logins of an account",
    ),
];

/// The family of an instrument and its type, in OpenMetrics.
fn family(one: &Instrument) -> (&'static str, &'static str) {
    match one.kind {
        Kind::Counter => (
            one.name.strip_suffix("_total").expect("counters say so"),
            "counter",
        ),
        Kind::Gauge if one.name.ends_with("_info") => (&one.name[..one.name.len() - 5], "info"),
        Kind::Gauge if one.name.ends_with("_count") => (one.name, "unknown"),
        Kind::Gauge => (one.name, "gauge"),
        Kind::Histogram => (one.name, "histogram"),
    }
}

fn is_as_declared(one: &Instrument, kind: &str, found: &Family) {
    assert_eq!(found.kind, kind, "{}", one.name);
    assert_eq!(found.help.as_deref(), Some(one.help), "{}", one.name);
    assert_eq!(
        found.unit.as_deref().unwrap_or_default(),
        one.unit,
        "{}",
        one.name
    );
    let mut bounds: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for sample in &found.samples {
        let mut labels = sample.labels.clone();
        let le = labels.remove("le");
        let declared: BTreeSet<&str> = one.labels.iter().copied().collect();
        let names: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(names, declared, "{sample:?}");
        if let Some(le) = le {
            let le: f64 = le.trim_start_matches('+').to_lowercase().parse().unwrap();
            bounds.entry(labels).or_default().push(le);
        }
    }
    for (labels, mut found) in bounds {
        assert_eq!(found.pop(), Some(f64::INFINITY));
        assert_eq!(found, one.bounds, "{} {labels:?}", one.name);
    }
}

/// The paths and methods of the API's description, as the metrics name them.
fn routes() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

/// The values of some labels on the series of a histogram that have counted anything.
fn counted(family: &Family, names: &[&str]) -> BTreeSet<Vec<String>> {
    let counts = family
        .samples
        .iter()
        .filter(|one| one.name.ends_with("_count") && one.value > 0.0);
    counts
        .map(|one| names.iter().map(|name| one.labels[*name].clone()).collect())
        .collect()
}

on_both_engines! {
    async fn what_is_declared_is_exposed_and_nothing_else(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        // From the first moment on: nothing waits for its first use to exist.
        let first = openmetrics::parse(&service.scrape_as("application/openmetrics-text").await);
        workload::everything(&service).await;
        let last = openmetrics::parse(&service.scrape_as("application/openmetrics-text").await);
        for families in [&first, &last] {
            let declared: BTreeMap<&str, &str> = INSTRUMENTS.iter().map(family).collect();
            assert_eq!(declared.len(), INSTRUMENTS.len());
            let exposed: BTreeMap<&str, &str> =
                families.iter().map(|(name, family)| (name.as_str(), family.kind.as_str())).collect();
            assert_eq!(exposed, declared);
            for one in INSTRUMENTS {
                let (name, kind) = family(one);
                is_as_declared(one, kind, &families[name]);
            }
        }
    }

    async fn both_formats_tell_the_same(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        workload::everything(&service).await;
        let text = service.scrape().await;
        let families = openmetrics::parse(&service.scrape_as("application/openmetrics-text").await);
        let samples = families.values().flat_map(|family| &family.samples);
        let open: BTreeSet<_> = samples.map(|sample| {
            let mut labels = sample.labels.clone();
            if let Some(le) = labels.get_mut("le") {
                *le = le.trim_end_matches(".0").to_owned();
            }
            (sample.name.clone(), labels)
        }).collect();
        let text: BTreeSet<_> = text.keys().cloned().collect();
        assert_eq!(text.symmetric_difference(&open).collect::<Vec<_>>(), Vec::<&_>::new());
    }

    async fn every_route_and_every_database_operation_can_be_seen_at_work(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        workload::everything(&service).await;
        let families = openmetrics::parse(&service.scrape_as("application/openmetrics-text").await);

        let requests = &families["http_server_request_duration_seconds"];
        let used = counted(requests, &["http_request_method", "http_route"]);
        let routes = routes();
        let unused: Vec<_> = routes
            .iter()
            .filter(|(method, path)| !used.contains(&vec![method.clone(), path.clone()]))
            .collect();
        assert_eq!(unused, Vec::<&_>::new(), "the workload is to use all of the API");

        let operations = &families["db_client_operation_duration_seconds"];
        let used = counted(operations, &["db_query_summary"]);
        let used: BTreeSet<&str> = used.iter().map(|one| one[0].as_str()).collect();
        let mut unreached: BTreeSet<&str> = UNREACHED.iter().map(|(name, _)| *name).collect();
        if engine == Engine::Sqlite {
            // Its writer begins transactions by itself, and needs no lock beside them.
            unreached.extend(["BEGIN", "deliveries.lock_claims", "events.begin_locked"]);
            // It has no other process to tell.
            unreached.extend(OPERATIONS.iter().filter(|name| name.starts_with("invalidations.")));
        }
        let missing: BTreeSet<&str> = OPERATIONS.iter().copied().filter(|name| !used.contains(name)).collect();
        assert_eq!(missing, unreached);
        assert!(used.iter().all(|name| OPERATIONS.contains(name)), "{used:?}");
    }
}
