//! Named leases, by which one of several replicas runs a job. The database's clock decides, so that replicas whose own
//! clocks differ agree.

use std::time::Duration;

use sqlx::query;
use uuid::Uuid;

use super::{
    Store,
    engine::{Sql, statement, transaction},
    error::Error,
};

/// The database's time now: microseconds since 1970 on SQLite.
macro_rules! now {
    (postgres) => {
        "clock_timestamp()"
    };
    (sqlite) => {
        "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)"
    };
}

/// A number of microseconds as what is added to an instant.
macro_rules! span {
    (postgres, $place:literal) => {
        concat!($place, " * interval '1 microsecond'")
    };
    (sqlite, $place:literal) => {
        $place
    };
}

/// What became of the job of a lease that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEnd {
    /// It was done: not due again for its period, counted from when the lease was taken.
    Done,
    /// It was not: nobody takes the lease for this long.
    RetryAfter(Duration),
}

impl Store {
    /// Takes the lease of a job for `hold`, unless somebody else has it or the job was done less than `period` ago.
    /// `holder` is made anew for each run: a process whose lease was taken over must not take the new one for its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: Uuid,
        hold: Duration,
        period: Duration,
    ) -> Result<bool, Error> {
        macro_rules! text {
            ($engine:ident) => {
                concat!(
                    "INSERT INTO leases (name, holder, taken_at, expires_at) VALUES ($1, $2, ",
                    now!($engine),
                    ", ",
                    now!($engine),
                    " + ",
                    span!($engine, "$3"),
                    ") ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, taken_at = excluded.taken_at, \
                     expires_at = excluded.expires_at WHERE leases.expires_at <= ",
                    now!($engine),
                    " AND (leases.done_at IS NULL OR leases.done_at <= ",
                    now!($engine),
                    " - ",
                    span!($engine, "$4"),
                    ")"
                )
            };
        }
        const SQL: Sql = Sql::each(text!(postgres), text!(sqlite));
        let (hold, period) = (micros(hold), micros(period));
        let taken = transaction!(self, "leases.take", |tx| {
            statement!(tx, "leases.take", SQL, |sql, link| {
                query(sql)
                    .bind(name)
                    .bind(holder)
                    .bind(hold)
                    .bind(period)
                    .execute(link)
            })
        })?;
        Ok(taken > 0)
    }

    /// Holds a lease for `hold` more from now; `false` when it ran out or somebody else has it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_lease(
        &self,
        name: &str,
        holder: Uuid,
        hold: Duration,
    ) -> Result<bool, Error> {
        macro_rules! text {
            ($engine:ident) => {
                concat!(
                    "UPDATE leases SET expires_at = ",
                    now!($engine),
                    " + ",
                    span!($engine, "$3"),
                    " WHERE name = $1 AND holder = $2 AND expires_at > ",
                    now!($engine)
                )
            };
        }
        const SQL: Sql = Sql::each(text!(postgres), text!(sqlite));
        let hold = micros(hold);
        let renewed = transaction!(self, "leases.renew", |tx| {
            statement!(tx, "leases.renew", SQL, |sql, link| {
                query(sql).bind(name).bind(holder).bind(hold).execute(link)
            })
        })?;
        Ok(renewed > 0)
    }

    /// Gives a lease back; nothing happens when somebody else has it by now.
    ///
    /// # Errors
    /// When the database fails; the lease then runs out by itself.
    pub async fn give_back_lease(
        &self,
        name: &str,
        holder: Uuid,
        end: LeaseEnd,
    ) -> Result<(), Error> {
        macro_rules! text {
            ($engine:ident) => {
                concat!(
                    "UPDATE leases SET expires_at = ",
                    now!($engine),
                    " + ",
                    span!($engine, "$3"),
                    ", done_at = CASE WHEN $4 THEN taken_at ELSE done_at END WHERE name = $1 AND holder = $2"
                )
            };
        }
        const SQL: Sql = Sql::each(text!(postgres), text!(sqlite));
        let (wait, done) = match end {
            LeaseEnd::Done => (0, true),
            LeaseEnd::RetryAfter(wait) => (micros(wait), false),
        };
        transaction!(self, "leases.give_back", |tx| {
            statement!(tx, "leases.give_back", SQL, |sql, link| {
                query(sql)
                    .bind(name)
                    .bind(holder)
                    .bind(wait)
                    .bind(done)
                    .execute(link)
            })
        })
        .map(drop)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}
