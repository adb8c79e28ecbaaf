//! One request seen from everywhere: its answer, its log line, its span, and the delivery it set off.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::engines::Engine;
use crate::support::otlp::{CollectedSpan, OtlpReceiver};
use crate::support::polling::eventually;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_secs(30);
const SERVER: i32 = 2;
const CONSUMER: i32 = 5;

async fn traced(engine: Engine, collector: &OtlpReceiver, protocol: &str) -> Service {
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_SERVICE_NAME", "convoke-under-test"),
    ];
    Service::start(engine, &settings).await
}

/// The trace id in `traceresponse`: `00-{trace}-{span}-{flags}`.
fn trace_id(answer: &Answer) -> String {
    let header = answer.header("traceresponse").expect("a traceresponse");
    let parts: Vec<&str> = header.split('-').collect();
    assert!(
        parts.len() == 4 && parts[1].len() == 32 && parts[2].len() == 16,
        "{header}"
    );
    parts[1].to_owned()
}

async fn server_span(collector: &OtlpReceiver, trace_id: &str) -> CollectedSpan {
    eventually("the request's span arrives", LIMIT, || async {
        collector
            .trace(trace_id)
            .into_iter()
            .find(|span| span.span.kind == SERVER)
    })
    .await
}

/// The same trace id in the header, the problem, the log line and the exported span.
async fn is_one_trace_everywhere(service: &Service, collector: &OtlpReceiver) {
    let user = Client::register(service, "user").await;
    let missing = user
        .get(&format!("/events/{}", Uuid::now_v7()))
        .await
        .expect(404);
    let trace = trace_id(&missing);
    assert_eq!(missing.body["trace_id"], trace.as_str());
    let request_id = missing
        .header("x-request-id")
        .expect("a request id")
        .to_owned();
    assert_eq!(missing.body["request_id"], request_id.as_str());

    let accepts = |line: &serde_json::Value| line["request_id"] == request_id.as_str();
    let line = service.wait_for_log("of the request", LIMIT, accepts).await;
    assert_eq!(line["trace_id"], trace.as_str(), "{line}");
    assert_ne!(line["level"], "ERROR", "a 404 is no error of ours: {line}");

    let span = server_span(collector, &trace).await;
    assert_eq!(span.span.name, "GET /api/v1/events/{event_id}");
    assert_eq!(
        span.attribute("http.response.status_code").as_deref(),
        Some("404")
    );
    assert_eq!(
        span.resource_attribute("service.name").as_deref(),
        Some("convoke-under-test")
    );
    let status = span.span.status.clone().unwrap_or_default();
    assert_eq!(status.code, 0, "4xx leaves the status unset: {status:?}");
    let children = collector.trace(&trace);
    let children = children
        .iter()
        .filter(|child| child.parent_id() == span.span_id());
    assert!(
        children.count() > 0,
        "a child span for each database operation"
    );
}

on_both_engines! {
    async fn a_request_is_one_trace_everywhere_over_http(engine: Engine) {
        let collector = OtlpReceiver::http().await;
        let service = traced(engine, &collector, "http/protobuf").await;
        is_one_trace_everywhere(&service, &collector).await;
    }

    async fn a_request_is_one_trace_everywhere_over_grpc(engine: Engine) {
        let collector = OtlpReceiver::grpc().await;
        let service = traced(engine, &collector, "grpc").await;
        is_one_trace_everywhere(&service, &collector).await;
    }

    async fn a_callers_trace_goes_on(engine: Engine) {
        let collector = OtlpReceiver::http().await;
        let service = traced(engine, &collector, "http/protobuf").await;
        let user = Client::register(&service, "user").await;
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let request = user.request(reqwest::Method::GET, "/users/me");
        let request = request.header("traceparent", format!("00-{trace}-{parent}-01"));
        let answer = Answer::of(request).await.unwrap().expect(200);
        assert_eq!(trace_id(&answer), trace);
        assert_eq!(server_span(&collector, trace).await.parent_id(), parent);
    }

    async fn a_delivery_is_a_span_linked_to_the_request_that_caused_it(engine: Engine) {
        let collector = OtlpReceiver::http().await;
        let service = traced(engine, &collector, "http/protobuf").await;
        let organizer = Client::register(&service, "organizer").await;
        let guest = Client::register(&service, "guest").await;
        let event = organizer.create_event(json!({})).await;
        let trace = trace_id(&organizer.invite(&event, &guest).await);
        guest.is_told(1, "participant.invited", &event).await;

        let delivery = eventually("the delivery's span arrives", LIMIT, || async {
            let mut spans = collector.spans();
            spans.retain(|span| span.span.kind == CONSUMER && span.linked_traces().contains(&trace));
            spans.pop()
        })
        .await;
        assert_ne!(delivery.trace_id(), trace, "linked, not a child: it may come much later");
    }

    async fn promtool_accepts_the_metrics(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        organizer.create_event(json!({})).await;
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is missing; on Debian: apt-get install prometheus");
        let text = service.scrape_text().await;
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }
}
