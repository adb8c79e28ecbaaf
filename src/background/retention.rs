//! Forgets what is over, in small bites, and follows the rules of time zones.

use std::sync::LazyLock;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::pause;
use super::scheduled::{self, Job};
use crate::domain::clock::earlier;
use crate::domain::when::zones_version;
use crate::store::{Error, Store, chain};

/// Events follow each set of rules once; longer than any is in use.
const ONCE: Duration = Duration::from_hours(10 * 365 * 24);

/// What is forgotten when.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time a finished delivery is kept.
    pub deliveries: Duration,
    /// Time between two sweeps, of whichever replica.
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

/// Follows the rules of time zones and sweeps every so often, each on one replica, until it is stopped.
pub async fn run(store: Store, options: Options, stop: CancellationToken) {
    // Named by the rules: a replica that still has others must not undo what newer ones did.
    let zones = Job::new(zone_job(), ONCE);
    let sweeps = Job::new("retention", options.every);
    let follow = scheduled::run(store.clone(), zones, stop.clone(), || follow_zones(&store));
    let sweep = scheduled::run(store.clone(), sweeps, stop.clone(), || {
        sweep_and_tell(&store, options, &stop)
    });
    let ((), ()) = tokio::join!(follow, sweep);
}

/// The lease under which events follow the rules of this program.
fn zone_job() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| format!("zone_rules:{}", zones_version()));
    NAME.as_str()
}

async fn follow_zones(store: &Store) -> bool {
    match store.follow_zone_rules().await {
        Ok(0) => true,
        Ok(events) => {
            tracing::info!(
                events,
                "the rules of time zones have changed; events follow them"
            );
            true
        }
        Err(failure) => {
            tracing::error!(error = %chain(&failure), "events do not follow the rules of time zones yet");
            false
        }
    }
}

async fn sweep_and_tell(store: &Store, options: Options, stop: &CancellationToken) -> bool {
    match sweep(store, options, stop).await {
        Ok(swept) => {
            let Swept {
                deliveries,
                idempotency_keys,
                refresh_tokens,
            } = swept;
            if swept != Swept::default() {
                tracing::debug!(
                    deliveries,
                    idempotency_keys,
                    refresh_tokens,
                    "forgot what is over"
                );
            }
            // Broken off: another replica goes on.
            !stop.is_cancelled()
        }
        Err(failure) => {
            tracing::warn!(error = %chain(&failure), "a sweep failed and waits for the next");
            false
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
