//! Samples what gauges show: the pool each second, the outbox every few.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::domain::change::CHANNELS;
use crate::store::{ReplicaSeen, Store, chain};
use crate::telemetry::instruments;

/// How often gauges are set.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The pool's.
    pub pool: Duration,
    /// The outbox's; each asks the database.
    pub outbox: Duration,
    /// The read replica's; lists go to it again so long after it has come back.
    pub replica: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pool: Duration::from_secs(1),
            outbox: Duration::from_secs(5),
            replica: Duration::from_secs(1),
        }
    }
}

/// Sets gauges for as long as it is polled. The pool's do not wait for a database that is slow.
pub async fn run(store: Store, options: Options) {
    let pool = async {
        let mut ticks = interval(options.pool);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            store.observe_pool();
        }
    };
    let outbox = async {
        let mut ticks = interval(options.outbox);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            observe_outbox(&store).await;
        }
    };
    let replica = async {
        let mut ticks = interval(options.replica);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = ReplicaSeen::NotConfigured;
        while store.has_replica() {
            ticks.tick().await;
            let seen = store.observe_replica().await;
            tell_replica(&last, &seen);
            last = seen;
        }
    };
    let ((), (), ()) = tokio::join!(pool, outbox, replica);
}

/// Tells once that the replica went, and once that it came.
fn tell_replica(last: &ReplicaSeen, seen: &ReplicaSeen) {
    match (last, seen) {
        (ReplicaSeen::Unusable(_), ReplicaSeen::Unusable(_)) => {}
        (_, ReplicaSeen::Unusable(reason)) => {
            tracing::warn!(
                error = reason,
                "the read replica cannot be used; lists go to the primary"
            );
        }
        (ReplicaSeen::Unusable(_) | ReplicaSeen::NotConfigured, ReplicaSeen::Replays(_)) => {
            tracing::info!("lists are read from the replica");
        }
        _ => {}
    }
}

/// Sets the gauges of every channel; to no number while the database does not answer.
pub async fn observe_outbox(store: &Store) {
    for channel in CHANNELS {
        match store.queue_state(channel).await {
            Ok(state) => {
                instruments::outbox::backlog(channel, state.pending, state.dead, state.oldest);
            }
            // The dispatcher tells of an outage, once.
            Err(failure) => {
                instruments::outbox::backlog_unknown(channel);
                tracing::debug!(channel, error = %chain(&failure), "what the outbox holds is not known");
            }
        }
    }
}
