//! The recorder, and handles to the series of a metric, made once and kept.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use super::{INSTRUMENTS, Instrument, Kind, find};
use crate::telemetry::{
    exemplars::{self, Source},
    off,
};

/// No label comes from a client; should one slip through, it ends here and not in the memory of Prometheus.
const MAX_SERIES: usize = 4096;

/// What stands in for label values beyond the bound.
pub(super) const OTHER: &str = "_OTHER";

static METADATA: Metadata<'static> = Metadata::new("convoke", Level::INFO, None);

// Made on first use, so that a handle that is cached early can never be one that records nothing.
static RECORDER: LazyLock<PrometheusRecorder> = LazyLock::new(build_recorder);

/// The recorder that holds every series.
fn recorder() -> &'static PrometheusRecorder {
    &RECORDER
}

/// All series as Prometheus text, as the exporter writes it.
pub(in crate::telemetry) fn render() -> String {
    recorder().handle().render()
}

/// All series as Prometheus text, handed over piece by piece instead of as one text of megabytes.
pub(in crate::telemetry) fn render_to(sink: &mut impl std::io::Write) -> std::io::Result<()> {
    recorder().handle().render_to_write(sink)
}

/// Takes the samples out of the histograms' queues, which grow until somebody does.
pub(in crate::telemetry) fn run_upkeep() {
    recorder().handle().run_upkeep();
}

fn build_recorder() -> PrometheusRecorder {
    let mut builder = PrometheusBuilder::new();
    for instrument in INSTRUMENTS.iter().filter(|one| !one.bounds.is_empty()) {
        let name = Matcher::Full(instrument.name.to_owned());
        // It only refuses a list without bounds, and those are filtered out.
        builder = builder
            .set_buckets_for_metric(name, instrument.bounds)
            .unwrap_or_else(|_| PrometheusBuilder::new());
    }
    let recorder = builder.build_recorder();
    for instrument in INSTRUMENTS {
        let (name, help) = (instrument.name.into(), instrument.help.into());
        match instrument.kind {
            Kind::Counter => recorder.describe_counter(name, None, help),
            Kind::Gauge => recorder.describe_gauge(name, None, help),
            Kind::Histogram => recorder.describe_histogram(name, None, help),
        }
    }
    recorder
}

/// A handle to one series.
pub(super) trait Handle: Clone {
    fn register(key: &Key) -> Self;
}

impl Handle for Counter {
    fn register(key: &Key) -> Self {
        if off::is_off() {
            return Self::noop();
        }
        recorder().register_counter(key, &METADATA)
    }
}

impl Handle for Gauge {
    fn register(key: &Key) -> Self {
        recorder().register_gauge(key, &METADATA)
    }
}

impl Handle for Histogram {
    fn register(key: &Key) -> Self {
        if off::is_off() {
            return Self::noop();
        }
        recorder().register_histogram(key, &METADATA)
    }
}

/// A histogram whose buckets show the span of a recent observation.
#[derive(Clone)]
pub(super) struct Traced {
    histogram: Histogram,
    exemplars: Arc<exemplars::Series>,
}

impl Traced {
    pub(super) fn record(&self, value: f64, source: Source<'_>) {
        self.histogram.record(value);
        self.exemplars.offer(value, source);
    }
}

impl Handle for Traced {
    fn register(key: &Key) -> Self {
        // As the exporter writes it: values of ours need no escaping.
        let labels = key.labels();
        let labels: Vec<String> = labels
            .map(|label| format!("{}=\"{}\"", label.key(), label.value()))
            .collect();
        let line = format!("{}_bucket{{{}", key.name(), labels.join(","));
        let bounds = find(key.name()).map_or(&[][..], |one| one.bounds);
        Self {
            histogram: Histogram::register(key),
            exemplars: exemplars::Series::new(line, bounds),
        }
    }
}

/// Registers one series of a declared metric, with the label names of its declaration.
pub(super) fn series<H: Handle>(name: &'static str, values: &[&str]) -> H {
    let labels: &[&str] = find(name).map_or(&[], |Instrument { labels, .. }| labels);
    debug_assert_eq!(labels.len(), values.len(), "{name}");
    let labels: Vec<Label> = labels
        .iter()
        .zip(values)
        .map(|(label, value)| Label::new(*label, (*value).to_owned()))
        .collect();
    H::register(&Key::from_parts(name, labels))
}

/// The series of a metric with `N` labels whose values are known to the program.
pub(super) struct Family<H, const N: usize> {
    name: &'static str,
    handles: RwLock<BTreeMap<[&'static str; N], H>>,
}

impl<H: Handle, const N: usize> Family<H, N> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            handles: RwLock::new(BTreeMap::new()),
        }
    }

    /// Calls `f` with the series of these values. It allocates only the first time.
    pub(super) fn with<T>(&self, values: [&'static str; N], f: impl FnOnce(&H) -> T) -> T {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.get(&values) {
            return f(handle);
        }
        let values = if handles.len() < MAX_SERIES {
            values
        } else {
            [OTHER; N]
        };
        drop(handles);
        let handle = {
            let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
            handles
                .entry(values)
                .or_insert_with(|| series(self.name, &values))
                .clone()
        };
        f(&handle)
    }

    /// The series of these values, to be kept.
    pub(super) fn get(&self, values: [&'static str; N]) -> H {
        self.with(values, H::clone)
    }

    /// Makes the series exist, so that a `rate()` over its first increase is right.
    pub(super) fn prime(&self, values: [&'static str; N]) {
        self.with(values, |_| {});
    }
}
