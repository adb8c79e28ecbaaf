//! Metrics of the program: its build, its settings, the process and the runtime.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram};
use tokio::runtime::Handle;

use super::family::{Family, series};
use crate::telemetry::memory_limit;

static PANICS: Family<Counter, 0> = Family::new("panics_total");
static DELAYS: Family<Histogram, 0> = Family::new("tokio_runtime_scheduling_delay_seconds");
static NUMBERS: [Family<Gauge, 0>; 14] = [
    Family::new("process_cpu_seconds_total"),
    Family::new("process_open_fds"),
    Family::new("process_max_fds"),
    Family::new("process_virtual_memory_bytes"),
    Family::new("process_virtual_memory_max_bytes"),
    Family::new("process_resident_memory_bytes"),
    Family::new("process_start_time_seconds"),
    Family::new("process_threads"),
    Family::new("tokio_runtime_workers"),
    Family::new("tokio_runtime_alive_tasks"),
    Family::new("tokio_runtime_global_queue_depth"),
    Family::new("tokio_runtime_worker_busy_seconds_total"),
    Family::new("process_memory_limit_bytes"),
    Family::new("system_clock_time_seconds"),
];

/// How often the probe asks the runtime for its turn.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// Makes the series exist.
pub fn prime() {
    PANICS.prime([]);
    DELAYS.prime([]);
    for number in &NUMBERS {
        number.prime([]);
    }
}

/// Counts a panic.
pub fn panicked() {
    PANICS.with([], |one| one.increment(1));
}

/// Tells the build.
pub fn build_info(version: &str, revision: &str) {
    series::<Gauge>("build_info", &[version, revision]).set(1.0);
}

/// Tells how the service was set up. Bounded words only, never an address or a secret.
pub fn config_info(environment: &str, database_system: &str, rate_limit: bool) {
    let rate_limit = if rate_limit { "on" } else { "off" };
    series::<Gauge>("config_info", &[environment, database_system, rate_limit]).set(1.0);
}

/// Takes the numbers of the process and of the runtime, as they are now. It reads `/proc` and the control groups.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats; none of these comes near 2^53"
)]
pub fn collect(runtime: Option<&Handle>) {
    let process = metrics_process::collector::collect();
    let runtime = runtime.map(Handle::metrics);
    let busy = runtime.as_ref().map(|runtime| {
        (0..runtime.num_workers())
            .map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64())
            .sum()
    });
    let values: [Option<f64>; 14] = [
        process.cpu_seconds_total,
        process.open_fds.map(|fds| fds as f64),
        process.max_fds.map(|fds| fds as f64),
        process.virtual_memory_bytes.map(|bytes| bytes as f64),
        process.virtual_memory_max_bytes.map(|bytes| bytes as f64),
        process.resident_memory_bytes.map(|bytes| bytes as f64),
        process.start_time_seconds.map(|seconds| seconds as f64),
        process.threads.map(|threads| threads as f64),
        runtime.as_ref().map(|one| one.num_workers() as f64),
        runtime.as_ref().map(|one| one.num_alive_tasks() as f64),
        runtime.as_ref().map(|one| one.global_queue_depth() as f64),
        busy,
        memory_limit::read().map(|bytes| bytes as f64),
        Some(clock()),
    ];
    for (number, value) in NUMBERS.iter().zip(values) {
        if let Some(value) = value {
            number.with([], |one| one.set(value));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the machine's own clock is what is asked for, whatever the injected one says"
)]
fn clock() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Measures how late the runtime gives a task its turn, for as long as it is polled: run it as a task.
///
/// A timer rounds up to its next millisecond, which is taken off, so that an idle runtime reads near 0.
pub async fn probe_scheduling() {
    const TIMER_GRAIN: Duration = Duration::from_millis(1);
    let delays = DELAYS.get([]);
    loop {
        let asked = Instant::now();
        tokio::time::sleep(PROBE_EVERY).await;
        let late = asked.elapsed().saturating_sub(PROBE_EVERY + TIMER_GRAIN);
        delays.record(late.as_secs_f64());
    }
}
