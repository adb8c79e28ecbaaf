//! Accounts.

use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Session, Sql, reading, statement, transaction},
    error::{Error, Refusal},
    generations::Subject,
    invalidation::publish,
};
use crate::domain::{
    new_id,
    text::normal_email,
    user::{Role, User},
    version::Expected,
};

/// An account about to be made.
#[derive(Clone)]
pub struct NewUser {
    /// As typed.
    pub email: String,
    /// What others see.
    pub display_name: String,
    /// IANA name.
    pub time_zone: String,
    /// In the PHC string format.
    pub password_hash: String,
    /// What the user may do.
    pub role: Role,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewUser")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// What a login is checked against.
#[derive(Clone)]
pub struct Credentials {
    /// The account.
    pub user: User,
    /// In the PHC string format.
    pub password_hash: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user.id)
            .finish_non_exhaustive()
    }
}

#[derive(FromRow)]
struct UserRow {
    id: Uuid,
    email: String,
    display_name: String,
    time_zone: String,
    password_hash: String,
    role: Role,
    disabled_at: Option<Timestamp>,
    has_avatar: bool,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            display_name: row.display_name,
            time_zone: row.time_zone,
            role: row.role,
            disabled_at: row.disabled_at.map(|at| at.0),
            has_avatar: row.has_avatar,
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        }
    }
}

const BY_ID: Sql = Sql::same(
    "SELECT id, email, display_name, time_zone, password_hash, role, disabled_at, \
     avatar_key IS NOT NULL AS has_avatar, version, created_at, updated_at \
     FROM users WHERE id = $1",
);
const BY_EMAIL: Sql = Sql::same(
    "SELECT id, email, display_name, time_zone, password_hash, role, disabled_at, \
     avatar_key IS NOT NULL AS has_avatar, version, created_at, updated_at \
     FROM users WHERE email_key = $1",
);

async fn by_email(session: &mut Session, email: &str) -> Result<Option<UserRow>, Error> {
    statement!(session, "users.by_email", BY_EMAIL, |sql, link| {
        query_as::<_, UserRow>(sql)
            .bind(normal_email(email))
            .fetch_optional(link)
    })
}

/// Locks the account with this id.
pub(super) async fn lock(session: &mut Session, id: Uuid) -> Result<User, Error> {
    const LOCK: Sql = Sql::each(
        "SELECT id, email, display_name, time_zone, password_hash, role, disabled_at, \
     avatar_key IS NOT NULL AS has_avatar, version, created_at, updated_at \
             FROM users WHERE id = $1 FOR UPDATE",
        BY_ID.sqlite,
    );
    let row = statement!(session, "users.lock", LOCK, |sql, link| {
        query_as::<_, UserRow>(sql).bind(id).fetch_optional(link)
    })?;
    Ok(row.ok_or(Error::NotFound)?.into())
}

async fn update(session: &mut Session, user: &User) -> Result<(), Error> {
    const SQL: Sql = Sql::same(
        "UPDATE users SET display_name = $2, time_zone = $3, role = $4, disabled_at = $5, version = $6, updated_at = $7 \
         WHERE id = $1",
    );
    statement!(session, "users.update", SQL, |sql, link| {
        query(sql)
            .bind(user.id)
            .bind(&user.display_name)
            .bind(&user.time_zone)
            .bind(user.role)
            .bind(user.disabled_at.map(Timestamp))
            .bind(user.version)
            .bind(Timestamp(user.updated_at))
            .execute(link)
    })?;
    Ok(())
}

impl Store {
    /// Makes an account.
    ///
    /// # Errors
    /// [`Refusal::EmailTaken`].
    pub async fn create_user(&self, new: &NewUser) -> Result<User, Error> {
        const SQL: Sql = Sql::same(
            "INSERT INTO users (id, email, email_key, display_name, time_zone, password_hash, role, version, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8) ON CONFLICT (email_key) DO NOTHING",
        );
        let now = self.clock().now();
        let user = User {
            id: new_id(),
            email: new.email.clone(),
            display_name: new.display_name.clone(),
            time_zone: new.time_zone.clone(),
            role: new.role,
            disabled_at: None,
            has_avatar: false,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        transaction!(self, "users.create", |tx| {
            let inserted = statement!(tx, "users.insert", SQL, |sql, link| {
                query(sql)
                    .bind(user.id)
                    .bind(&user.email)
                    .bind(normal_email(&user.email))
                    .bind(&user.display_name)
                    .bind(&user.time_zone)
                    .bind(&new.password_hash)
                    .bind(user.role)
                    .bind(Timestamp(now))
                    .execute(link)
            })?;
            if inserted == 0 {
                Err(Error::Refused(Refusal::EmailTaken))
            } else {
                Ok(())
            }
        })?;
        Ok(user)
    }

    /// The account with this id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user(&self, id: Uuid) -> Result<User, Error> {
        let row = reading!(self, |session| {
            statement!(session, "users.find", BY_ID, |sql, link| query_as::<
                _,
                UserRow,
            >(sql)
            .bind(id)
            .fetch_optional(link))
        })?;
        row.map(User::from).ok_or(Error::NotFound)
    }

    /// What a login with this address is checked against.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credentials(&self, email: &str) -> Result<Option<Credentials>, Error> {
        let row = reading!(self, |session| by_email(session, email).await)?;
        Ok(row.map(|row| Credentials {
            password_hash: row.password_hash.clone(),
            user: row.into(),
        }))
    }

    /// Changes what a person says of themselves: `change` is given what is stored and returns what is wanted.
    ///
    /// # Errors
    /// What `change` returns, [`Error::Stale`], [`Error::NotFound`].
    pub async fn update_profile(
        &self,
        id: Uuid,
        expected: &Expected,
        change: impl Fn(&User) -> Result<User, Error>,
    ) -> Result<User, Error> {
        transaction!(self, "users.change", |tx| {
            let before = lock(tx, id).await?;
            if !expected.allows(&before.version.to_string()) {
                return Err(Error::Stale);
            }
            let mut after = change(&before)?;
            if (&after.display_name, &after.time_zone) == (&before.display_name, &before.time_zone)
            {
                return Ok(before);
            }
            after.version += 1;
            after.updated_at = self.clock().now();
            update(tx, &after).await?;
            Ok(after)
        })
    }

    /// Gives the account with this address a role, or disables it or enables it again; disabling ends its sessions. Every
    /// replica is told.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn administer_user(
        &self,
        email: &str,
        role: Option<Role>,
        disabled: Option<bool>,
    ) -> Result<User, Error> {
        const REVOKE: Sql = Sql::same(
            "UPDATE token_families SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL",
        );
        let mut changing = self.changing();
        transaction!(self, "users.administer", |tx| {
            let mut user: User = by_email(tx, email).await?.ok_or(Error::NotFound)?.into();
            let now = self.clock().now();
            user.role = role.unwrap_or(user.role);
            if let Some(disabled) = disabled {
                user.disabled_at = disabled.then_some(now);
            }
            user.version += 1;
            user.updated_at = now;
            update(tx, &user).await?;
            if user.disabled_at.is_some() {
                statement!(tx, "token_families.revoke_user", REVOKE, |sql, link| {
                    query(sql).bind(user.id).bind(Timestamp(now)).execute(link)
                })?;
            }
            publish(tx, &mut changing, Subject::user(user.id)).await?;
            Ok(user)
        })
    }
}
