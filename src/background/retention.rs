//! Forgets what is over, in small bites, and follows the rules of time zones.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::pause;
use crate::domain::clock::earlier;
use crate::store::{Error, Store, chain};

/// What is forgotten when.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time a finished delivery is kept.
    pub deliveries: Duration,
    /// Time between two sweeps, give or take a tenth, so that replicas do not sweep together.
    pub every: Duration,
    /// Pause between two bites, in which others get at the database.
    pub rest: Duration,
}

impl Options {
    /// The usual times: hourly, with a short rest between two bites.
    pub fn new(deliveries: Duration) -> Self {
        Self {
            deliveries,
            every: Duration::from_hours(1),
            rest: Duration::from_millis(20),
        }
    }
}

/// What one sweep forgot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Finished deliveries.
    pub deliveries: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
    /// Refresh tokens.
    pub refresh_tokens: u64,
}

/// Follows the rules of time zones once, then sweeps now and every so often, until it is stopped.
pub async fn run(store: Store, options: Options, stop: CancellationToken) {
    match store.follow_zone_rules().await {
        Ok(0) => {}
        Ok(events) => tracing::info!(
            events,
            "the rules of time zones have changed; events follow them"
        ),
        Err(failure) => {
            tracing::error!(error = %chain(&failure), "events do not follow the rules of time zones yet");
        }
    }
    loop {
        match sweep(&store, options, &stop).await {
            Ok(swept) if swept == Swept::default() => {}
            Ok(Swept {
                deliveries,
                idempotency_keys,
                refresh_tokens,
            }) => {
                tracing::debug!(
                    deliveries,
                    idempotency_keys,
                    refresh_tokens,
                    "forgot what is over"
                );
            }
            Err(failure) => {
                tracing::warn!(error = %chain(&failure), "a sweep failed and waits for the next");
            }
        }
        let tenth = options.every / 10;
        let next = rand::random_range(
            options.every.saturating_sub(tenth)..=options.every.saturating_add(tenth),
        );
        if !pause(next, &stop).await {
            return;
        }
    }
}

/// Forgets all that is over, or as much as there is time for before the stop.
///
/// # Errors
/// When the database fails; what was forgotten before stays forgotten.
pub async fn sweep(
    store: &Store,
    options: Options,
    stop: &CancellationToken,
) -> Result<Swept, Error> {
    let now = store.clock().now();
    let kept_from = earlier(now, options.deliveries);
    Ok(Swept {
        deliveries: in_bites(options.rest, stop, || store.sweep_deliveries(kept_from)).await?,
        idempotency_keys: in_bites(options.rest, stop, || store.sweep_idempotency()).await?,
        refresh_tokens: in_bites(options.rest, stop, || store.sweep_sessions(now)).await?,
    })
}

async fn in_bites<F>(
    rest: Duration,
    stop: &CancellationToken,
    bite: impl Fn() -> F,
) -> Result<u64, Error>
where
    F: Future<Output = Result<u64, Error>>,
{
    let mut total = 0;
    while !stop.is_cancelled() {
        let count = bite().await?;
        total += count;
        if count == 0 || !pause(rest, stop).await {
            break;
        }
    }
    Ok(total)
}
