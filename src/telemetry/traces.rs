//! Traces: the tracer provider, its exporter, and how both come to an end.

pub mod context;
mod current;
mod encoding;
pub mod options;
pub mod sampling;
mod span_export;
pub mod spans;
pub mod variables;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, TracerProviderBuilder};

pub use self::context::{TraceParent, current_traceparent};
pub(super) use self::current::{SpanEvents, active};
pub use self::current::{enter, failed, failed_in, within};
pub use self::options::{Batch, Fault, Options, Otlp, Protocol};
pub use self::sampling::Sampling;
pub use self::spans::{
    ServerSpan, cache_span, consumer_span, database_span, job_span, redis_span, server_span,
    storage_span, trace_of,
};

use self::sampling::ChosenIds;
use self::span_export::{CountedExporter, CountedProcessor, Ledger, Outcomes, OwnRuntime};
use super::instruments::pipeline;

/// Why traces cannot be exported as set.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The exporter's parts do not fit.
    #[error("cannot make the span exporter: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// A thread could not be started.
    #[error("cannot start the span exporter: {0}")]
    Thread(#[from] std::io::Error),
    /// A header's name or value is no header.
    #[error("cannot make the span exporter's headers")]
    Headers,
}

/// What tells one running service from another in a trace.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`.
    pub instance: String,
    /// `deployment.environment.name`.
    pub environment: String,
}

/// The decisions the span constructors need, set once by [`Traces::start`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) sampling: Sampling,
    pub(super) propagate: bool,
}

static POLICY: OnceLock<Policy> = OnceLock::new();

/// Without an exporter every request still has ids, and a caller's trace id is kept, but nothing is recorded.
pub(super) fn policy() -> Policy {
    POLICY.get().copied().unwrap_or(Policy {
        sampling: Sampling::OFF,
        propagate: true,
    })
}

/// The tracer provider and the books of its exporter.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    ledger: Option<Arc<Ledger>>,
    policy: Policy,
}

impl Traces {
    /// Makes the provider, and the exporter if one is set.
    pub fn start(options: &Options, identity: &Identity) -> Result<Self, TraceError> {
        let builder = SdkTracerProvider::builder()
            // The span constructors decide: whatever is built is kept.
            .with_sampler(Sampler::AlwaysOn)
            .with_id_generator(ChosenIds::default())
            .with_resource(resource(options, identity));
        let (builder, ledger) = match &options.otlp {
            Some(otlp) => {
                let ledger = Ledger::new(options.batch.queue, outcomes());
                let builder = with_exporter(builder, otlp, options.batch, &ledger)?;
                (builder, Some(ledger))
            }
            None => (builder, None),
        };
        let policy = Policy {
            sampling: if ledger.is_some() {
                options.sampling
            } else {
                Sampling::OFF
            },
            propagate: options.propagate,
        };
        Ok(Self {
            provider: builder.build(),
            ledger,
            policy,
        })
    }

    /// Makes these the traces that the span constructors build for.
    pub(super) fn install(&self) {
        let _ = POLICY.set(self.policy);
    }

    /// The tracer for the subscriber's layer.
    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("convoke")
    }

    /// Sends what waits, for at most `limit`, and counts the rest as dropped. Blocks; call it once.
    pub(super) fn shutdown(&self, limit: Duration) {
        if let Some(ledger) = &self.ledger {
            let flushed = self.provider.shutdown_with_timeout(limit);
            let dropped = ledger.close();
            if let Err(error) = flushed {
                tracing::warn!(error = %error, dropped, "the last spans were not exported");
            }
        }
    }
}

fn outcomes() -> Outcomes {
    Outcomes {
        exported: pipeline::spans("exported"),
        failed: pipeline::spans("failed"),
        dropped: pipeline::spans("dropped"),
    }
}

fn resource(options: &Options, identity: &Identity) -> Resource {
    let further = options
        .resource
        .iter()
        .map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("telemetry.sdk.name", "opentelemetry"),
            KeyValue::new("telemetry.sdk.language", "rust"),
            KeyValue::new("service.version", identity.version),
            KeyValue::new("service.instance.id", identity.instance.clone()),
            KeyValue::new("deployment.environment.name", identity.environment.clone()),
        ])
        .with_attributes(further)
        .with_service_name(options.service_name.clone())
        .build()
}

fn with_exporter(
    builder: TracerProviderBuilder,
    otlp: &Otlp,
    batch: Batch,
    ledger: &Arc<Ledger>,
) -> Result<TracerProviderBuilder, TraceError> {
    // Both clients ask for the process's TLS provider; whoever set one before us may keep it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (exporter, runtime) = match otlp.protocol {
        Protocol::HttpProtobuf => {
            let headers: HashMap<String, String> = otlp.headers.iter().cloned().collect();
            let exporter = SpanExporter::builder()
                .with_http()
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_endpoint(otlp.endpoint.as_str())
                .with_timeout(otlp.timeout)
                .with_headers(headers)
                .build()?;
            (exporter, None)
        }
        Protocol::Grpc => {
            let runtime = OwnRuntime::start()?;
            // The channel binds itself to the runtime it is made on.
            let on_runtime = runtime.handle().map(tokio::runtime::Handle::enter);
            let exporter = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(otlp.endpoint.as_str())
                .with_timeout(otlp.timeout)
                .with_metadata(metadata(&otlp.headers)?)
                .build()?;
            drop(on_runtime);
            (exporter, Some(runtime))
        }
    };
    let exporter = CountedExporter::new(exporter, ledger, runtime);
    Ok(builder.with_span_processor(CountedProcessor::new(ledger, exporter, batch)))
}

fn metadata(headers: &[(String, String)]) -> Result<MetadataMap, TraceError> {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        let name = http::HeaderName::try_from(name.as_str()).map_err(|_| TraceError::Headers)?;
        let value = encoding::percent_decode(value).ok_or(TraceError::Headers)?;
        let value = http::HeaderValue::try_from(value).map_err(|_| TraceError::Headers)?;
        map.insert(name, value);
    }
    Ok(MetadataMap::from_headers(map))
}

#[cfg(test)]
#[path = "traces/export_tests.rs"]
mod tests;
