//! Logins: families of refresh tokens, of which only the hashes are kept.

use std::time::Duration;

use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Session, Sql, statement, transaction},
    error::Error,
};
use crate::domain::{clock::later, new_id};

/// What came of presenting a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It was good; the new one is stored in its place.
    Renewed {
        /// Whose it is.
        user_id: Uuid,
    },
    /// It was used before: the whole family is revoked, for one of two holders is not who they say.
    Reused,
    /// Unknown, expired or revoked.
    Refused,
}

#[derive(FromRow)]
struct TokenRow {
    family_id: Uuid,
    user_id: Uuid,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

/// Finds a token and locks its family, so that of two who present it at once one is second.
async fn lock(session: &mut Session, hash: &[u8]) -> Result<Option<TokenRow>, Error> {
    const FAMILY: Sql = Sql::each(
        "SELECT f.id FROM token_families f JOIN refresh_tokens t ON t.family_id = f.id WHERE t.token_hash = $1 FOR UPDATE OF f",
        "SELECT f.id FROM token_families f JOIN refresh_tokens t ON t.family_id = f.id WHERE t.token_hash = $1",
    );
    const TOKEN: Sql = Sql::same(
        "SELECT t.family_id, f.user_id, t.expires_at, t.used_at, f.revoked_at FROM refresh_tokens t \
         JOIN token_families f ON f.id = t.family_id WHERE t.token_hash = $1",
    );
    let family = statement!(session, "token_families.lock", FAMILY, |sql, link| {
        sqlx::query_scalar::<_, Uuid>(sql)
            .bind(hash)
            .fetch_optional(link)
    })?;
    if family.is_none() {
        return Ok(None);
    }
    statement!(session, "refresh_tokens.find", TOKEN, |sql, link| {
        query_as::<_, TokenRow>(sql).bind(hash).fetch_optional(link)
    })
}

async fn insert(
    session: &mut Session,
    hash: &[u8],
    family: Uuid,
    now: jiff::Timestamp,
    ttl: Duration,
) -> Result<(), Error> {
    const SQL: Sql = Sql::same(
        "INSERT INTO refresh_tokens (token_hash, family_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
    );
    statement!(session, "refresh_tokens.insert", SQL, |sql, link| {
        query(sql)
            .bind(hash)
            .bind(family)
            .bind(Timestamp(now))
            .bind(Timestamp(later(now, ttl)))
            .execute(link)
    })?;
    Ok(())
}

async fn revoke(session: &mut Session, family: Uuid, now: jiff::Timestamp) -> Result<(), Error> {
    const SQL: Sql =
        Sql::same("UPDATE token_families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL");
    statement!(session, "token_families.revoke", SQL, |sql, link| {
        query(sql).bind(family).bind(Timestamp(now)).execute(link)
    })?;
    Ok(())
}

impl Store {
    /// Begins a login whose first refresh token has this hash.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_session(
        &self,
        user_id: Uuid,
        hash: &[u8],
        ttl: Duration,
    ) -> Result<(), Error> {
        const SQL: Sql =
            Sql::same("INSERT INTO token_families (id, user_id, created_at) VALUES ($1, $2, $3)");
        transaction!(self, "sessions.open", |tx| {
            let now = self.clock().now();
            let family = new_id();
            statement!(tx, "token_families.insert", SQL, |sql, link| {
                query(sql)
                    .bind(family)
                    .bind(user_id)
                    .bind(Timestamp(now))
                    .execute(link)
            })?;
            insert(tx, hash, family, now, ttl).await
        })
    }

    /// Exchanges a refresh token for another; a token serves once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh_session(
        &self,
        old: &[u8],
        new: &[u8],
        ttl: Duration,
    ) -> Result<Refreshed, Error> {
        const USE: Sql = Sql::same("UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1");
        transaction!(self, "sessions.refresh", |tx| {
            let now = self.clock().now();
            let Some(token) = lock(tx, old).await? else {
                return Ok(Refreshed::Refused);
            };
            if token.revoked_at.is_some() || token.expires_at.0 <= now {
                return Ok(Refreshed::Refused);
            }
            if token.used_at.is_some() {
                revoke(tx, token.family_id, now).await?;
                return Ok(Refreshed::Reused);
            }
            statement!(tx, "refresh_tokens.use", USE, |sql, link| query(sql)
                .bind(old)
                .bind(Timestamp(now))
                .execute(link))?;
            insert(tx, new, token.family_id, now, ttl).await?;
            Ok(Refreshed::Renewed {
                user_id: token.user_id,
            })
        })
    }

    /// Ends the login that a refresh token belongs to; an unknown one is as good as ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close_session(&self, hash: &[u8]) -> Result<(), Error> {
        transaction!(self, "sessions.close", |tx| {
            if let Some(token) = lock(tx, hash).await? {
                revoke(tx, token.family_id, self.clock().now()).await?;
            }
            Ok(())
        })
    }

    /// Forgets refresh tokens that expired before `before`, and logins made before then of which none is left, at most 1,000
    /// of each at a time; returns how many tokens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep_sessions(&self, before: jiff::Timestamp) -> Result<u64, Error> {
        const SQL: Sql = Sql::same(
            "DELETE FROM refresh_tokens WHERE token_hash IN \
             (SELECT token_hash FROM refresh_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT 1000)",
        );
        const FAMILIES: Sql = Sql::same(
            "DELETE FROM token_families WHERE id IN (SELECT f.id FROM token_families f WHERE f.created_at < $1 \
             AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.family_id = f.id) ORDER BY f.created_at LIMIT 1000)",
        );
        let before = Timestamp(before);
        transaction!(self, "sessions.sweep", |tx| {
            let swept = statement!(tx, "refresh_tokens.sweep", SQL, |sql, link| {
                query(sql).bind(before).execute(link)
            })?;
            statement!(tx, "token_families.sweep", FAMILIES, |sql, link| {
                query(sql).bind(before).execute(link)
            })?;
            Ok(swept)
        })
    }
}
