//! Renders the metrics for Prometheus: one rendering at a time, checked against the inventory.

mod format;
mod openmetrics;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub use self::format::Format;

use super::exemplars::Snapshot;
use super::instruments::{self, Kind, pipeline, process};

/// How often the histograms' queues are emptied when nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Expositions that may wait for the one under way.
const MAX_WAITING: usize = 4;

/// The longest one may wait.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Too many ask at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the metrics are being rendered for others")]
pub struct Busy;

/// Renders the metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct Exposition {
    turn: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Exposition {
    /// Makes what is known at once exist.
    pub fn start() -> Self {
        pipeline::prime();
        process::prime();
        Self {
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Starts the upkeep of the histograms (once a process). Without it their queues grow until somebody scrapes.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn keep_up(&self) -> io::Result<()> {
        static UPKEEP: AtomicBool = AtomicBool::new(false);
        if !UPKEEP.swap(true, Ordering::SeqCst) {
            // A thread and not a task: it must go on while the runtime is blocked.
            std::thread::Builder::new()
                .name("metrics-upkeep".to_owned())
                .spawn(|| {
                    loop {
                        std::thread::sleep(UPKEEP_EVERY);
                        instruments::run_upkeep();
                    }
                })?;
        }
        Ok(())
    }

    /// Renders the metrics off the runtime's threads; [`Busy`] when too many already wait.
    pub async fn scrape(&self, format: Format) -> Result<String, Busy> {
        let _waiting = Waiting::join(&self.waiting)?;
        let turn = tokio::time::timeout(MAX_WAIT, Arc::clone(&self.turn).acquire_owned());
        let turn = turn.await.map_err(|_| Busy)?.map_err(|_| Busy)?;
        let runtime = tokio::runtime::Handle::current();
        let rendering = tokio::task::spawn_blocking(move || {
            // Given back when the work is done, even if the one who asked has gone.
            let _turn = turn;
            render(format, Some(&runtime))
        });
        rendering.await.map_err(|_| Busy)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicUsize) -> Result<Self, Busy> {
        let joined = Self(waiting);
        if waiting.fetch_add(1, Ordering::AcqRel) > MAX_WAITING {
            return Err(Busy);
        }
        Ok(joined)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Renders the metrics now, on this thread; `runtime` is the one to tell of.
pub fn render(format: Format, runtime: Option<&tokio::runtime::Handle>) -> String {
    let started = Instant::now();
    process::collect(runtime);
    // Taken first: whatever an exemplar is of has been counted then.
    let exemplars = (format == Format::OpenMetrics).then(Snapshot::take);
    let raw = instruments::render();
    let families = families(&raw);
    let lines = families.iter().flat_map(|family| family.lines());
    let series = lines.filter(|line| !line.starts_with('#')).count();
    let text = match exemplars {
        Some(exemplars) => openmetrics::write(families, series, &exemplars),
        None => write_text(&families, series),
    };
    pipeline::scraped(started.elapsed());
    text
}

/// The families in the order of their names.
fn families(raw: &str) -> Vec<&str> {
    let families = raw.split("\n\n").map(str::trim);
    let mut families: Vec<&str> = families.filter(|family| !family.is_empty()).collect();
    // Each begins with its HELP line, and so with its name.
    families.sort_unstable();
    families
}

/// Sets right what the exporter cannot know.
fn write_text(families: &[&str], series: usize) -> String {
    let mut text = String::new();
    for line in families.iter().flat_map(|family| family.lines()) {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            text.push_str("# TYPE ");
            text.push_str(&true_type(kind));
        } else if line.starts_with("telemetry_series ") {
            text.push_str("telemetry_series ");
            text.push_str(&series.to_string());
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// The type of a family where the exporter's differs from the inventory's.
fn true_type(name_and_kind: &str) -> std::borrow::Cow<'_, str> {
    let Some((name, "gauge")) = name_and_kind.split_once(' ') else {
        return name_and_kind.into();
    };
    match instruments::find(name).map(|one| one.kind) {
        // Seconds are no whole numbers, and the recorder's counters are: these are kept as gauges.
        Some(Kind::Counter) => format!("{name} counter").into(),
        // The semantic conventions end this name in `_count`, which Prometheus keeps for histograms: its linter
        // lets it pass without a type only.
        _ if name.ends_with("_count") => format!("{name} untyped").into(),
        _ => name_and_kind.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_exposition_tells_of_itself_the_process_and_the_runtime() {
        let text = Exposition::start().scrape(Format::Text).await.unwrap();
        let value = |name: &str| -> f64 {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            found
                .unwrap_or_else(|| panic!("{name}"))
                .trim()
                .parse()
                .unwrap()
        };
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(
            (value("telemetry_series ") - f64::from(u32::try_from(series).unwrap())).abs() < 0.1
        );
        assert!(value("process_resident_memory_bytes ") > 1_000_000.0);
        assert!(value("process_start_time_seconds ") > 1e9);
        assert!(value("tokio_runtime_workers ") >= 1.0);
        assert!(value("telemetry_spans_total{outcome=\"dropped\"} ") >= 0.0);
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"));
        assert!(text.contains("# TYPE tokio_runtime_worker_busy_seconds_total counter\n"));
    }

    #[tokio::test]
    async fn only_so_many_wait_for_a_rendering() {
        let exposition = Exposition::start();
        let turn = Arc::clone(&exposition.turn).acquire_owned().await.unwrap();
        let mut waiting: Vec<_> = (0..=MAX_WAITING)
            .map(|_| Box::pin(exposition.scrape(Format::Text)))
            .collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert_eq!(exposition.scrape(Format::Text).await, Err(Busy));
        drop(turn);
        for one in waiting {
            assert!(one.await.is_ok());
        }
    }
}
