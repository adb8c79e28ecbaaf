//! What the ring keeps, and that it is bounded.

use super::*;
use crate::telemetry::recording::{Recording, StepKind};

const LIMIT: Duration = Duration::from_millis(250);

fn request(why: Why, route: &str, millis: u64) -> Record {
    Record {
        id: 0,
        why,
        began: Duration::ZERO,
        duration: Duration::from_millis(millis),
        work: Work::Request {
            method: "GET",
            route: route.into(),
            status: if why == Why::Failed { 500 } else { 200 },
            request_id: "r".into(),
            span_id: 1,
        },
        trace: u128::from(millis),
        exported: false,
        error: (why == Why::Failed).then_some("internal_error"),
        recorded: Recorded::default(),
    }
}

fn delivery(causes: Vec<u128>, millis: u64) -> Record {
    Record {
        work: Work::Delivery {
            channel: "inbox".into(),
            outcome: "delivered",
            count: causes.len(),
            causes,
        },
        trace: 0,
        ..request(Why::Sampled, "", millis)
    }
}

fn routes(ring: &Ring, why: Why) -> Vec<String> {
    let mut routes: Vec<String> = ring
        .records()
        .iter()
        .filter(|record| record.why == why)
        .map(|record| match &record.work {
            Work::Request { route, .. } => route.to_string(),
            Work::Delivery { channel, .. } => channel.to_string(),
        })
        .collect();
    routes.sort();
    routes
}

#[test]
fn a_flood_of_failures_on_one_route_evicts_nothing_else() {
    let ring = Ring::new();
    ring.keep(request(Why::Failed, "/rare", 1));
    ring.keep(request(Why::Slow, "/slow", 900));
    ring.keep(request(Why::Sampled, "/well", 2));
    for _ in 0..10_000 {
        ring.keep(request(Why::Failed, "/flooded", 3));
    }
    assert_eq!(
        routes(&ring, Why::Failed),
        ["/flooded", "/flooded", "/flooded", "/rare"]
    );
    assert_eq!(routes(&ring, Why::Slow), ["/slow"]);
    assert_eq!(routes(&ring, Why::Sampled), ["/well"]);
}

#[test]
fn what_failed_is_wanted_first_then_what_was_slow_then_the_slowest_then_one_a_second() {
    let ring = Ring::new();
    let route: Arc<str> = "/r".into();
    let wants = |error: Option<&'static str>, millis| {
        let took = Duration::from_millis(millis);
        ring.wants(
            ("GET", &route),
            error,
            error.is_some(),
            (took, LIMIT),
            Instant::now(),
        )
    };
    assert_eq!(wants(Some("internal_error"), 900), Some(Why::Failed));
    assert_eq!(wants(None, 251), Some(Why::Slow));
    assert_eq!(
        wants(None, 3),
        Some(Why::Slowest),
        "there is room among them"
    );
    for _ in 0..SLOWEST {
        ring.keep(request(Why::Slowest, "/r", 50));
    }
    assert_eq!(wants(None, 51), Some(Why::Slowest));
    assert_eq!(wants(None, 50), Some(Why::Sampled));
    ring.keep(request(Why::Sampled, "/r", 50));
    assert_eq!(wants(None, 50), None, "not twice within a second");
    ring.keep(request(Why::Failed, "/r", 50));
    assert_eq!(wants(Some("internal_error"), 1), None, "a flood is thinned");
    assert_eq!(wants(Some("database_unavailable"), 1), Some(Why::Failed));
}

#[test]
fn the_slowest_give_way_to_slower_ones_and_to_time() {
    let ring = Ring::new();
    let now = Instant::now();
    for millis in 0..100 {
        ring.keep_at(request(Why::Slowest, "/r", millis), now);
    }
    let kept = |ring: &Ring| -> Vec<u128> {
        let records = ring.records();
        records
            .iter()
            .map(|record| record.duration.as_millis())
            .collect()
    };
    let mut slowest = kept(&ring);
    slowest.sort_unstable();
    assert_eq!(slowest, (88..100).collect::<Vec<_>>());
    let later = now + SLOWEST_FOR + Duration::from_secs(1);
    ring.keep_at(request(Why::Slowest, "/r", 1), later);
    assert_eq!(kept(&ring), [1]);
}

