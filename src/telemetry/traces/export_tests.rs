//! Spans on the wire, over both protocols, and collectors that do not answer.

use std::time::Instant;

use axum::body::Bytes;
use axum::http::HeaderMap;
use opentelemetry::trace::Tracer as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

type Received = (Option<String>, ExportTraceServiceRequest);

fn traces_to(address: &str, protocol: &str) -> Traces {
    let options = Options::from_lookup(|name| {
        let value = match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => format!("http://{address}"),
            "OTEL_EXPORTER_OTLP_PROTOCOL" => protocol.to_owned(),
            "OTEL_EXPORTER_OTLP_HEADERS" => "authorization=Bearer%20token".to_owned(),
            "OTEL_RESOURCE_ATTRIBUTES" => "team=blue".to_owned(),
            _ => return None,
        };
        Some(value)
    });
    let identity = Identity {
        version: "1.2.3",
        instance: "one".to_owned(),
        environment: "test".to_owned(),
    };
    Traces::start(&options.unwrap(), &identity).unwrap()
}

async fn shut_down(traces: Traces, limit: Duration) -> Duration {
    let started = Instant::now();
    tokio::task::spawn_blocking(move || traces.shutdown(limit))
        .await
        .unwrap();
    started.elapsed()
}

fn assert_arrived((token, request): Received) {
    assert_eq!(token.as_deref(), Some("Bearer token"));
    let resource = &request.resource_spans[0];
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    let named: Vec<&str> = attributes.iter().map(|one| one.key.as_str()).collect();
    for name in [
        "service.name",
        "service.version",
        "service.instance.id",
        "deployment.environment.name",
        "team",
    ] {
        assert!(named.contains(&name), "{name}: {named:?}");
    }
    assert_eq!(resource.scope_spans[0].spans[0].name, "arrives");
}

async fn http_collector() -> (String, mpsc::UnboundedReceiver<Received>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let route = axum::routing::post(move |headers: HeaderMap, body: Bytes| async move {
        let token = headers.get("authorization");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        sender.send((token, request)).unwrap();
    });
    let router = axum::Router::new().route("/v1/traces", route);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = hyper_serve(listener, router);
    tokio::runtime::Handle::current().spawn(serving);
    (address, receiver)
}

async fn hyper_serve(listener: TcpListener, router: axum::Router) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let io = hyper_util::rt::TokioIo::new(stream);
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        tokio::runtime::Handle::current().spawn(connection);
    }
}

struct Grpc(mpsc::UnboundedSender<Received>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let token = request.metadata().get("authorization");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        self.0.send((token, request.into_inner())).unwrap();
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn grpc_collector() -> (String, mpsc::UnboundedReceiver<Received>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let serving = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Grpc(sender)))
        .serve_with_incoming(incoming);
    tokio::runtime::Handle::current().spawn(serving);
    (address, receiver)
}

#[tokio::test]
async fn spans_arrive_over_http_with_headers_and_resource() {
    let (address, mut received) = http_collector().await;
    let traces = traces_to(&address, "http/protobuf");
    drop(traces.tracer().start("arrives"));
    assert!(shut_down(traces, LIMIT).await < LIMIT);
    assert_arrived(received.recv().await.unwrap());
}

#[tokio::test]
async fn spans_arrive_over_grpc_and_the_end_does_not_stall() {
    let (address, mut received) = grpc_collector().await;
    let traces = traces_to(&address, "grpc");
    drop(traces.tracer().start("arrives"));
    assert!(shut_down(traces, LIMIT).await < Duration::from_secs(5));
    assert_arrived(received.recv().await.unwrap());
}

#[tokio::test]
async fn a_collector_that_accepts_and_never_answers_delays_the_end_by_its_limit_at_most() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for protocol in ["http/protobuf", "grpc"] {
        let traces = traces_to(&address, protocol);
        drop(traces.tracer().start("is lost"));
        let took = shut_down(traces, Duration::from_millis(100)).await;
        assert!(took < Duration::from_secs(2), "{protocol}: {took:?}");
    }
}

#[tokio::test]
async fn nothing_listens_and_the_end_keeps_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for protocol in ["http/protobuf", "grpc"] {
        let traces = traces_to(&address, protocol);
        drop(traces.tracer().start("is lost"));
        let took = shut_down(traces, Duration::from_millis(200)).await;
        assert!(took < Duration::from_secs(2), "{protocol}: {took:?}");
    }
}
