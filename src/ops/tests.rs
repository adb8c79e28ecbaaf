//! What the ops listener answers.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tracing_subscriber::reload;

use super::*;
use crate::lifecycle::Lifecycle;
use crate::telemetry::in_flight::InFlight;
use crate::telemetry::log_control::parse_filter;

struct Ops {
    router: Router,
    _layer: reload::Layer<tracing_subscriber::EnvFilter, tracing_subscriber::Registry>,
}

fn ops(database: CheckStatus) -> Ops {
    let (layer, handle) = reload::Layer::new(parse_filter("info").unwrap());
    let version = VersionInfo {
        version: "1.2.3",
        revision: "abc",
        rust_version: "1.95",
    };
    let about = About {
        version: version.clone(),
        environment: "development",
        instance: "i".to_owned(),
        settings: Vec::new(),
        max_in_flight: 512,
    };
    let log_control = LogControl::new("info".to_owned(), handle);
    let state = OpsState {
        exposition: Exposition::start(),
        console: Console::new(about, log_control.clone()),
        log_control,
        readiness: Arc::new(move || {
            Box::pin(async move {
                vec![CheckReport {
                    name: "database",
                    status: database,
                    latency_seconds: 0.001,
                    detail: None,
                }]
            })
        }),
        version,
        debug: debug::DebugState::new(
            Lifecycle::new(),
            InFlight::default(),
            json!({"settings": []}),
        ),
        hosts: ["ops.example.org".to_owned()].into(),
    };
    Ops {
        router: router(state),
        _layer: layer,
    }
}

