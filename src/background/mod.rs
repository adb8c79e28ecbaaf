//! What runs beside requests: deliveries, gauges, and the forgetting of what is over.

pub mod backoff;
pub mod backups;
pub mod collector;
pub mod disk;
pub mod dispatcher;
pub mod gauges;
mod outage;
pub mod retention;
pub mod scheduled;
#[cfg(test)]
mod tests;

pub use self::dispatcher::Dispatcher;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::lifecycle::Lifecycle;
use crate::storage::Storage;
use crate::store::{RetryPolicy, Store};
use crate::telemetry::instruments;

/// What the background works by.
#[derive(Clone, Debug)]
pub struct Options {
    /// How deliveries are made.
    pub dispatcher: dispatcher::Options,
    /// How often gauges are set.
    pub gauges: gauges::Options,
    /// What is forgotten when.
    pub retention: retention::Options,
    /// How backups are made.
    pub backups: backups::Options,
    /// What is deleted from the store of files when.
    pub collector: collector::Options,
}

impl Options {
    /// The options that the settings ask for.
    pub fn from_config(config: &Config, backup: crate::backup::Context) -> Self {
        let outbox = &config.outbox;
        let policy = RetryPolicy {
            max_attempts: outbox.max_attempts,
            base: outbox.backoff_base,
            max: outbox.backoff_max,
        };
        Self {
            dispatcher: dispatcher::Options::new(outbox.batch_size, outbox.lease, policy),
            gauges: gauges::Options::default(),
            retention: retention::Options::new(outbox.retention),
            backups: backups::Options::new(backup),
            collector: collector::Options::from_config(config),
        }
    }
}

/// Starts everything. It goes on through the grace period, begins nothing new once the lifecycle is closing, and is dropped
/// when the lifecycle's limit is over.
pub fn start(store: &Store, storage: &Storage, options: Options, lifecycle: &Lifecycle) {
    let stop = lifecycle.closing();
    let dispatcher = Dispatcher::new(store.clone(), options.dispatcher, stop.clone());
    until_hard(lifecycle, "dispatcher", dispatcher.run());
    let gauges = gauges::run(store.clone(), options.gauges);
    until_hard(lifecycle, "gauges", ends_with(stop.clone(), gauges));
    until_hard(
        lifecycle,
        "retention",
        retention::run(store.clone(), options.retention, stop.clone()),
    );
    let observed = backups::observe_always(store.clone(), options.backups.clone());
    until_hard(
        lifecycle,
        "backup gauges",
        ends_with(stop.clone(), observed),
    );
    // A backup that is under way when the end begins is given up: it may take longer than anybody waits.
    let made = backups::run(store.clone(), options.backups, stop.clone());
    until_hard(lifecycle, "backups", ends_with(stop.clone(), made));
    let (of_files, stopped) = (storage.clone(), stop.clone());
    until_hard(
        lifecycle,
        "collector",
        collector::run(store.clone(), of_files, options.collector, stopped),
    );
    until_hard(
        lifecycle,
        "scheduling probe",
        ends_with(stop.clone(), instruments::process::probe_scheduling()),
    );
}

fn until_hard(
    lifecycle: &Lifecycle,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    lifecycle.spawn(name, ends_with(lifecycle.hard().clone(), task));
}

/// The task, dropped wherever it is when the token is cancelled.
async fn ends_with(token: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = token.cancelled() => {}
        () = task => {}
    }
}

/// Waits; `false` when the token was cancelled meanwhile.
async fn pause(duration: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(duration) => true,
    }
}
