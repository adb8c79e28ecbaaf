//! Answers kept for `Idempotency-Key`: reserved before the work, kept in the work's own transaction.

use std::time::Duration;

use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Session, Sql, statement, transaction},
    error::Error,
    writes::Writes,
};
use crate::domain::{clock::later, new_id};

/// The right to do a request's work.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub(super) key_hash: Vec<u8>,
    pub(super) owner: Uuid,
}

impl Ticket {
    /// A ticket for this key, good for nothing until it is reserved.
    pub fn new(key_hash: Vec<u8>) -> Self {
        Self {
            key_hash,
            owner: new_id(),
        }
    }
}

/// What became of a request's key.
#[derive(Debug)]
pub enum Reservation {
    /// Nobody has done the work: it is the ticket's holder's.
    New,
    /// It is done; this was the answer.
    Done(Vec<u8>),
    /// It is being done.
    Running,
    /// The key belongs to a request with another body.
    Mismatch,
}

/// How a write's answer is made and kept, inside the transaction that does the write: either both are durable or neither.
pub struct Receipt<'a, T> {
    ticket: Option<Ticket>,
    render: &'a (dyn Fn(&T) -> Vec<u8> + Send + Sync),
}

impl<T> std::fmt::Debug for Receipt<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

impl<'a, T> Receipt<'a, T> {
    /// A receipt for this ticket; without one nothing is kept.
    pub fn new(ticket: Option<Ticket>, render: &'a (dyn Fn(&T) -> Vec<u8> + Send + Sync)) -> Self {
        Self { ticket, render }
    }

    /// Adds the answer to what is written.
    pub(super) fn add_to(&self, writes: &mut Writes, value: &T) {
        if let Some(ticket) = &self.ticket {
            writes.receipt(ticket.clone(), (self.render)(value));
        }
    }

    pub(super) async fn keep(&self, tx: &mut Session, value: &T) -> Result<(), Error> {
        match &self.ticket {
            Some(ticket) => keep(tx, ticket, &(self.render)(value)).await,
            None => Ok(()),
        }
    }
}

/// A ticket whose time ran out may have been taken over; then its holder's work must not happen.
async fn keep(tx: &mut Session, ticket: &Ticket, answer: &[u8]) -> Result<(), Error> {
    const SQL: Sql = Sql::same(
        "UPDATE idempotency_keys SET answer = $3 WHERE key_hash = $1 AND owner = $2 AND answer IS NULL",
    );
    let kept = statement!(tx, "idempotency_keys.keep", SQL, |sql, link| {
        query(sql)
            .bind(&ticket.key_hash)
            .bind(ticket.owner)
            .bind(answer)
            .execute(link)
    })?;
    if kept == 1 {
        Ok(())
    } else {
        Err(Error::Superseded)
    }
}

#[derive(FromRow)]
struct KeyRow {
    body_hash: Vec<u8>,
    owner: Uuid,
    answer: Option<Vec<u8>>,
    lease_until: Timestamp,
    expires_at: Timestamp,
}

impl Store {
    /// Reserves the ticket's key for `lease`, after which another attempt may take it over; the answer is kept for `ttl`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reserve(
        &self,
        ticket: &Ticket,
        body_hash: &[u8],
        lease: Duration,
        ttl: Duration,
    ) -> Result<Reservation, Error> {
        const INSERT: Sql = Sql::same(
            "INSERT INTO idempotency_keys (key_hash, body_hash, owner, created_at, lease_until, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key_hash) DO NOTHING",
        );
        const FIND: Sql = Sql::same(
            "SELECT body_hash, owner, answer, lease_until, expires_at FROM idempotency_keys WHERE key_hash = $1",
        );
        const TAKE: Sql = Sql::same(
            "UPDATE idempotency_keys SET body_hash = $2, owner = $3, answer = NULL, created_at = $4, lease_until = $5, \
             expires_at = $6 WHERE key_hash = $1 AND owner = $7",
        );
        transaction!(self, "idempotency.reserve", |tx| {
            let now = self.clock().now();
            let (key_hash, owner) = (ticket.key_hash.as_slice(), ticket.owner);
            let (lease_until, expires_at) =
                (Timestamp(later(now, lease)), Timestamp(later(now, ttl)));
            let inserted = statement!(tx, "idempotency_keys.insert", INSERT, |sql, link| {
                query(sql)
                    .bind(key_hash)
                    .bind(body_hash)
                    .bind(owner)
                    .bind(Timestamp(now))
                    .bind(lease_until)
                    .bind(expires_at)
                    .execute(link)
            })?;
            if inserted == 1 {
                return Ok(Reservation::New);
            }
            let found = statement!(tx, "idempotency_keys.find", FIND, |sql, link| {
                query_as::<_, KeyRow>(sql)
                    .bind(key_hash)
                    .fetch_optional(link)
            })?;
            // Released between the two statements: the client may ask again.
            let Some(row) = found else {
                return Ok(Reservation::Running);
            };
            if row.expires_at.0 > now {
                if row.body_hash != body_hash {
                    return Ok(Reservation::Mismatch);
                }
                if let Some(answer) = row.answer {
                    return Ok(Reservation::Done(answer));
                }
                if row.lease_until.0 > now {
                    return Ok(Reservation::Running);
                }
            }
            let taken = statement!(tx, "idempotency_keys.take_over", TAKE, |sql, link| {
                query(sql)
                    .bind(key_hash)
                    .bind(body_hash)
                    .bind(owner)
                    .bind(Timestamp(now))
                    .bind(lease_until)
                    .bind(expires_at)
                    .bind(row.owner)
                    .execute(link)
            })?;
            Ok(if taken == 1 {
                Reservation::New
            } else {
                Reservation::Running
            })
        })
    }

    /// Keeps an answer to a request that wrote nothing.
    ///
    /// # Errors
    /// [`Error::Superseded`] when another attempt has taken the key over.
    pub async fn keep_answer(&self, ticket: &Ticket, answer: &[u8]) -> Result<(), Error> {
        transaction!(self, "idempotency.keep", |tx| keep(tx, ticket, answer)
            .await)
    }

    /// Gives a key back without an answer, unless there is one; returns whether there was anything to give back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release(&self, ticket: &Ticket) -> Result<bool, Error> {
        const SQL: Sql = Sql::same(
            "DELETE FROM idempotency_keys WHERE key_hash = $1 AND owner = $2 AND answer IS NULL",
        );
        transaction!(self, "idempotency.release", |tx| {
            let released = statement!(tx, "idempotency_keys.release", SQL, |sql, link| {
                query(sql)
                    .bind(&ticket.key_hash)
                    .bind(ticket.owner)
                    .execute(link)
            })?;
            Ok(released > 0)
        })
    }

    /// Forgets keys that have expired, at most 1,000 at a time; returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep_idempotency(&self) -> Result<u64, Error> {
        const SQL: Sql = Sql::same(
            "DELETE FROM idempotency_keys WHERE key_hash IN \
             (SELECT key_hash FROM idempotency_keys WHERE expires_at < $1 ORDER BY expires_at LIMIT 1000)",
        );
        transaction!(self, "idempotency.sweep", |tx| {
            let now = Timestamp(self.clock().now());
            statement!(tx, "idempotency_keys.sweep", SQL, |sql, link| query(sql)
                .bind(now)
                .execute(link))
        })
    }
}
