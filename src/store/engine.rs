//! The two engines behind one face: sessions, and the one way to run a named statement.
//!
//! Each statement is written once and compiled for both engines by [`statement!`], which also gives it its span, its timer
//! and its error count. [`reading!`] and [`transaction!`] run a body in a session and try it again where that is safe. They
//! are macros because an async closure that borrows cannot be shown to be `Send` (rust-lang/rust#110338); a boxed future per
//! statement was the alternative.

use std::time::Duration;

use sqlx::{
    Sqlite, SqliteConnection, pool::PoolConnection, postgres::PgQueryResult,
    sqlite::SqliteQueryResult,
};

use super::{
    error::{self, Error},
    gate::Place,
    link::PostgresLink,
    pg_transaction::PgTransaction,
    writer::Turn,
};
use crate::telemetry::{
    instruments, off,
    recording::{self, StepKind},
    scope, traces,
};

/// Which database is behind the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A PostgreSQL server.
    Postgres,
    /// A SQLite file.
    Sqlite,
}

impl Engine {
    /// `db.system.name` of the OpenTelemetry conventions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }
}

/// A statement's text for each engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sql {
    /// For PostgreSQL.
    pub(super) postgres: &'static str,
    /// For SQLite.
    pub(super) sqlite: &'static str,
}

impl Sql {
    /// One text for both engines, as it should be.
    pub(super) const fn same(text: &'static str) -> Self {
        Self {
            postgres: text,
            sqlite: text,
        }
    }

    /// A text for each, where they really differ.
    pub(super) const fn each(postgres: &'static str, sqlite: &'static str) -> Self {
        Self { postgres, sqlite }
    }

    pub(super) fn on(self, engine: Engine) -> &'static str {
        match engine {
            Engine::Postgres => self.postgres,
            Engine::Sqlite => self.sqlite,
        }
    }
}

/// A connection in use: to read, or in a transaction to write.
#[derive(Debug)]
pub enum Session {
    /// On PostgreSQL outside a transaction: to read, or to write by one statement.
    PostgresRead(Place),
    /// A transaction on PostgreSQL.
    PostgresWrite(PgTransaction),
    /// Reading from SQLite.
    SqliteRead(PoolConnection<Sqlite>),
    /// A turn of SQLite's one writer.
    SqliteWrite(Turn),
}

/// The connection of a [`Session`].
#[derive(Debug)]
pub(super) enum Link<'a> {
    Postgres(PostgresLink<'a>),
    Sqlite(&'a mut SqliteConnection),
}

impl Session {
    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::PostgresRead(_) | Self::PostgresWrite(_) => Engine::Postgres,
            Self::SqliteRead(_) | Self::SqliteWrite(_) => Engine::Sqlite,
        }
    }

    pub(super) fn link(&mut self) -> Link<'_> {
        match self {
            Self::PostgresRead(place) => {
                Link::Postgres(PostgresLink::new(&mut place.connection, &place.entry))
            }
            Self::PostgresWrite(transaction) => {
                let (connection, entry) = transaction.parts();
                Link::Postgres(PostgresLink::new(connection, entry))
            }
            Self::SqliteRead(connection) => Link::Sqlite(connection),
            Self::SqliteWrite(turn) => Link::Sqlite(turn.connection()),
        }
    }

    /// Makes the transaction's writes durable.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] when the connection was lost meanwhile; any other error means that nothing was written.
    pub(super) async fn commit(self, name: &'static str) -> Result<(), Error> {
        let timing = Timing::start(self.engine(), "COMMIT", name);
        match self {
            Self::PostgresWrite(transaction) => {
                let result = timing.finish(transaction.commit().await);
                result.map_err(|failure| match error::transient(&failure) {
                    Some(error::Transient::ConnectionLost) => Error::OutcomeUnknown(failure),
                    _ => failure.into(),
                })
            }
            Self::SqliteWrite(turn) => {
                let result = turn.commit().await;
                let failure = result.as_ref().err();
                timing.observe(failure.map(|one| one.error_type(Engine::Sqlite)), None);
                result
            }
            Self::PostgresRead(_) | Self::SqliteRead(_) => Ok(()),
        }
    }

    /// Undoes the transaction's writes. A failure to do so is the same as success: the engine rolls back by itself.
    pub(super) async fn roll_back(self) {
        match self {
            Self::PostgresWrite(transaction) => transaction.roll_back().await,
            // Undone by whoever is next.
            Self::SqliteWrite(turn) => drop(turn),
            Self::PostgresRead(_) | Self::SqliteRead(_) => {}
        }
    }
}

/// What a statement came to, in a form that is the same for both engines.
pub(super) trait Outcome {
    type Value;
    fn rows(&self) -> u64;
    fn value(self) -> Self::Value;
}

impl<T> Outcome for Vec<T> {
    type Value = Self;
    fn rows(&self) -> u64 {
        self.len() as u64
    }
    fn value(self) -> Self {
        self
    }
}

impl<T> Outcome for Option<T> {
    type Value = Self;
    fn rows(&self) -> u64 {
        u64::from(self.is_some())
    }
    fn value(self) -> Self {
        self
    }
}

impl Outcome for PgQueryResult {
    type Value = u64;
    fn rows(&self) -> u64 {
        self.rows_affected()
    }
    fn value(self) -> u64 {
        self.rows_affected()
    }
}

