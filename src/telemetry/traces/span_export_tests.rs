//! Every span ends in exactly one outcome, whatever the collector does.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::*;

#[derive(Default)]
struct Counted {
    exported: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

impl Counted {
    fn outcomes(&self) -> Outcomes {
        let counter = |cell: &Arc<AtomicU64>| Counter::from_arc(Arc::clone(cell));
        Outcomes {
            exported: counter(&self.exported),
            failed: counter(&self.failed),
            dropped: counter(&self.dropped),
        }
    }

    fn all(&self) -> [u64; 3] {
        [&self.exported, &self.failed, &self.dropped].map(|cell| cell.load(Ordering::SeqCst))
    }
}

/// A collector that answers what the test sends it, and nothing until then.
#[derive(Debug)]
struct Collector {
    arrived: mpsc::SyncSender<usize>,
    answer: Mutex<mpsc::Receiver<OTelSdkResult>>,
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let _ = self.arrived.send(batch.len());
        let answer = self.answer.lock().unwrap().recv();
        answer.unwrap_or(Err(OTelSdkError::AlreadyShutdown))
    }
}

struct Rig {
    provider: SdkTracerProvider,
    ledger: Arc<Ledger>,
    arrived: mpsc::Receiver<usize>,
    answer: mpsc::Sender<OTelSdkResult>,
    counted: Counted,
}

fn rig(queue: usize, export: usize) -> Rig {
    let counted = Counted::default();
    let ledger = Ledger::new(queue, counted.outcomes());
    let (arrived_tx, arrived) = mpsc::sync_channel(1000);
    let (answer, answers) = mpsc::channel();
    let collector = Collector {
        arrived: arrived_tx,
        answer: Mutex::new(answers),
    };
    let exporter = CountedExporter::new(collector, &ledger, None);
    let batch = Batch {
        queue,
        export,
        delay: Duration::from_hours(1),
    };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(CountedProcessor::new(&ledger, exporter, batch))
        .build();
    Rig {
        provider,
        ledger,
        arrived,
        answer,
        counted,
    }
}

fn spans(rig: &Rig, count: usize) {
    let tracer = rig.provider.tracer("test");
    for _ in 0..count {
        drop(tracer.start("span"));
    }
}

#[test]
fn a_stuck_collector_costs_the_spans_beyond_the_bound_and_they_are_counted_at_once() {
    let rig = rig(8, 4);
    spans(&rig, 4);
    assert_eq!(rig.arrived.recv().unwrap(), 4);
    let started = Instant::now();
    spans(&rig, 104);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(rig.counted.all(), [0, 0, 100]);
    rig.answer.send(Ok(())).unwrap();
    assert_eq!(rig.arrived.recv().unwrap(), 4);
    rig.answer.send(Err(OTelSdkError::AlreadyShutdown)).unwrap();
    rig.provider
        .shutdown_with_timeout(Duration::from_secs(5))
        .unwrap();
    assert_eq!(rig.ledger.close(), 0);
    assert_eq!(rig.counted.all(), [4, 4, 100]);
}

#[test]
fn shutdown_ends_at_its_limit_and_what_still_waits_is_dropped() {
    let rig = rig(100, 4);
    spans(&rig, 10);
    rig.arrived.recv().unwrap();
    let started = Instant::now();
    let limit = Duration::from_millis(50);
    assert!(rig.provider.shutdown_with_timeout(limit).is_err());
    assert_eq!(rig.ledger.close(), 10);
    assert!(started.elapsed() < Duration::from_secs(2));
    // An answer that comes after the end changes nothing any more.
    rig.answer.send(Ok(())).unwrap();
    drop(rig.answer);
    drop(rig.provider);
    rig.ledger.settle(4, true);
    assert_eq!(rig.counted.all(), [0, 0, 10]);
}

#[test]
fn the_last_spans_are_exported_at_shutdown() {
    let rig = rig(100, 100);
    spans(&rig, 7);
    rig.answer.send(Ok(())).unwrap();
    rig.provider
        .shutdown_with_timeout(Duration::from_secs(5))
        .unwrap();
    assert_eq!(rig.ledger.close(), 0);
    assert_eq!(rig.counted.all(), [7, 0, 0]);
    spans(&rig, 1);
    assert_eq!(
        rig.counted.all(),
        [7, 0, 0],
        "a span after the end is not even built"
    );
}

/// A collector that accepts and never answers, on a runtime.
#[derive(Debug)]
struct Silent(mpsc::SyncSender<()>);

impl SpanExporter for Silent {
    async fn export(&self, _batch: Vec<SpanData>) -> OTelSdkResult {
        let _ = self.0.send(());
        std::future::pending().await
    }
}

#[tokio::test]
async fn closing_frees_the_batch_thread_of_an_export_that_never_ends() {
    let counted = Counted::default();
    let ledger = Ledger::new(10, counted.outcomes());
    let (arrived_tx, arrived) = mpsc::sync_channel(10);
    let runtime = OwnRuntime::start().unwrap();
    let exporter = CountedExporter::new(Silent(arrived_tx), &ledger, Some(runtime));
    let batch = Batch {
        queue: 10,
        export: 1,
        ..Batch::default()
    };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(CountedProcessor::new(&ledger, exporter, batch))
        .build();
    drop(provider.tracer("test").start("span"));
    arrived.recv().unwrap();
    assert_eq!(ledger.close(), 1);
    // The thread is free again: it takes the order to stop.
    provider
        .shutdown_with_timeout(Duration::from_secs(5))
        .unwrap();
    assert_eq!(counted.all(), [0, 0, 1]);
}
