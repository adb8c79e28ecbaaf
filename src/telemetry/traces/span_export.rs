//! Hands finished spans to the collector and accounts for every one: exported, failed or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::Counter;
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};
use tokio_util::sync::CancellationToken;

use super::options::Batch;

/// The three counters a span can end in.
#[derive(Clone, Debug)]
pub(super) struct Outcomes {
    /// The collector took it.
    pub(super) exported: Counter,
    /// The collector refused it or could not be reached.
    pub(super) failed: Counter,
    /// It was never sent: the queue was full, or the process ended first.
    pub(super) dropped: Counter,
}

/// Instead of a number of spans: no more are taken.
const CLOSED: usize = usize::MAX;

/// Who is waiting, and what became of the others. Kept by the processor and the exporter together.
#[derive(Debug)]
pub(super) struct Ledger {
    bound: usize,
    queued: AtomicUsize,
    outcomes: Outcomes,
    /// Ends an export in flight once nobody waits for it any more.
    closing: CancellationToken,
}

impl Ledger {
    pub(super) fn new(bound: usize, outcomes: Outcomes) -> Arc<Self> {
        Arc::new(Self {
            bound,
            queued: AtomicUsize::new(0),
            outcomes,
            closing: CancellationToken::new(),
        })
    }

    /// Changes how many are waiting, in an order with the SDK's queue, unless the books are closed or `change` refuses.
    fn book(&self, change: impl Fn(usize) -> Option<usize>) -> bool {
        let open = |queued| {
            if queued == CLOSED {
                None
            } else {
                change(queued)
            }
        };
        let booked = self
            .queued
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, open);
        booked.is_ok()
    }

    /// Books one span in, or counts it as dropped.
    fn admit(&self) -> bool {
        let admitted = self.book(|queued| (queued < self.bound).then_some(queued + 1));
        if !admitted {
            self.outcomes.dropped.increment(1);
        }
        admitted
    }

    /// Books a batch out, unless it was given up before.
    fn settle(&self, spans: usize, taken: bool) {
        if self.book(|queued| Some(queued.saturating_sub(spans))) {
            let outcome = if taken {
                &self.outcomes.exported
            } else {
                &self.outcomes.failed
            };
            outcome.increment(u64::try_from(spans).unwrap_or(u64::MAX));
        }
    }

    /// Gives up on what still waits and counts it as dropped; answers how many that were.
    pub(super) fn close(&self) -> usize {
        let left = match self.queued.swap(CLOSED, Ordering::AcqRel) {
            CLOSED => 0,
            left => left,
        };
        self.closing.cancel();
        let dropped = u64::try_from(left).unwrap_or(u64::MAX);
        self.outcomes.dropped.increment(dropped);
        left
    }
}

/// The SDK's batch processor behind a bound of our own: the SDK's queue drops without a word.
#[derive(Debug)]
pub(super) struct CountedProcessor {
    ledger: Arc<Ledger>,
    inner: BatchSpanProcessor,
}

impl CountedProcessor {
    pub(super) fn new(
        ledger: &Arc<Ledger>,
        exporter: CountedExporter<impl SpanExporter + 'static>,
        batch: Batch,
    ) -> Self {
        let config = BatchConfigBuilder::default()
            // What the ledger admits always fits: a span leaves its books only after its export.
            .with_max_queue_size(batch.queue)
            .with_max_export_batch_size(batch.export)
            .with_scheduled_delay(batch.delay)
            .build();
        let inner = BatchSpanProcessor::builder(exporter)
            .with_batch_config(config)
            .build();
        Self {
            ledger: Arc::clone(ledger),
            inner,
        }
    }
}

impl SpanProcessor for CountedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.ledger.admit() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// An exporter whose results are counted, and which needs no runtime of its caller's.
#[derive(Debug)]
pub(super) struct CountedExporter<E> {
    inner: E,
    ledger: Arc<Ledger>,
    /// gRPC needs a reactor, and the batch thread has none.
    runtime: Option<OwnRuntime>,
    failing: AtomicBool,
}

impl<E: SpanExporter> CountedExporter<E> {
    pub(super) fn new(inner: E, ledger: &Arc<Ledger>, runtime: Option<OwnRuntime>) -> Self {
        Self {
            inner,
            ledger: Arc::clone(ledger),
            runtime,
            failing: AtomicBool::new(false),
        }
    }

    async fn export_now(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.ledger.closing.is_cancelled() {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let export = self.inner.export(batch);
        let Some(handle) = self.runtime.as_ref().and_then(OwnRuntime::handle) else {
            return export.await;
        };
        // Blocks the batch thread, which is ours alone.
        handle.block_on(async {
            tokio::select! {
                result = export => result,
                () = self.ledger.closing.cancelled() => Err(OTelSdkError::AlreadyShutdown),
            }
        })
    }

    /// Tells of the first failure and of the recovery: a line a batch would flood the log.
    fn tell(&self, result: &OTelSdkResult) {
        match result {
            Err(_) if self.ledger.closing.is_cancelled() => {}
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = %error, "spans cannot be exported");
                }
            }
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("spans are exported again");
                }
            }
        }
    }
}

impl<E: SpanExporter + 'static> SpanExporter for CountedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.export_now(batch).await;
        self.ledger.settle(spans, result.is_ok());
        self.tell(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// A small runtime for one exporter, which never makes anyone wait for its end.
#[derive(Debug)]
pub(super) struct OwnRuntime(Option<tokio::runtime::Runtime>);

impl OwnRuntime {
    pub(super) fn start() -> std::io::Result<Self> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("span-export")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    pub(super) fn handle(&self) -> Option<&tokio::runtime::Handle> {
        self.0.as_ref().map(tokio::runtime::Runtime::handle)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // Dropping it plainly waits for its tasks, and panics on a thread of another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
#[path = "span_export_tests.rs"]
mod tests;
