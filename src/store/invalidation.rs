//! How every replica is told of a change to what it may hold a copy of: by PostgreSQL, in the transaction of the change.
//!
//! `pg_notify` is delivered when its transaction commits, never when it does not, in the order of the commits, and to whoever
//! listens, whichever process made the change. Nothing has to be done after the commit that a crash could prevent.

use std::sync::Arc;

use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Engine, Session, Sql, reading, statement, transaction},
    error::Error,
    generations::{Generations, Subject},
};
use crate::domain::user::{Role, Scope};
use crate::telemetry::instruments;

/// The channel of changes.
pub(super) const CHANNEL: &str = "convoke_changed";
/// The payload's form. A replica that does not know a form forgets everything.
const FORM: &str = "1";

/// What a payload tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This changed, by this transaction.
    Changed(Subject, i64),
    /// Something did; a later version wrote it.
    Unreadable,
}

impl Heard {
    pub(super) fn parse(payload: &str) -> Self {
        let parts: Vec<&str> = payload.split(' ').collect();
        let known = match parts[..] {
            [FORM, subject, transaction] => u64::from_str_radix(subject, 16)
                .ok()
                .zip(transaction.parse().ok()),
            _ => None,
        };
        known.map_or(Self::Unreadable, |(subject, transaction)| {
            Self::Changed(Subject(subject), transaction)
        })
    }
}

/// Tells all replicas of a change, if and when its transaction commits. SQLite has one.
pub(super) async fn publish(
    tx: &mut Session,
    changing: &mut Changing,
    subject: Subject,
) -> Result<(), Error> {
    const SQL: Sql = Sql::each(
        "WITH said AS (SELECT pg_notify($1, $2 || ' ' || CAST(pg_current_xact_id() AS text))) \
         SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint) FROM said",
        "SELECT 0 WHERE $1 = $2",
    );
    let mut transaction = None;
    if tx.engine() == Engine::Postgres {
        let head = format!("{FORM} {:016x}", subject.0);
        transaction = statement!(tx, "invalidations.publish", SQL, |sql, link| {
            query_scalar::<_, i64>(sql)
                .bind(CHANNEL)
                .bind(&head)
                .fetch_optional(link)
        })?;
    }
    changing.subjects.push((subject, transaction));
    Ok(())
}

/// Moves a subject's generation on when it is dropped: after the commit, also when the outcome is unknown or nobody waits.
#[derive(Debug)]
pub(super) struct Changing {
    generations: Arc<Generations>,
    subjects: Vec<(Subject, Option<i64>)>,
}

impl Drop for Changing {
    fn drop(&mut self) {
        for (subject, transaction) in &self.subjects {
            match transaction {
                Some(transaction) => self.generations.changed(*subject, *transaction),
                None => self.generations.advance(*subject),
            }
            instruments::cache::invalidated("process", "entry");
        }
    }
}

/// How far a reading of the database saw: every transaction below this one had ended, and is in what was read if it
/// committed. Always 0 on SQLite.
pub type Horizon = i64;

/// A user as far as access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the user may do.
    pub role: Role,
    /// Whether the account was disabled.
    pub disabled: bool,
}

/// A key as far as access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGrant {
    /// Whose it is.
    pub user_id: Uuid,
    /// Which it is.
    pub key_id: Uuid,
    /// What it may do.
    pub scope: Scope,
    /// When it stops working.
    pub expires_at: Option<jiff::Timestamp>,
}

#[derive(FromRow)]
struct StandingRow {
    role: Role,
    disabled_at: Option<Timestamp>,
    horizon: i64,
}

#[derive(FromRow)]
struct GrantRow {
    user_id: Uuid,
    id: Uuid,
    scope: Scope,
    expires_at: Option<Timestamp>,
    horizon: i64,
}

impl Store {
    /// What moves on with every change that this process makes or hears of.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.inner.generations
    }

    /// To be held over a transaction that changes what copies are kept of.
    pub(super) fn changing(&self) -> Changing {
        Changing {
            generations: Arc::clone(&self.inner.generations),
            subjects: Vec::new(),
        }
    }

    /// A user's standing, and how far it was seen. Never to be read from a standby: what it lags behind by is not told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(&self, id: Uuid) -> Result<Option<(Standing, Horizon)>, Error> {
        const SQL: Sql = Sql::each(
            "SELECT role, disabled_at, CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS horizon \
             FROM users WHERE id = $1",
            "SELECT role, disabled_at, 0 AS horizon FROM users WHERE id = $1",
        );
        let row = reading!(self, |session| {
            statement!(session, "users.standing", SQL, |sql, link| {
                query_as::<_, StandingRow>(sql)
                    .bind(id)
                    .fetch_optional(link)
            })
        })?;
        Ok(row.map(|row| {
            let standing = Standing {
                role: row.role,
                disabled: row.disabled_at.is_some(),
            };
            (standing, row.horizon)
        }))
    }

    /// What the key with this hash is good for, and how far it was seen; none if it was revoked. Never to be read from a
    /// standby.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_grant(&self, hash: &[u8]) -> Result<Option<(KeyGrant, Horizon)>, Error> {
        const SQL: Sql = Sql::each(
            "SELECT user_id, id, scope, expires_at, \
             CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS horizon \
             FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL",
            "SELECT user_id, id, scope, expires_at, 0 AS horizon FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL",
        );
        let row = reading!(self, |session| {
            statement!(session, "api_keys.by_hash", SQL, |sql, link| {
                query_as::<_, GrantRow>(sql).bind(hash).fetch_optional(link)
            })
        })?;
        Ok(row.map(|row| {
            let grant = KeyGrant {
                user_id: row.user_id,
                key_id: row.id,
                scope: row.scope,
                expires_at: row.expires_at.map(|at| at.0),
            };
            (grant, row.horizon)
        }))
    }

    /// Says something on a channel, by the way that writes take: whoever listens by another hears whether both lead to the
    /// same database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn say(&self, channel: &str, word: &str) -> Result<(), Error> {
        const SQL: Sql = Sql::each("SELECT pg_notify($1, $2)", "SELECT 1 WHERE $1 = $2");
        transaction!(self, "invalidations.say", |tx| {
            statement!(tx, "invalidations.say", SQL, |sql, link| {
                query(sql).bind(channel).bind(word).execute(link)
            })
        })
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_as_it_is_written_and_any_other_is_no_surprise() {
        let subject = Subject::user(Uuid::from_u128(0xfeed));
        let payload = format!("{FORM} {:016x} 42", subject.0);
        assert_eq!(Heard::parse(&payload), Heard::Changed(subject, 42));
        for other in [
            "",
            "1",
            "2 000000000000feed 42",
            "1 x 42",
            "1 00 y",
            "1 00 4 5",
        ] {
            assert_eq!(Heard::parse(other), Heard::Unreadable, "{other}");
        }
    }
}