#[test]
fn a_delivery_outlives_others_when_its_cause_is_kept() {
    let ring = Ring::new();
    ring.keep(request(Why::Slow, "/r", 700));
    ring.keep_delivery(delivery(vec![700, 5], 1), false);
    for _ in 0..1000 {
        ring.keep_delivery(delivery(vec![3], 1), false);
    }
    ring.keep_delivery(delivery(vec![3], 1001), false);
    ring.keep_delivery(delivery(vec![3], 1), true);
    let records = ring.records();
    assert_eq!(records.iter().filter(|one| one.caused(700)).count(), 1);
    assert_eq!(
        records.iter().filter(|one| one.caused(3)).count(),
        DELIVERIES + 2
    );
    assert_eq!(routes(&ring, Why::Failed), ["inbox"]);
    assert_eq!(routes(&ring, Why::Slow), ["/r", "inbox"]);
}

#[test]
fn a_flood_over_more_routes_than_there_is_room_for_is_a_flood_too() {
    let ring = Ring::new();
    let mut wanted = 0;
    for round in 0..100 {
        for number in 0..50 {
            let route: Arc<str> = format!("/{number}").into();
            let why = ring.wants(
                ("GET", &route),
                None,
                true,
                (Duration::ZERO, LIMIT),
                Instant::now(),
            );
            if why.is_some() {
                wanted += 1;
                ring.keep(request(Why::Failed, &format!("/{number}"), round));
            }
        }
    }
    // In well under a second: the first of each group, and what the rests of a tenth of a second allow.
    assert!((32..1000).contains(&wanted), "{wanted}");
}

#[test]
fn filled_to_the_brim_with_the_largest_records_it_stays_below_its_bound() {
    let ring = Ring::new();
    let fill = |why| {
        for number in 0..600 {
            let recording = Recording::start();
            for _ in 0..200 {
                recording.step(StepKind::Database, "events.find", LIMIT, None, None);
            }
            let large = Record {
                recorded: largest(&recording),
                work: Work::Request {
                    method: "GET",
                    route: format!("/{number}").into(),
                    status: 200,
                    request_id: "r".repeat(128).into(),
                    span_id: 1,
                },
                ..request(why, "", 1000 + number)
            };
            for _ in 0..4 {
                ring.keep(large.clone());
            }
        }
    };
    for why in [Why::Failed, Why::Slow, Why::Slowest, Why::Sampled] {
        fill(why);
    }
    for cause in (0..200).chain(1000..1600) {
        let recorded = largest(&Recording::start());
        let large = Record {
            recorded,
            ..delivery(vec![cause; MAX_CAUSES], 1)
        };
        ring.keep_delivery(large, false);
    }
    let records = ring.records();
    let bytes: usize = records.iter().map(|record| record.bytes()).sum();
    // Every place of every kind is taken.
    let places = 32 * 3 + 32 * 3 + SLOWEST + 64 * 2 + 2 * DELIVERIES;
    assert_eq!(records.len(), places);
    assert!(
        bytes < MAX_BYTES && bytes > MAX_BYTES / 2,
        "{bytes} in {}",
        records.len()
    );
}

/// As much as a recording takes.
fn largest(recording: &Recording) -> Recorded {
    let scope = Arc::new(Recording::start());
    for _ in 0..100 {
        scope.step(StepKind::Database, "events.find", LIMIT, None, None);
        scope.enter(|| crate::telemetry::recording::line("INFO", "convoke", &"x".repeat(70), ""));
    }
    scope.ending(true);
    scope.enter(|| crate::telemetry::recording::line("INFO", "convoke", &"x".repeat(880), ""));
    drop(recording.take());
    scope.take()
}
