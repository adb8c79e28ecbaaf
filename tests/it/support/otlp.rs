//! A trace collector, as the service sees one: OTLP over HTTP and over gRPC, and two that never answer.

use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;

/// A span as it arrived, with the resource that sent it.
#[derive(Debug, Clone)]
pub(crate) struct CollectedSpan {
    pub(crate) resource: Vec<KeyValue>,
    pub(crate) span: Span,
}

impl CollectedSpan {
    pub(crate) fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn span_id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent_id(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// The trace ids of the spans that this one links to.
    pub(crate) fn linked_traces(&self) -> Vec<String> {
        self.span
            .links
            .iter()
            .map(|link| hex(&link.trace_id))
            .collect()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        lookup(&self.span.attributes, name)
    }

    pub(crate) fn resource_attribute(&self, name: &str) -> Option<String> {
        lookup(&self.resource, name)
    }
}

fn lookup(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::BoolValue(value) => value.to_string(),
        any_value::Value::IntValue(value) => value.to_string(),
        any_value::Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[derive(Debug, Clone, Default)]
struct Collected(Arc<Mutex<Vec<CollectedSpan>>>);

impl Collected {
    fn take_in(&self, request: ExportTraceServiceRequest) {
        let mut spans = self.0.lock().expect("no collector panics");
        for group in request.resource_spans {
            let resource = group
                .resource
                .map(|resource| resource.attributes)
                .unwrap_or_default();
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(CollectedSpan {
                    resource: resource.clone(),
                    span,
                });
            }
        }
    }
}

/// A collector on a free port of loopback, until it is dropped.
#[derive(Debug)]
pub(crate) struct OtlpReceiver {
    endpoint: String,
    collected: Collected,
    server: JoinHandle<()>,
}

impl OtlpReceiver {
    /// OTLP over HTTP with protobuf bodies, gzip or not, at `/v1/traces`.
    pub(crate) async fn http() -> Self {
        let (listener, endpoint) = listen().await;
        let collected = Collected::default();
        let routes = axum::Router::new()
            .route("/v1/traces", axum::routing::post(export_over_http))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(collected.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, routes)
                .await
                .expect("the collector serves");
        });
        Self {
            endpoint,
            collected,
            server,
        }
    }

    /// OTLP over gRPC.
    pub(crate) async fn grpc() -> Self {
        let (listener, endpoint) = listen().await;
        let collected = Collected::default();
        let service = TraceServiceServer::new(GrpcCollector(collected.clone()));
        let server = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            let incoming = TcpListenerStream::new(listener);
            server
                .serve_with_incoming(incoming)
                .await
                .expect("the collector serves");
        });
        Self {
            endpoint,
            collected,
            server,
        }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// All spans that have arrived.
    pub(crate) fn spans(&self) -> Vec<CollectedSpan> {
        self.collected
            .0
            .lock()
            .expect("no collector panics")
            .clone()
    }

    /// The spans of one trace that have arrived.
    pub(crate) fn trace(&self, trace_id: &str) -> Vec<CollectedSpan> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id() == trace_id);
        spans
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, endpoint)
}

async fn export_over_http(
    State(collected): State<Collected>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let body = if headers
        .get("content-encoding")
        .is_some_and(|coding| coding == "gzip")
    {
        let mut plain = Vec::new();
        if flate2::read::GzDecoder::new(body.as_ref())
            .read_to_end(&mut plain)
            .is_err()
        {
            return (
                StatusCode::BAD_REQUEST,
                [("content-type", "text/plain")],
                Vec::new(),
            );
        }
        Bytes::from(plain)
    } else {
        body
    };
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            collected.take_in(request);
            let answer = ExportTraceServiceResponse::default().encode_to_vec();
            (
                StatusCode::OK,
                [("content-type", "application/x-protobuf")],
                answer,
            )
        }
        Err(_) => (
            StatusCode::BAD_REQUEST,
            [("content-type", "text/plain")],
            Vec::new(),
        ),
    }
}

struct GrpcCollector(Collected);

#[tonic::async_trait]
impl TraceService for GrpcCollector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.take_in(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Accepts every connection, and neither reads nor answers.
#[derive(Debug)]
pub(crate) struct BlackHole {
    endpoint: String,
    holding: JoinHandle<()>,
}

impl BlackHole {
    pub(crate) async fn open() -> Self {
        let (listener, endpoint) = listen().await;
        let holding = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { endpoint, holding }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.holding.abort();
    }
}

/// An endpoint that refuses every connection.
pub(crate) fn dead_endpoint() -> String {
    format!("http://127.0.0.1:{}", super::postgres::free_port())
}
