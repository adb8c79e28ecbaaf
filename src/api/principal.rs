//! Who is behind a request: bearer tokens resolved to users, by way of the caches.

use std::sync::Arc;

use http::{HeaderMap, header};
use uuid::Uuid;

use super::tokens::{KEY_PREFIX, Tokens, hash_token};
use crate::{
    cache::Caches,
    domain::{actor::Actor, user::Scope},
    store::{self, Store},
    telemetry::instruments::protection,
};

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

/// Resolves credentials.
#[derive(Clone, Debug)]
pub(crate) struct Principals {
    store: Store,
    tokens: Tokens,
    caches: Caches,
}

impl Principals {
    pub(crate) fn new(store: Store, tokens: Tokens, caches: Caches) -> Self {
        Self {
            store,
            tokens,
            caches,
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
        let standing = self.caches.standing(user_id).await?;
        Ok(standing.map(|standing| Principal::User {
            actor: Actor {
                user_id,
                role: standing.role,
            },
        }))
    }

    async fn by_key(&self, token: &str) -> Result<Option<Principal>, Arc<store::Error>> {
        let Ok(hash) = hash_token(token).try_into() else {
            return Ok(None);
        };
        let Some(key) = self.caches.key(hash).await? else {
            return Ok(None);
        };
        if key
            .expires_at
            .is_some_and(|at| at <= self.store.clock().now())
        {
            return Ok(None);
        }
        let standing = self.caches.standing(key.user_id).await?;
        Ok(standing.map(|standing| Principal::Key {
            actor: Actor {
                user_id: key.user_id,
                role: standing.role,
            },
            key_id: key.key_id,
            scope: key.scope,
        }))
    }

    /// Sets the gauges of the caches.
    pub(crate) fn observe(&self) {
        self.caches.observe();
    }
}

/// The token of a `Bearer` credential (RFC 6750 §2.1); the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
