//! What the parts of a request cost that ask nobody: neither the database nor the clock's next second. `make bench-parts`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use convoke::api::parts::{Bodies, Tokens, event_answer, if_match};
use convoke::domain::event::{EventStatus, EventView, Visibility};
use convoke::domain::new_id;
use convoke::domain::page::{decode_cursor, encode_cursor};
use convoke::domain::when::{When, parse_instant};
use convoke::telemetry::instruments::requests::{Requests, Route};
use convoke::telemetry::logs::LineFormat;
use convoke::telemetry::traces::{TraceParent, server_span};
use convoke::telemetry::{Exposition, LogFormat, RequestScope, in_flight::InFlight};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde_json::value::RawValue;
use tracing_subscriber::layer::SubscriberExt as _;
use uuid::Uuid;

// As `convoke` itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAGE: usize = 50;
const ROUTE: &str = "/api/v1/events/{event_id}";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// As most of the benchmark's events.
fn event() -> EventView {
    let at = |second| Timestamp::from_second(second).unwrap_or_default();
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap_or_default();
    EventView {
        id: new_id(),
        uid: "01940000-0002-7000-8000-000000000007@convoke".into(),
        organizer_id: new_id(),
        title: "Harbour meeting".into(),
        description: "What there is to talk about. ".repeat(14),
        location: "Pier 7".into(),
        start_local: "2031-03-04T18:00:00".into(),
        start_zone: Some("Europe/Berlin".into()),
        end_local: "2031-03-04T20:00:00".into(),
        end_zone: Some("Europe/Berlin".into()),
        start_utc: at(1_930_410_000),
        end_utc: at(1_930_417_200),
        capacity: Some(50),
        seats_taken: 2,
        waitlist_enabled: false,
        visibility: Visibility::Public,
        status: EventStatus::Confirmed,
        tags: raw(r#"["harbour","talk"]"#),
        metadata: raw(r#"{"room":7,"catering":true}"#),
        version: 3,
        created_at: at(1_796_000_000),
        updated_at: at(1_796_000_300),
    }
}

fn bodies(c: &mut Criterion) {
    let mut group = c.benchmark_group("body");
    let headers = HeaderMap::new();
    group.bench_function("event", |b| {
        b.iter_batched(
            event,
            |event| event_answer(&headers, event),
            BatchSize::SmallInput,
        );
    });
    let views = || (0..PAGE).map(|_| event()).collect::<Vec<_>>();
    let page = |bodies: Bodies| bodies.page("cursor".repeat(12));
    group.bench_function("page of 50, written for the first time", |b| {
        b.iter_batched(
            views,
            |views| Bodies::of(views).map(page),
            BatchSize::SmallInput,
        );
    });
    let kept = Bodies::of(views());
    group.bench_function("page of 50, kept", |b| b.iter(|| kept.clone().map(page)));
    group.finish();
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("reading");
    let tokens = Tokens::new("a-key-of-the-benchmark-which-protects-nothing-0123456789");
    let user = new_id();
    let fresh = || tokens.issue(user).unwrap_or_default();
    let known = fresh();
    assert_eq!(tokens.verify(&known), Some(user));
    group.bench_function("token, known", |b| {
        b.iter(|| tokens.verify(black_box(&known)));
    });
    group.bench_function("token, new", |b| {
        b.iter_batched(fresh, |token| tokens.verify(&token), BatchSize::SmallInput);
    });

    let (now, ttl) = (Timestamp::UNIX_EPOCH, Duration::from_hours(1));
    let (query, key) = (
        "sort=start&from=2031-03-04T18:00:00Z",
        (1_930_410_000_000_000_i64, user),
    );
    let cursor = encode_cursor(query, &key, now);
    assert_eq!(
        decode_cursor::<(i64, Uuid)>(&cursor, query, now, ttl),
        Ok(key)
    );
    group.bench_function("cursor, encode", |b| {
        b.iter(|| encode_cursor(query, black_box(&key), now));
    });
    group.bench_function("cursor, decode", |b| {
        b.iter(|| decode_cursor::<(i64, Uuid)>(black_box(&cursor), query, now, ttl));
    });

    let mut headers = HeaderMap::new();
    headers.insert(header::IF_MATCH, HeaderValue::from_static("\"3\", \"4\""));
    assert!(if_match(&headers));
    group.bench_function("If-Match", |b| b.iter(|| if_match(black_box(&headers))));
    group.bench_function("instant", |b| {
        b.iter(|| parse_instant(black_box("2031-03-04T18:00:00.25+01:00")));
    });
    group.bench_function("civil time to instant", |b| {
        b.iter(|| {
            When::from_parts(black_box("2031-03-04T18:00:00"), Some("Europe/Berlin"))?.instant()
        });
    });
    group.bench_function("traceparent", |b| {
        b.iter(|| TraceParent::parse(black_box(PARENT)));
    });
    group.finish();
}

fn telemetry(c: &mut Criterion) {
    let mut group = c.benchmark_group("telemetry");
    group.bench_function("id of a request", |b| b.iter(|| new_id().to_string()));
    let (id, started) = (new_id().to_string(), Instant::now());
    let ids = server_span("GET", ROUTE, &HeaderMap::new()).ids;
    let given = || id.clone();
    let made = |id| RequestScope::new(id, "/api/v1/events/".to_owned(), ids, started);
    group.bench_function("scope of a request", |b| {
        b.iter_batched(given, made, BatchSize::SmallInput);
    });
    let scope = made(given());
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static(PARENT));
    group.bench_function("span that is not recorded", |b| {
        b.iter(|| server_span("GET", ROUTE, black_box(&headers)));
    });

    let route = Route {
        method: "GET",
        route: ROUTE.to_owned(),
        outcomes: vec![(200, "")],
    };
    let requests = Requests::new([route]);
    let took = Duration::from_micros(1234);
    // Else the queue of the histogram grows without bound.
    assert!(Exposition::start().keep_up().is_ok());
    group.bench_function("metrics of a request", |b| {
        b.iter(|| {
            let active = requests.active("GET");
            requests.observe("GET", ROUTE, 200, "", black_box(took), &scope);
            drop(active);
        });
    });
    let (in_flight, route): (_, Arc<str>) = (InFlight::default(), ROUTE.into());
    group.bench_function("in flight, in and out", |b| {
        b.iter(|| in_flight.enter("GET", &route, Instant::now(), &scope));
    });

    let line = tracing_subscriber::fmt::layer()
        .event_format(LineFormat::new(LogFormat::Json))
        .with_writer(std::io::sink);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(line), || {
        group.bench_function("log line of a request", |b| {
            b.iter(|| scope.enter(|| log(&scope)));
        });
    });
    group.finish();
}

/// As the one wide line of a request.
fn log(scope: &RequestScope) {
    tracing::info!(
        target: "convoke::request",
        method = "GET",
        route = ROUTE,
        status = 200_u16,
        outcome = "success",
        duration_ms = black_box(1.234),
        database_ms = black_box(0.987),
        database_queries = scope.database_queries(),
        request_bytes = 0_u64,
        response_bytes = Some(1404_u64),
        principal = scope.principal().unwrap_or("user"),
        rate_limit = Some("allowed"),
        error_code = scope.error_code(),
        "request"
    );
}

criterion_group!(parts, bodies, reading, telemetry);
criterion_main!(parts);
