//! Keys for machines, of which only the hashes are kept.

use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Sql, reading, statement, transaction},
    error::{Error, Refusal},
    generations::Subject,
    idempotency::Receipt,
    invalidation::publish,
};
use crate::domain::{
    new_id,
    page::{Page, PageRequest},
    user::{ApiKey, Scope},
};

/// Most keys that one user may have at a time.
const KEYS_MAX: i64 = 100;

/// A key about to be made.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What its user calls it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// Its first characters.
    pub prefix: String,
    /// SHA-256 of the whole.
    pub hash: Vec<u8>,
    /// When it stops working.
    pub expires_at: Option<jiff::Timestamp>,
}

#[derive(FromRow)]
struct KeyRow {
    id: Uuid,
    name: String,
    scope: Scope,
    prefix: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scope: row.scope,
            prefix: row.prefix,
            created_at: row.created_at.0,
            expires_at: row.expires_at.map(|at| at.0),
        }
    }
}

impl Store {
    /// Makes a key.
    ///
    /// # Errors
    /// [`Refusal::TooManyKeys`].
    pub async fn create_api_key(
        &self,
        user_id: Uuid,
        new: &NewApiKey,
        receipt: &Receipt<'_, ApiKey>,
    ) -> Result<ApiKey, Error> {
        const COUNT: Sql = Sql::same(
            "SELECT CAST(COUNT(*) AS BIGINT) FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL",
        );
        const INSERT: Sql = Sql::same(
            "INSERT INTO api_keys (id, user_id, name, scope, prefix, key_hash, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        );
        // So that two at once do not both find room for the last.
        const LOCK: Sql = Sql::each(
            "SELECT id FROM users WHERE id = $1 FOR UPDATE",
            "SELECT id FROM users WHERE id = $1",
        );
        transaction!(self, "api_keys.create", |tx| {
            statement!(tx, "users.lock_id", LOCK, |sql, link| {
                sqlx::query_scalar::<_, Uuid>(sql)
                    .bind(user_id)
                    .fetch_optional(link)
            })?;
            let kept = statement!(tx, "api_keys.count", COUNT, |sql, link| {
                sqlx::query_scalar::<_, i64>(sql)
                    .bind(user_id)
                    .fetch_optional(link)
            })?;
            if kept.unwrap_or(0) >= KEYS_MAX {
                return Err(Error::Refused(Refusal::TooManyKeys));
            }
            let key = ApiKey {
                id: new_id(),
                name: new.name.clone(),
                scope: new.scope,
                prefix: new.prefix.clone(),
                created_at: self.clock().now(),
                expires_at: new.expires_at,
            };
            statement!(tx, "api_keys.insert", INSERT, |sql, link| {
                query(sql)
                    .bind(key.id)
                    .bind(user_id)
                    .bind(&key.name)
                    .bind(key.scope)
                    .bind(&key.prefix)
                    .bind(&new.hash)
                    .bind(Timestamp(key.created_at))
                    .bind(key.expires_at.map(Timestamp))
                    .execute(link)
            })?;
            receipt.keep(tx, &key).await?;
            Ok(key)
        })
    }

    /// A user's keys, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn api_keys(
        &self,
        user_id: Uuid,
        page: &PageRequest<Uuid>,
    ) -> Result<Page<ApiKey, Uuid>, Error> {
        const SQL: Sql = Sql::same(
            "SELECT id, name, scope, prefix, created_at, expires_at FROM api_keys \
             WHERE user_id = $1 AND revoked_at IS NULL AND id > $2 ORDER BY id LIMIT $3",
        );
        let rows = reading!(self, |session| {
            statement!(session, "api_keys.list", SQL, |sql, link| {
                query_as::<_, KeyRow>(sql)
                    .bind(user_id)
                    .bind(page.after.unwrap_or(Uuid::nil()))
                    .bind(page.limit + 1)
                    .fetch_all(link)
            })
        })?;
        Ok(Page::from_items(
            rows.into_iter().map(ApiKey::from).collect(),
            page.limit,
            |key: &ApiKey| key.id,
        ))
    }

    /// Revokes a user's key; every replica is told.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revoke_api_key(&self, user_id: Uuid, id: Uuid) -> Result<(), Error> {
        const SQL: Sql = Sql::same(
            "UPDATE api_keys SET revoked_at = $3 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL \
             RETURNING key_hash",
        );
        let mut changing = self.changing();
        transaction!(self, "api_keys.delete", |tx| {
            let now = Timestamp(self.clock().now());
            let revoked = statement!(tx, "api_keys.revoke", SQL, |sql, link| {
                sqlx::query_scalar::<_, Vec<u8>>(sql)
                    .bind(id)
                    .bind(user_id)
                    .bind(now)
                    .fetch_optional(link)
            })?;
            let key = Subject::key(&revoked.ok_or(Error::NotFound)?);
            publish(tx, &mut changing, key).await
        })
    }
}
