//! What is remembered of accounts and keys between requests: in this process first, in Redis behind it if there is one.
//!
//! The promise: who was disabled, or a key that was revoked, on any replica, is refused on every other within a second,
//! whatever is slow, down, frozen or cut off. An entry older than [`config::Cache::ttl`] therefore serves only while the
//! [`channel`] proves, several times a second, that every change is heard; decision 0016 has the argument.

mod channel;
mod hearing;
mod kinds;
mod sealed;
mod shared;
mod tier;

use std::sync::Arc;

use uuid::Uuid;

use self::{
    channel::Channel,
    hearing::{Hearing, Ticks},
    kinds::{Keys, Kind as _, Users},
    shared::Shared,
    tier::{Lifetimes, Tier},
};
use crate::{
    config::{Config, Engine, Secret},
    lifecycle::Lifecycle,
    store::{Error, KeyGrant, Standing, Store},
    telemetry::instruments::cache as instruments,
};

pub use self::shared::{Info, RedisFault, look};

/// The caches. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caches {
    store: Store,
    users: Arc<Tier<Users, Shared>>,
    keys: Arc<Tier<Keys, Shared>>,
    channel: Channel,
    shared: Option<Shared>,
}

impl Caches {
    /// By the settings. Nothing is heard, and nothing shared, before [`Self::start`].
    pub fn new(config: &Config, store: &Store) -> Self {
        let (cache, database) = (&config.cache, &config.database);
        let listens = database.url.engine() == Engine::Postgres
            && !cache.ttl.is_zero()
            && !cache.heard_ttl.is_zero();
        let url = database.direct();
        let hearing = Hearing::new(Arc::clone(store.generations()), Ticks::system());
        let url = listens.then(|| Secret::new(url.expose()));
        let channel = Channel::new(store.clone(), hearing.clone(), url);
        let shared = config
            .redis
            .url
            .as_ref()
            .filter(|_| listens)
            .map(|url| Shared::new(url, &config.redis, &config.server.secret_key));
        let lifetimes = Lifetimes::new(hearing.ticks().clone(), cache.ttl, cache.heard_ttl);
        instruments::prime();
        instruments::prime_caches(&[Users::NAME, Keys::NAME]);
        channel.observe();
        instruments::shared_state(shared.as_ref().map_or("off", Shared::state));
        let parts = (lifetimes, cache.max_entries, hearing, shared.clone());
        Self {
            store: store.clone(),
            users: Arc::new(Tier::new(parts.clone())),
            keys: Arc::new(Tier::new(parts)),
            channel,
            shared,
        }
    }

    /// Listens, and keeps the connection to Redis, until the lifecycle is closing; from then on entries serve a second.
    pub fn start(&self, lifecycle: &Lifecycle) {
        if self.channel.listens() {
            let (channel, closing) = (self.channel.clone(), lifecycle.closing().clone());
            lifecycle.spawn("cache channel", async move {
                closing.run_until_cancelled(Box::pin(channel.run())).await;
                channel.stop();
            });
        }
        if let Some(shared) = &self.shared {
            let (keeping, closing) = (shared.clone(), lifecycle.closing().clone());
            lifecycle.spawn("cache redis", async move {
                closing
                    .run_until_cancelled(Box::pin(keeping.keep_connected()))
                    .await;
                keeping.stop();
            });
            let (writing, closing) = (shared.clone(), lifecycle.closing().clone());
            lifecycle.spawn("cache redis writes", async move {
                closing.run_until_cancelled(writing.write()).await;
            });
        }
    }

    /// What a user may do; none for one who is unknown or disabled.
    ///
    /// # Errors
    /// When the database has to be asked and fails.
    pub async fn standing(&self, id: Uuid) -> Result<Option<Standing>, Arc<Error>> {
        let standing = self.users.get(id, || self.store.standing(id)).await?;
        Ok(standing.filter(|one| !one.disabled))
    }

    /// What the key with this hash is good for; none for one that is unknown or revoked.
    ///
    /// # Errors
    /// When the database has to be asked and fails.
    pub async fn key(&self, hash: [u8; 32]) -> Result<Option<KeyGrant>, Arc<Error>> {
        self.keys
            .get(hash, || async move { self.store.key_grant(&hash).await })
            .await
    }

    /// Sets the gauges.
    pub fn observe(&self) {
        self.users.observe();
        self.keys.observe();
        self.channel.observe();
    }
}
