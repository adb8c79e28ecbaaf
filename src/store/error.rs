//! What can go wrong in the store. Knows nothing of HTTP.

use std::sync::Arc;

use super::engine::Engine;
use crate::{domain::fault::Fault, telemetry::instruments::error_types};

/// A rule of the domain that forbids a write in the present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another account has this address.
    EmailTaken,
    /// No seat is free and the event keeps no waiting list.
    CapacityExceeded,
    /// More seats are held than the new capacity has.
    CapacityBelowSeats,
    /// The event was called off.
    EventCancelled,
    /// The person already takes part.
    AlreadyParticipant,
    /// The caller has as many keys as anyone may have.
    TooManyKeys,
    /// The event has as many files as it may have.
    TooManyAttachments,
    /// The files of the event, or those of the caller, would come to more than they may.
    QuotaExceeded,
}

/// An operation that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown, or not visible to the caller.
    #[error("not found")]
    NotFound,
    /// Visible, but not the caller's to change.
    #[error("forbidden")]
    Forbidden,
    /// The stored state is not one that the writer expected.
    #[error("stale")]
    Stale,
    /// A rule of the domain forbids it now.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The input does not fit what is stored; every fault is named.
    #[error("invalid")]
    Invalid(Vec<Fault>),
    /// The same request was taken over by another attempt.
    #[error("the request's idempotency key was taken over by a later attempt")]
    Superseded,
    /// The database could not be reached, or did not answer in time; nothing was written.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The connection was lost while a commit was under way: it may or may not have happened.
    #[error("the outcome of a commit is unknown")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// A batch of writes was rolled back as a whole; nothing of it was written.
    #[error("the batch was rolled back: {cause}")]
    BatchRolledBack {
        /// What the database said.
        cause: String,
        /// The same as a bounded word.
        error_type: &'static str,
    },
    /// Several look-ups were made at once, and this came of it for all of them.
    #[error(transparent)]
    Together(Arc<Error>),
    /// The database refused a statement; a fault of ours.
    #[error("the database refused a statement")]
    Database(#[source] sqlx::Error),
    /// A row holds something that no writer writes.
    #[error("a stored value cannot be read: {0}")]
    Corrupt(String),
}

/// Why a failure may pass when tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transient {
    /// The connection was lost or could not be made.
    ConnectionLost,
    /// PostgreSQL could not serialise the transaction (SQLSTATE 40001).
    Serialization,
    /// PostgreSQL chose it to resolve a deadlock (SQLSTATE 40P01).
    Deadlock,
    /// SQLite's lock was held by another process for longer than the busy time-out.
    Busy,
}

impl Transient {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::ConnectionLost,
        Self::Serialization,
        Self::Deadlock,
        Self::Busy,
    ];

    /// The reason as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection_lost",
            Self::Serialization => "serialization_failure",
            Self::Deadlock => "deadlock",
            Self::Busy => "busy",
        }
    }
}

/// What the database says of itself: SQLSTATE on PostgreSQL, the primary result code on SQLite.
fn code(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(database) => database.code().map(std::borrow::Cow::into_owned),
        _ => None,
    }
}

/// SQLite's primary result code: the low byte of an extended one.
fn sqlite_primary(error: &sqlx::Error) -> Option<i64> {
    code(error)?
        .parse::<i64>()
        .ok()
        .filter(|_| !is_sqlstate(error))
        .map(|code| code & 0xff)
}

fn is_sqlstate(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code.len() == 5)
}

/// Whether, and why, the failure may pass when tried again.
pub(super) fn transient(error: &sqlx::Error) -> Option<Transient> {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Some(Transient::ConnectionLost),
        sqlx::Error::Database(_) if is_sqlstate(error) => match code(error)?.as_str() {
            "40001" => Some(Transient::Serialization),
            "40P01" => Some(Transient::Deadlock),
            // Shut down, crashed, starting up; class 08 is "connection exception".
            "57P01" | "57P02" | "57P03" => Some(Transient::ConnectionLost),
            code if code.starts_with("08") => Some(Transient::ConnectionLost),
            _ => None,
        },
        // SQLITE_BUSY and SQLITE_LOCKED.
        sqlx::Error::Database(_) => {
            matches!(sqlite_primary(error), Some(5 | 6)).then_some(Transient::Busy)
        }
        _ => None,
    }
}

/// Whether the failure is the database's condition rather than our mistake.
fn is_unavailable(error: &sqlx::Error) -> bool {
    if transient(error).is_some() {
        return true;
    }
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Protocol(_) => true,
        // Cancelled by the statement time-out; out of disk, memory or connections (class 53); read-only (25006).
        sqlx::Error::Database(_) if is_sqlstate(error) => code(error)
            .is_some_and(|code| code == "57014" || code == "25006" || code.starts_with("53")),
        // SQLITE_PERM, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN.
        sqlx::Error::Database(_) => {
            matches!(sqlite_primary(error), Some(3 | 7 | 8 | 9 | 10 | 13 | 14))
        }
        _ => false,
    }
}

/// The `error_type` label of a failed operation: SQLSTATE on PostgreSQL, the result code's name on SQLite, else the kind of
/// failure; always one of a bounded set.
pub(super) fn error_type(engine: Engine, error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Database(_) => {
            error_types::of_code(engine.as_str(), &code(error).unwrap_or_default())
        }
        sqlx::Error::PoolTimedOut => error_types::POOL_TIMEOUT,
        sqlx::Error::Io(_) => error_types::IO,
        _ => "_OTHER",
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            error if is_unavailable(&error) => Self::Unavailable(error),
            error => Self::Database(error),
        }
    }
}

impl Error {
    /// Whether, and why, the whole operation may be tried again without doing anything twice.
    pub fn retry_reason(&self) -> Option<Transient> {
        match self {
            Self::Unavailable(error) => transient(error),
            Self::BatchRolledBack { .. } => Some(Transient::Busy),
            _ => None,
        }
    }

    /// The `error_type` label of this failure; see [`error_type`].
    pub(super) fn error_type(&self, engine: Engine) -> &'static str {
        match self {
            Self::Unavailable(error) | Self::OutcomeUnknown(error) | Self::Database(error) => {
                error_type(engine, error)
            }
            Self::BatchRolledBack { error_type, .. } => error_type,
            Self::Together(failure) => failure.error_type(engine),
            _ => "_OTHER",
        }
    }

    /// Whether the failure is a unique constraint's.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether the failure says something of the service or the database, not of the request.
    pub fn is_failure(&self) -> bool {
        if let Self::Together(failure) = self {
            return failure.is_failure();
        }
        matches!(
            self,
            Self::Unavailable(_)
                | Self::OutcomeUnknown(_)
                | Self::BatchRolledBack { .. }
                | Self::Database(_)
                | Self::Corrupt(_)
        )
    }
}