impl Outcome for SqliteQueryResult {
    type Value = u64;
    fn rows(&self) -> u64 {
        self.rows_affected()
    }
    fn value(self) -> u64 {
        self.rows_affected()
    }
}

/// The span and the timer of one statement.
pub(super) struct Timing {
    engine: Engine,
    name: &'static str,
    step: recording::Open,
    pub(super) span: tracing::Span,
    _doing: scope::Doing,
}

impl Timing {
    pub(super) fn start(engine: Engine, name: &'static str, text: &'static str) -> Self {
        let span = traces::database_span(engine.as_str(), name, text);
        let step = recording::Open::start(StepKind::Database, name);
        Self {
            engine,
            name,
            _doing: scope::doing_since(name, step.started()),
            step,
            span,
        }
    }

    pub(super) fn observe(&self, error_type: Option<&'static str>, rows: Option<u64>) {
        let elapsed = self.step.close();
        if off::is_off() {
            return;
        }
        let system = self.engine.as_str();
        instruments::database::operation(system, self.name, error_type, elapsed, &self.span);
        scope::record_database(elapsed);
        recording::step(StepKind::Database, self.name, elapsed, rows, error_type);
        if let Some(rows) = rows {
            self.span.record("db.response.returned_rows", rows);
        }
        if error_type.is_some() {
            traces::failed_in(&self.span, error_type);
        }
    }

    /// Notes what a batch did for one operation: run its statements, and commit them.
    pub(super) fn observe_batched(
        &self,
        error_type: Option<&'static str>,
        ran: Duration,
        committed: Option<Duration>,
    ) {
        self.step.close();
        if off::is_off() {
            return;
        }
        let system = self.engine.as_str();
        let note = |name, elapsed, error_type| {
            instruments::database::operation(system, name, error_type, elapsed, &self.span);
            scope::record_database(elapsed);
            recording::step(StepKind::Database, name, elapsed, None, error_type);
        };
        let rolled_back = error_type.filter(|_| committed.is_some());
        note(self.name, ran, error_type.filter(|_| committed.is_none()));
        if let Some(committed) = committed {
            note("COMMIT", committed, rolled_back);
        }
        if error_type.is_some() {
            traces::failed_in(&self.span, error_type);
        }
    }

    pub(super) fn finish<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.close(result, |_| None)
    }

    fn close<T>(
        &self,
        result: Result<T, sqlx::Error>,
        rows: impl FnOnce(&T) -> Option<u64>,
    ) -> Result<T, sqlx::Error> {
        match &result {
            Ok(value) => self.observe(None, rows(value)),
            Err(failure) => self.observe(Some(error::error_type(self.engine, failure)), None),
        }
        result
    }

    pub(super) fn settle<T: Outcome>(
        &self,
        result: Result<T, sqlx::Error>,
    ) -> Result<T::Value, Error> {
        Ok(self.close(result, |value| Some(value.rows()))?.value())
    }
}

/// Runs a named statement on whichever engine is open: `statement!(session, "events.find", SQL, |sql, link| …)`.
/// The body makes a future of a `sqlx::Result`: rows, perhaps a row, or the result of an execution, which comes out as the
/// number of rows affected. It is compiled once for each engine.
macro_rules! statement {
    ($session:expr, $name:expr, $sql:expr, |$text:ident, $link:ident| $body:expr) => {{
        let session: &mut $crate::store::engine::Session = $session;
        let engine = session.engine();
        let $text: &'static str = $sql.on(engine);
        let timing = $crate::store::engine::Timing::start(engine, $name, $text);
        match session.link() {
            $crate::store::engine::Link::Postgres($link) => timing.settle($body.await),
            $crate::store::engine::Link::Sqlite($link) => timing.settle($body.await),
        }
    }};
}
pub(crate) use statement;

/// Runs a body that only reads, again if the connection turns out to be dead: `reading!(store, |session| { … })`.
macro_rules! reading {
    ($store:expr, |$session:ident| $body:expr) => {{
        let store: &$crate::store::Store = $store;
        let mut retry = store.retry();
        loop {
            let outcome: Result<_, $crate::store::error::Error> = match store.acquire().await {
                Ok(mut session) => {
                    let $session = &mut session;
                    async { $body }.await
                }
                Err(failure) => Err(failure),
            };
            match outcome {
                Err(failure) if retry.again(&failure).await => {}
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use reading;

/// Runs a body in a transaction and commits it, again where that is safe: `transaction!(store, "events.create", |tx| { … })`.
/// An error from the body rolls back. `locking Some(id)` also locks the event, in the same round trip. This is the one door for
/// writes that read first.
macro_rules! transaction {
    ($store:expr, $name:literal, |$session:ident| $body:expr) => {
        $crate::store::engine::transaction!($store, $name, locking None, |$session| $body)
    };
    ($store:expr, $name:literal, locking $event:expr, |$session:ident| $body:expr) => {{
        let store: &$crate::store::Store = $store;
        let mut retry = store.retry();
        loop {
            let outcome: Result<_, $crate::store::error::Error> = match store.begin($name, $event).await {
                Ok(mut session) => {
                    let result: Result<_, $crate::store::error::Error> = {
                        let $session = &mut session;
                        async { $body }.await
                    };
                    match result {
                        Ok(value) => session.commit($name).await.map(|()| value),
                        Err(failure) => {
                            session.roll_back().await;
                            Err(failure)
                        }
                    }
                }
                Err(failure) => Err(failure),
            };
            match outcome {
                Err(failure) if retry.again(&failure).await => {}
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use transaction;