impl Ops {
    async fn send(&self, method: &str, path: &str, body: &str) -> (StatusCode, String, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let media_type = response.headers().get(header::CONTENT_TYPE).cloned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let media_type = media_type.map_or_else(String::new, |m| m.to_str().unwrap().to_owned());
        (
            status,
            media_type,
            String::from_utf8(bytes.to_vec()).unwrap(),
        )
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let (status, _, text) = self.send(method, path, body).await;
        (status, serde_json::from_str(&text).unwrap())
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let (status, media_type, text) = ops(CheckStatus::Ok).send("GET", "/metrics", "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.contains("\ntelemetry_series "));
}

#[tokio::test]
async fn readiness_lists_each_check_and_turns_503_with_the_first_that_fails() {
    let (status, body) = ops(CheckStatus::Ok).json("GET", "/readyz", "").await;
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("ready")));
    let failing = ops(CheckStatus::Failed);
    let (status, body) = failing.json("GET", "/readyz", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let check = json!({"name": "database", "status": "failed", "latency_seconds": 0.001});
    assert_eq!(body, json!({"status": "not_ready", "checks": [check]}));
    assert_eq!(failing.send("GET", "/livez", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_log_level_is_shown_and_changed() {
    let ops = ops(CheckStatus::Ok);
    let (_, shown) = ops.json("GET", "/log-level", "").await;
    assert_eq!(shown, json!({"filter": "info", "base_filter": "info"}));
    let body = r#"{"filter": "convoke=debug", "ttl_seconds": 600}"#;
    let (status, changed) = ops.json("PUT", "/log-level", body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(changed["filter"], "convoke=debug");
    assert_eq!(changed["ttl_seconds"], 600);
    let (_, changed) = ops.json("PUT", "/log-level", r#"{"filter": "warn"}"#).await;
    assert_eq!(changed["ttl_seconds"], 900);
    let (_, shown) = ops.json("GET", "/log-level", "").await;
    assert!(
        (890..=900).contains(&shown["ttl_seconds"].as_u64().unwrap()),
        "{shown}"
    );
}

#[tokio::test]
async fn a_bad_change_of_the_log_level_is_a_problem_that_names_the_field() {
    let ops = ops(CheckStatus::Ok);
    for (body, status, field) in [
        (r#"{"filter": "a=b=c"}"#, 422, "filter"),
        (
            r#"{"filter": "info", "ttl_seconds": 0}"#,
            422,
            "ttl_seconds",
        ),
        (
            r#"{"filter": "info", "ttl_seconds": 86401}"#,
            422,
            "ttl_seconds",
        ),
        ("not json", 400, "body"),
        (r#"{"filter": "info"} x"#, 400, "body"),
        (r#"["info"]"#, 422, "body"),
        (r#"{"filter": "info", "ttl": 1}"#, 422, "ttl"),
        (r#"{"ttl_seconds": 60}"#, 422, "filter"),
        (r#"{"filter": 1}"#, 422, "filter"),
        (
            r#"{"filter": "info", "ttl_seconds": "long"}"#,
            422,
            "ttl_seconds",
        ),
    ] {
        let (answered, media_type, text) = ops.send("PUT", "/log-level", body).await;
        assert_eq!(answered.as_u16(), status, "{body}");
        assert_eq!(media_type, "application/problem+json");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["errors"][0]["field"], field);
    }
    assert_eq!(ops.json("GET", "/log-level", "").await.1["filter"], "info");
}

#[tokio::test]
async fn a_name_that_may_be_anybodys_gets_probes_and_metrics_and_nothing_else() {
    let ops = ops(CheckStatus::Ok);
    let ask = async |path: &str, host: &str| {
        let request = Request::builder().uri(path).header("host", host);
        let request = request.body(Body::empty()).unwrap();
        ops.router.clone().oneshot(request).await.unwrap()
    };
    for path in [
        "/",
        "/log-level",
        "/debug/config",
        "/console/snapshot",
        "/version",
    ] {
        for (host, status) in [
            ("127.0.0.1:9464", 200),
            ("localhost:9464", 200),
            ("ops.example.org", 200),
            ("rebound.example:9464", 421),
            ("not a host", 421),
        ] {
            assert_eq!(ask(path, host).await.status(), status, "{path} at {host}");
        }
    }
    let refused = ask("/debug/config", "rebound.example").await;
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["errors"][0]["field"], "host");
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(
            ask(path, "app-1.internal:9464").await.status(),
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn metrics_are_compressed_for_whoever_asks() {
    use std::io::Read as _;
    let ops = ops(CheckStatus::Ok);
    let request = Request::builder()
        .uri("/metrics")
        .header("accept-encoding", "gzip");
    let request = request.body(Body::empty()).unwrap();
    let response = ops.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["vary"], "accept, accept-encoding");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("\ntelemetry_series "));
    assert!(bytes.len() < text.len());
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_refused_by_field() {
    let ops = ops(CheckStatus::Ok);
    for (path, field) in [
        ("/debug/runtime?limit=many", "limit"),
        ("/debug/pprof/profile?seconds=-1", "seconds"),
    ] {
        let (status, problem) = ops.json("GET", path, "").await;
        assert_eq!(
            (status.as_u16(), &problem["errors"][0]["field"]),
            (422, &json!(field))
        );
    }
}

#[tokio::test]
async fn head_works_an_unknown_path_is_404_and_a_wrong_method_405() {
    let ops = ops(CheckStatus::Ok);
    for path in [
        "/",
        "/metrics",
        "/livez",
        "/readyz",
        "/version",
        "/log-level",
        "/console/snapshot",
        "/console/traces",
    ] {
        let (status, _, text) = ops.send("HEAD", path, "").await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, ""), "{path}");
        let (status, _, _) = ops.send("DELETE", path, "").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    assert_eq!(
        ops.send("GET", "/nothing", "").await.0,
        StatusCode::NOT_FOUND
    );
    let (_, version) = ops.json("GET", "/version", "").await;
    assert_eq!(version["version"], "1.2.3");
    assert!(
        ops.send("GET", "/", "")
            .await
            .2
            .contains("href=\"/metrics\"")
    );
}
