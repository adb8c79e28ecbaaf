//! Who is behind a request: bearer tokens resolved to users, with a cache that forgets within a second.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, header};
use moka::future::Cache;
use tracing::Instrument;
use uuid::Uuid;

use super::tokens::{KEY_PREFIX, Tokens, hash_token};
use crate::{
    config,
    domain::{
        actor::Actor,
        user::{ApiKey, Role, Scope},
    },
    store::{self, Store},
    telemetry::{
        instruments::protection,
        recording::{self, StepKind},
        traces,
    },
};

/// The names of the caches in metrics.
pub(crate) const CACHES: &[&str] = &[USERS, KEYS];
const USERS: &str = "users";
const KEYS: &str = "api_keys";

/// An authenticated caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Principal {
    /// A person who logged in.
    User {
        /// Who acts.
        actor: Actor,
    },
    /// A machine with a key.
    Key {
        /// On whose behalf.
        actor: Actor,
        /// Which key.
        key_id: Uuid,
        /// What it may do.
        scope: Scope,
    },
}

impl Principal {
    /// Who acts.
    pub(crate) fn actor(self) -> Actor {
        match self {
            Self::User { actor } | Self::Key { actor, .. } => actor,
        }
    }

    /// How it got in, as `auth_attempts_total` names it.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::User { .. } => "access_token",
            Self::Key { .. } => "api_key",
        }
    }

    /// The kind, as the log names it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Key { .. } => "api_key",
        }
    }

    /// What its limits and its idempotency keys belong to.
    pub(crate) fn id(self) -> Uuid {
        match self {
            Self::User { actor } => actor.user_id,
            Self::Key { key_id, .. } => key_id,
        }
    }
}

/// What came of a request's credentials.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Authentication {
    /// None were sent.
    Anonymous,
    /// They are good.
    Known(Principal),
    /// They are not; how it tried to get in.
    Refused(&'static str),
}

/// A user as far as access goes; `None` for one who is unknown or disabled.
type Standing = Option<Role>;

/// Resolves credentials.
#[derive(Clone, Debug)]
pub(crate) struct Principals {
    store: Store,
    tokens: Tokens,
    users: Cache<Uuid, Standing>,
    keys: Cache<Vec<u8>, Option<(Uuid, Arc<ApiKey>)>>,
}

impl Principals {
    /// With caches as configured. Their time to live is what makes a disabled user or a revoked key stop working on the
    /// replicas that did not hear of it, so it is a second at the most.
    pub(crate) fn new(store: Store, tokens: Tokens, settings: &config::Cache) -> Self {
        Self {
            store,
            tokens,
            users: Cache::builder()
                .max_capacity(settings.max_entries)
                .time_to_live(settings.ttl)
                .build(),
            keys: Cache::builder()
                .max_capacity(settings.max_entries)
                .time_to_live(settings.ttl)
                .build(),
        }
    }

    /// Whose the request is.
    ///
    /// # Errors
    /// When the database has to be asked and fails.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
    ) -> Result<Authentication, Arc<store::Error>> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Ok(Authentication::Anonymous);
        };
        let token = value.to_str().ok().and_then(bearer);
        let principal = match token {
            Some(token) if token.starts_with(KEY_PREFIX) => self.by_key(token).await?,
            Some(token) => self.by_access_token(token).await?,
            None => None,
        };
        let method = match token {
            Some(token) if token.starts_with(KEY_PREFIX) => "api_key",
            _ => "access_token",
        };
        Ok(principal.map_or(Authentication::Refused(method), Authentication::Known))
    }

    async fn by_access_token(&self, token: &str) -> Result<Option<Principal>, Arc<store::Error>> {
        let Some((used, user_id)) = self.tokens.verify(token) else {
            return Ok(None);
        };
        protection::secret_key_used("access_token", used.as_str());
        let role = self.standing(user_id).await?;
        Ok(role.map(|role| Principal::User {
            actor: Actor { user_id, role },
        }))
    }

    async fn by_key(&self, token: &str) -> Result<Option<Principal>, Arc<store::Error>> {
        let hash = hash_token(token);
        let known = self.keys.get(&hash).await;
        protection::cache_asked(KEYS, known.is_some());
        let found = match known {
            Some(found) => found,
            None => self.look_up_key(hash).await?,
        };
        let Some((user_id, key)) = found else {
            return Ok(None);
        };
        if key
            .expires_at
            .is_some_and(|at| at <= self.store.clock().now())
        {
            return Ok(None);
        }
        let role = self.standing(user_id).await?;
        Ok(role.map(|role| Principal::Key {
            actor: Actor { user_id, role },
            key_id: key.id,
            scope: key.scope,
        }))
    }

    /// Asks the database for a key; of many who ask at once, one does.
    async fn look_up_key(
        &self,
        hash: Vec<u8>,
    ) -> Result<Option<(Uuid, Arc<ApiKey>)>, Arc<store::Error>> {
        let ask = async {
            let asked = self.store.api_key_by_hash(&hash);
            let began = Instant::now();
            let asked = asked.instrument(traces::cache_span(KEYS)).await;
            recording::step(StepKind::Cache, KEYS, began.elapsed(), None, None);
            let asked = asked?;
            Ok(asked.map(|(user_id, key)| (user_id, Arc::new(key))))
        };
        Box::pin(self.keys.try_get_with_by_ref(&hash, ask)).await
    }

    async fn standing(&self, user_id: Uuid) -> Result<Standing, Arc<store::Error>> {
        let known = self.users.get(&user_id).await;
        protection::cache_asked(USERS, known.is_some());
        match known {
            Some(standing) => Ok(standing),
            None => self.look_up_user(user_id).await,
        }
    }

    /// Asks the database for a user; of many who ask at once, one does.
    async fn look_up_user(&self, user_id: Uuid) -> Result<Standing, Arc<store::Error>> {
        let ask = async {
            let asked = self.store.user(user_id);
            let began = Instant::now();
            let asked = asked.instrument(traces::cache_span(USERS)).await;
            recording::step(StepKind::Cache, USERS, began.elapsed(), None, None);
            match asked {
                Ok(user) => Ok(user.disabled_at.is_none().then_some(user.role)),
                Err(store::Error::NotFound) => Ok(None),
                Err(failure) => Err(failure),
            }
        };
        Box::pin(self.users.try_get_with(user_id, ask)).await
    }

    /// Forgets every key: one of them was revoked here.
    pub(crate) fn forget_keys(&self) {
        self.keys.invalidate_all();
    }

    /// Sets the gauges of the caches.
    pub(crate) fn observe(&self) {
        let entries = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        protection::cache_entries(USERS, entries(self.users.entry_count()));
        protection::cache_entries(KEYS, entries(self.keys.entry_count()));
    }
}

/// The token of a `Bearer` credential (RFC 6750 §2.1); the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
