//! Pictures of users: what the database knows of them, in the row of the user.

use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Session, Sql, reading, statement, transaction},
    error::Error,
    files, users,
};
use crate::domain::{
    file::{Avatar, Blob},
    user::User,
    version::Expected,
};

#[derive(FromRow)]
struct AvatarRow {
    key: Option<String>,
    media_type: Option<String>,
    size: Option<i64>,
    sha256: Option<Vec<u8>>,
    updated_at: Option<Timestamp>,
}

impl AvatarRow {
    fn avatar(self) -> Option<Avatar> {
        Some(Avatar {
            blob: Blob {
                storage_key: self.key?,
                media_type: self.media_type?,
                size: self.size?,
                sha256: self.sha256?,
            },
            updated_at: self.updated_at?.0,
        })
    }
}

async fn find(session: &mut Session, user_id: Uuid) -> Result<Option<Avatar>, Error> {
    const SQL: Sql = Sql::same(
        "SELECT avatar_key AS key, avatar_media_type AS media_type, avatar_size AS size, avatar_sha256 AS sha256, \
         avatar_updated_at AS updated_at FROM users WHERE id = $1",
    );
    let row = statement!(session, "users.avatar", SQL, |sql, link| {
        query_as::<_, AvatarRow>(sql)
            .bind(user_id)
            .fetch_optional(link)
    })?;
    Ok(row.and_then(AvatarRow::avatar))
}

impl Store {
    /// A user's picture.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, or no such user.
    pub async fn avatar(&self, user_id: Uuid) -> Result<Avatar, Error> {
        let found = reading!(self, |session| find(session, user_id).await)?;
        found.ok_or(Error::NotFound)
    }

    /// Gives a user a picture, whose bytes are in the store, or takes it away; the bytes of the one before are deleted after a grace.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::NotFound`] when there is none to take away.
    pub async fn change_avatar(
        &self,
        user_id: Uuid,
        expected: &Expected,
        tag: impl Fn(&Avatar) -> String,
        blob: Option<&Blob>,
    ) -> Result<User, Error> {
        const SQL: Sql = Sql::same(
            "UPDATE users SET avatar_key = $2, avatar_media_type = $3, avatar_size = $4, avatar_sha256 = $5, \
             avatar_updated_at = $6, version = version + 1, updated_at = $7 WHERE id = $1",
        );
        transaction!(self, "users.change_avatar", |tx| {
            let mut user = users::lock(tx, user_id).await?;
            let before = find(tx, user_id).await?;
            let fits = match &before {
                Some(avatar) => expected.allows(&tag(avatar)),
                None => *expected == Expected::Anything,
            };
            if !fits {
                return Err(Error::Stale);
            }
            if blob.is_none() && before.is_none() {
                return Err(Error::NotFound);
            }
            let now = self.clock().now();
            statement!(tx, "users.set_avatar", SQL, |sql, link| {
                query(sql)
                    .bind(user_id)
                    .bind(blob.map(|blob| blob.storage_key.as_str()))
                    .bind(blob.map(|blob| blob.media_type.as_str()))
                    .bind(blob.map(|blob| blob.size))
                    .bind(blob.map(|blob| blob.sha256.as_slice()))
                    .bind(blob.map(|_| Timestamp(now)))
                    .bind(Timestamp(now))
                    .execute(link)
            })?;
            if let Some(before) = before {
                files::retire(tx, &before.blob.storage_key, now).await?;
            }
            user.has_avatar = blob.is_some();
            user.version += 1;
            user.updated_at = now;
            Ok(user)
        })
    }
}
