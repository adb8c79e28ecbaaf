//! What the console's documents say.

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tracing_subscriber::reload;

use super::*;
use crate::lifecycle::Lifecycle;
use crate::ops::debug::DebugState;
use crate::telemetry::in_flight::InFlight;
use crate::telemetry::log_control::parse_filter;
use crate::telemetry::recording::{Recording, StepKind};
use crate::telemetry::ring::{Record, Ring, Why, Work};
use crate::telemetry::scope::tests::scope;

fn console() -> Console {
    let (_, handle) = reload::Layer::new(parse_filter("info").unwrap());
    let about = About {
        version: VersionInfo {
            version: "1.2.3",
            revision: "abc",
            rust_version: "1.95",
        },
        environment: "development",
        instance: "i".to_owned(),
        settings: vec![("database", "sqlite".to_owned())],
        max_in_flight: 512,
    };
    Console::new(about, LogControl::new("info".to_owned(), handle))
}

fn document(console: &Console) -> Value {
    serde_json::from_slice(&console.page()).unwrap()
}

fn record(id_of_trace: u128, causes: Option<Vec<u128>>) -> Record {
    let recording = Recording::start();
    recording.step(
        StepKind::Database,
        "events.find",
        Duration::from_millis(2),
        Some(1),
        None,
    );
    let work = match causes {
        None => Work::Request {
            method: "GET",
            route: "/r".into(),
            status: 200,
            request_id: "me".into(),
            span_id: 0xab,
        },
        Some(causes) => Work::Delivery {
            channel: "inbox".into(),
            outcome: "delivered",
            count: causes.len(),
            causes,
        },
    };
    Record {
        id: 0,
        why: Why::Slow,
        began: Duration::from_secs(1),
        duration: Duration::from_millis(300),
        work,
        trace: id_of_trace,
        exported: false,
        error: None,
        recorded: recording.take(),
    }
}

#[test]
fn the_snapshot_shows_what_was_counted_and_past_points() {
    let requests = crate::telemetry::instruments::requests::Requests::new([]);
    let console = console();
    let before = document(&console)["totals"]["requests"].as_u64().unwrap();
    let scope = scope("r", false);
    let took = Duration::from_millis(3);
    requests.observe("GET", "/of-the-console", 503, "overloaded", took, &scope);
    console.sample(None);
    console.sample(None);
    let page = document(&console);
    assert!(page["totals"]["requests"].as_u64().unwrap() > before);
    assert!(page["totals"]["by_class"]["5xx"].as_u64().unwrap() >= 1);
    let points = page["series"]["t_ms"].as_array().unwrap().len();
    assert_eq!(points, 3);
    for (name, series) in page["series"].as_object().unwrap() {
        assert_eq!(series.as_array().unwrap().len(), points, "{name}");
    }
    assert_eq!(page["slos"].as_array().unwrap().len(), 4);
    assert_eq!(page["about"]["version"], "1.2.3");
    assert_eq!(page["log_filter"], "info");
}

#[test]
fn a_request_is_found_by_trace_with_the_deliveries_that_it_caused() {
    let ring = Ring::new();
    ring.keep(record(7, None));
    ring.keep_delivery(record(0, Some(vec![7, 9])), false);
    ring.keep(record(8, None));
    let found = traces::find(&ring.records(), &format!("{:032x}", 7)).unwrap();
    assert_eq!(found["record"]["route"], "/r");
    assert_eq!(found["record"]["span_id"], "00000000000000ab");
    assert_eq!(found["record"]["steps"][0]["rows"], 1);
    assert_eq!(found["related"].as_array().unwrap().len(), 1);
    let delivery = found["related"][0]["id"].as_u64().unwrap();
    let back = traces::find(&ring.records(), &delivery.to_string()).unwrap();
    assert_eq!(back["related"][0]["route"], "/r");
    assert_eq!(traces::find(&ring.records(), "999"), None);
    assert_eq!(traces::find(&ring.records(), "nonsense"), None);
    let list = traces::list(&ring.records());
    assert_eq!(list["kept"], 3);
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_page_is_strict_revalidated_and_loads_only_what_is_served() {
    let routes: Router<()> = Router::new().merge(whole());
    let get = |path: &str, tag: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        routes.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let page = get("/", None).await.unwrap();
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    let tag = page.headers()[header::ETAG].to_str().unwrap().to_owned();
    let html = page.into_body().collect().await.unwrap().to_bytes();
    let html = String::from_utf8(html.to_vec()).unwrap();
    assert!(
        !html.contains("style=") && !html.contains("onclick"),
        "nothing inline"
    );
    let parts: Vec<&str> = html
        .split(['"'])
        .filter(|part| part.starts_with("/console/"))
        .collect();
    assert!(parts.len() >= 3, "{parts:?}");
    for part in parts {
        assert_eq!(
            get(part, None).await.unwrap().status(),
            StatusCode::OK,
            "{part}"
        );
    }
    let again = get("/", Some(&tag)).await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

fn whole() -> Router<()> {
    let (_, handle) = reload::Layer::new(parse_filter("info").unwrap());
    let console = console();
    routes().with_state(OpsState {
        hosts: [].into(),
        exposition: crate::telemetry::Exposition::start(),
        log_control: LogControl::new("info".to_owned(), handle),
        readiness: Arc::new(|| Box::pin(async { Vec::new() })),
        version: console.0.about.version.clone(),
        console,
        debug: DebugState::new(Lifecycle::new(), InFlight::default(), json!({})),
    })
}
