//! One cache: this process's memory first, Redis behind it, the database behind both.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;

use super::hearing::{Hearing, Stamp, Ticks};
use super::kinds::Kind;
use super::shared::Remote;
use crate::store::{Error, Horizon};
use crate::telemetry::instruments::cache as instruments;
use crate::telemetry::recording::{self, StepKind};
use crate::telemetry::traces;

/// Times that a look-up begins anew because what it joined is too old.
const ATTEMPTS: u32 = 3;

/// How long entries serve.
#[derive(Clone)]
pub(super) struct Lifetimes {
    ticks: Ticks,
    /// Whatever happens.
    unheard: Duration,
    /// While changes are heard.
    heard: Duration,
}

impl Lifetimes {
    pub(super) fn new(ticks: Ticks, unheard: Duration, heard: Duration) -> Self {
        Self {
            ticks,
            unheard,
            heard,
        }
    }

    /// What is left for an entry.
    fn left<V>(&self, entry: &Entry<V>) -> Duration {
        let all = if entry.heard {
            self.heard
        } else {
            self.unheard
        };
        all.saturating_sub(self.ticks.now().saturating_sub(entry.asked))
    }
}

impl<K, V> Expiry<K, Entry<V>> for Lifetimes {
    fn expire_after_create(&self, _: &K, entry: &Entry<V>, _: Instant) -> Option<Duration> {
        Some(self.left(entry))
    }

    fn expire_after_update(
        &self,
        _: &K,
        entry: &Entry<V>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.left(entry))
    }
}

/// A copy.
#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    value: Option<V>,
    /// Before anybody was asked: it may be as old as this.
    asked: Duration,
    /// Every change since then is heard, and moves the generation on under which this is kept.
    heard: bool,
    /// Where it came from.
    outcome: &'static str,
}

/// See the module.
pub(super) struct Tier<K: Kind, R: Remote> {
    /// By key and generation: what was read before a change is not found after it.
    local: Cache<(K::Key, u64), Entry<K::Value>>,
    lifetimes: Lifetimes,
    hearing: Hearing,
    shared: Option<R>,
    kind: PhantomData<K>,
}

impl<K: Kind, R: Remote> std::fmt::Debug for Tier<K, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tier").field(&K::NAME).finish()
    }
}

impl<K: Kind, R: Remote> Tier<K, R> {
    pub(super) fn new(
        (lifetimes, max_entries, hearing, shared): (Lifetimes, u64, Hearing, Option<R>),
    ) -> Self {
        Self {
            local: Cache::builder()
                .max_capacity(max_entries)
                .expire_after(lifetimes.clone())
                .build(),
            lifetimes,
            hearing,
            shared,
            kind: PhantomData,
        }
    }

    /// What is known under the key; `load` asks the database. Of many who ask at once, one does.
    pub(super) async fn get<F>(
        &self,
        key: K::Key,
        load: impl Fn() -> F + Send + Sync,
    ) -> Result<Option<K::Value>, Arc<Error>>
    where
        F: Future<Output = Result<Option<(K::Value, Horizon)>, Error>> + Send,
    {
        let ticks = &self.lifetimes.ticks;
        let began = ticks.now();
        let subject = K::subject(&key);
        let mut attempt = 1;
        loop {
            let stamp = self.hearing.stamp(subject);
            let place = (key, stamp.generation);
            // Switched off: everybody asks for themselves.
            if self.lifetimes.unheard.is_zero() {
                instruments::asked(K::NAME, "miss");
                return Ok(load().await?.map(|(value, _)| value));
            }
            if let Some(entry) = self.local.get(&place).await {
                if !self.lifetimes.left(&entry).is_zero() {
                    instruments::asked(K::NAME, "hit");
                    return Ok(entry.value);
                }
                self.local.invalidate(&place).await;
            }
            let fill = Box::pin(self.fill(&key, &stamp, &load));
            let entry = self.local.try_get_with(place, fill).await?;
            // Whoever joins a look-up that another began takes what may have been read before they asked: no longer before
            // than an entry may serve. One that is heard of is right whenever it was read.
            let before = began.saturating_sub(entry.asked);
            if entry.heard || before <= self.lifetimes.unheard || attempt == ATTEMPTS {
                instruments::asked(K::NAME, entry.outcome);
                return Ok(entry.value);
            }
            attempt += 1;
        }
    }

    async fn fill<F>(
        &self,
        key: &K::Key,
        stamp: &Stamp,
        load: &(impl Fn() -> F + Send + Sync),
    ) -> Result<Entry<K::Value>, Error>
    where
        F: Future<Output = Result<Option<(K::Value, Horizon)>, Error>> + Send,
    {
        let (asked, timer) = (self.lifetimes.ticks.now(), Instant::now());
        let found = async {
            if let Some(value) = self.shared_value(key, stamp).await {
                return Ok((Some(value), "shared_hit"));
            }
            let found = load().await?;
            if let Some((value, horizon)) = &found {
                self.share(key, value, *horizon, stamp);
            }
            Ok((found.map(|(value, _)| value), "miss"))
        };
        let found = traces::within(traces::cache_span(K::NAME), found).await;
        recording::step(StepKind::Cache, K::NAME, timer.elapsed(), None, None);
        found.map(|(value, outcome)| Entry {
            value,
            asked,
            // What lets nobody in is soon asked again: a key that is made, an account that is enabled.
            heard: stamp.heard && value.as_ref().is_some_and(K::grants),
            outcome,
        })
    }

    /// What another replica read, if it saw every change that could matter: all that came before we listened, and each that
    /// we heard of.
    async fn shared_value(&self, key: &K::Key, stamp: &Stamp) -> Option<K::Value> {
        let (shared, beginning) = self.shared.as_ref().zip(stamp.beginning.as_deref())?;
        let name = shared.name(&beginning.database, K::NAME, key.as_ref());
        let (horizon, bytes) = shared.get(&name).await?;
        let changed_by = self.hearing.generations().changed_by(K::subject(key));
        let current = horizon >= beginning.first && horizon > changed_by;
        let value = current.then(|| K::decode(&bytes)).flatten();
        value.filter(K::grants)
    }

    fn share(&self, key: &K::Key, value: &K::Value, horizon: Horizon, stamp: &Stamp) {
        let Some((shared, beginning)) = self.shared.as_ref().zip(stamp.beginning.as_deref()) else {
            return;
        };
        if K::grants(value) {
            let name = shared.name(&beginning.database, K::NAME, key.as_ref());
            shared.offer(name, horizon, &K::encode(value), self.lifetimes.heard);
        }
    }

    /// Sets the gauge.
    pub(super) fn observe(&self) {
        instruments::entries(K::NAME, self.local.entry_count());
    }
}

#[cfg(test)]
#[path = "tier_tests.rs"]
mod tests;
