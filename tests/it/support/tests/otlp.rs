//! The trace collectors.

use std::io::Write as _;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use crate::support::answer::http_client;
use crate::support::otlp::{BlackHole, OtlpReceiver, dead_endpoint};

fn one_span(name: &str) -> ExportTraceServiceRequest {
    let span = Span {
        name: name.to_owned(),
        trace_id: vec![0xab; 16],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }
}

#[tokio::test]
async fn spans_arrive_over_http_plain_and_compressed() {
    let collector = OtlpReceiver::http().await;
    let url = format!("{}/v1/traces", collector.endpoint());
    let plain = one_span("plain").encode_to_vec();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&one_span("gzip").encode_to_vec()).unwrap();
    let gzip = gzip.finish().unwrap();

    let http = http_client();
    assert_eq!(
        http.post(&url).body(plain).send().await.unwrap().status(),
        200
    );
    let request = http
        .post(&url)
        .header("content-encoding", "gzip")
        .body(gzip);
    assert_eq!(request.send().await.unwrap().status(), 200);

    let trace = collector.trace(&"ab".repeat(16));
    assert_eq!(
        trace
            .iter()
            .map(|s| s.span.name.as_str())
            .collect::<Vec<_>>(),
        ["plain", "gzip"]
    );
}

#[tokio::test]
async fn spans_arrive_over_grpc() {
    let collector = OtlpReceiver::grpc().await;
    let mut client = TraceServiceClient::connect(collector.endpoint().to_owned())
        .await
        .unwrap();
    client.export(one_span("grpc")).await.unwrap();
    assert_eq!(collector.spans()[0].span.name, "grpc");
}

#[tokio::test]
async fn a_black_hole_accepts_and_never_answers() {
    let hole = BlackHole::open().await;
    let request = http_client()
        .post(hole.endpoint())
        .timeout(Duration::from_millis(200));
    let error = request.send().await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error:?}");
}

#[tokio::test]
async fn a_dead_endpoint_refuses_the_connection() {
    let error = http_client()
        .post(dead_endpoint())
        .send()
        .await
        .unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}
