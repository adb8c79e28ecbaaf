//! What the service tells its operators: metrics, traces and logs, from their start to their last flush.

pub mod exemplars;
pub mod exposition;
pub mod in_flight;
pub mod instruments;
pub mod log_control;
pub mod log_writer;
pub mod logs;
mod memory_limit;
pub mod objectives;
pub mod off;
pub mod reading;
pub mod recording;
pub mod ring;
pub mod scope;
pub mod signals;
mod subscriber;
pub mod traces;
mod wall_clock;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::exposition::Exposition;
pub use self::log_control::{FilterError, LogControl};
pub use self::logs::LogFormat;
pub use self::scope::RequestScope;
pub use self::wall_clock::now as wall_clock;

use self::instruments::pipeline;
use self::log_writer::LogWriter;
use self::traces::{Identity, TraceError, Traces};

/// Everything that telemetry needs to know; it reads no setting itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// The filter of the log, such as `info,convoke=debug`.
    pub log_filter: String,
    /// The shape of a log line.
    pub log_format: LogFormat,
    /// `deployment.environment.name` of every span.
    pub environment: String,
    /// The version of the program.
    pub service_version: &'static str,
    /// The revision it was built from.
    pub revision: &'static str,
    /// `service.instance.id` of every span: what tells this replica from another.
    pub instance: String,
    /// What becomes of the traces.
    pub traces: traces::Options,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log filter is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A thread could not be started, or stdout is closed.
    #[error("cannot start a telemetry thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The exporter cannot be made as it is set.
    #[error(transparent)]
    Traces(#[from] TraceError),
    /// Another subscriber has been installed in this process.
    #[error("the log is already being written by another subscriber")]
    AlreadyStarted(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Keeps telemetry alive, and flushes it at the end.
#[derive(Debug)]
#[must_use = "what is not flushed is lost"]
pub struct Guard {
    exposition: Exposition,
    log_control: LogControl,
    log_writer: LogWriter,
    traces: Arc<Traces>,
}

/// Starts metrics, traces and the log. Works inside a runtime and outside one.
pub fn start(options: Options) -> Result<Guard, StartError> {
    let exposition = Exposition::start();
    instruments::process::build_info(options.service_version, options.revision);
    let log_writer = LogWriter::stdout(pipeline::log_lines_dropped())?;
    let identity = Identity {
        version: options.service_version,
        instance: options.instance,
        environment: options.environment,
    };
    let traces = Traces::start(&options.traces, &identity)?;
    let (subscriber, log_control) = subscriber::build(
        &off::filter(&options.log_filter),
        options.log_format,
        log_writer.clone(),
        traces.tracer(),
    )?;
    tracing::subscriber::set_global_default(subscriber)?;
    traces.install();
    if off::is_off() {
        tracing::warn!("nothing is recorded of requests and statements, for a benchmark");
    }
    Ok(Guard {
        exposition,
        log_control,
        log_writer,
        traces: Arc::new(traces),
    })
}

impl Guard {
    /// Renders the metrics; cheap to clone.
    pub fn exposition(&self) -> Exposition {
        self.exposition.clone()
    }

    /// Reads and changes the log's filter; cheap to clone.
    pub fn log_control(&self) -> LogControl {
        self.log_control.clone()
    }

    /// Sends the last spans, then writes the last lines: in about `limit` at the longest, whatever the
    /// collector and the reader of the log do. Spans that could not be sent are counted as dropped.
    pub async fn shutdown(self, limit: Duration) {
        let started = Instant::now();
        // The lines about the traces' end come before the log's. A little is kept back for them.
        let for_spans = limit.mul_f64(0.9);
        let traces = Arc::clone(&self.traces);
        let spans = tokio::task::spawn_blocking(move || traces.shutdown(for_spans));
        // The traces keep to their limit; this is for a blocking pool that is itself stuck.
        let _ = tokio::time::timeout(limit, spans).await;
        let left = limit
            .saturating_sub(started.elapsed())
            .max(Duration::from_millis(50));
        let writer = self.log_writer.clone();
        let _ = tokio::task::spawn_blocking(move || writer.flush(left)).await;
    }
}
