//! Connections for those who read, turns and transactions for those who write, and how long they were waited for.

use std::time::Duration;

use uuid::Uuid;

use super::{
    POOL, Pools, Store,
    engine::{self, Engine, Session},
    error::Error,
    gate::Place,
    open::Access,
    pg_transaction::PgTransaction,
};
use crate::telemetry::{
    instruments,
    recording::{self, StepKind},
    scope,
};

/// A wait for a connection that is long enough to be told of in a trace.
const WORTH_SHOWING: Duration = Duration::from_micros(200);

impl Store {
    pub(super) async fn timed<T>(
        &self,
        pool: &'static str,
        wait: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let waiting = instruments::database::waiting(pool);
        let doing = scope::doing("connection");
        let open = recording::Open::start(StepKind::Wait, "connection");
        let result = wait.await;
        drop((waiting, doing));
        let waited = open.close();
        if let Err(failure) = &result {
            let engine = self.engine();
            instruments::database::failed(engine.as_str(), failure.error_type(engine));
        }
        if matches!(result, Err(Error::Unavailable(sqlx::Error::PoolTimedOut))) {
            instruments::database::wait_timed_out(pool);
        }
        note_wait(pool, waited, result.is_err().then_some("refused"));
        result
    }

    /// A connection to read, without waiting.
    fn idle(&self) -> Option<Session> {
        let session = match &self.inner.pools {
            Pools::Postgres(gate) => Session::PostgresRead(gate.try_enter()?),
            Pools::Sqlite { readers, .. } => Session::SqliteRead(readers.try_acquire()?),
        };
        note_wait(POOL, Duration::ZERO, None);
        Some(session)
    }

    async fn wait_for_connection(&self) -> Result<Session, Error> {
        let session = async {
            Ok(match &self.inner.pools {
                Pools::Postgres(gate) => Session::PostgresRead(gate.enter().await?),
                Pools::Sqlite { readers, .. } => Session::SqliteRead(readers.acquire().await?),
            })
        };
        self.timed(POOL, session).await
    }

    pub(super) async fn acquire(&self) -> Result<Session, Error> {
        let session = match self.idle() {
            Some(session) => session,
            // Thousands of bytes, which would be moved with each future around them.
            None => Box::pin(self.wait_for_connection()).await?,
        };
        match session {
            // A statement is sent in two steps, and between transactions a pooler may give each to another server.
            Session::PostgresRead(place) if !place.entry.prepared => {
                Box::pin(self.open_on(place, Access::Read, "read", None)).await
            }
            session => Ok(session),
        }
    }

    /// Begins a transaction.
    pub(super) async fn open_on(
        &self,
        place: Place,
        access: Access,
        name: &'static str,
        event: Option<Uuid>,
    ) -> Result<Session, Error> {
        let timing = match event {
            None => engine::Timing::start(Engine::Postgres, "BEGIN", name),
            Some(_) => engine::Timing::start(Engine::Postgres, "events.begin_locked", name),
        };
        let opening = self
            .inner
            .settings
            .opening(access, place.entry.prepared, event);
        let begun = PgTransaction::begin(place, opening).await;
        Ok(Session::PostgresWrite(timing.finish(begun)?))
    }

    /// Begins a transaction, with this event locked.
    pub(super) async fn begin(
        &self,
        name: &'static str,
        event: Option<Uuid>,
    ) -> Result<Session, Error> {
        match &self.inner.pools {
            Pools::Postgres(gate) => {
                let place = if let Some(place) = gate.try_enter() {
                    note_wait(POOL, Duration::ZERO, None);
                    place
                } else {
                    Box::pin(self.timed(POOL, gate.enter())).await?
                };
                self.open_on(place, Access::Write, name, event).await
            }
            Pools::Sqlite { writer, .. } => {
                let turn = Box::pin(self.timed(POOL, writer.turn()));
                Ok(Session::SqliteWrite(turn.await?))
            }
        }
    }
}

/// Notes how long an operation waited for a connection or for the writer, and how that failed, if it did.
pub(super) fn note_wait(pool: &'static str, waited: Duration, failed: Option<&'static str>) {
    instruments::database::waited(pool, waited);
    // At once is no wait, and would only hide what matters.
    if waited > WORTH_SHOWING || failed.is_some() {
        recording::step(StepKind::Wait, "connection", waited, None, failed);
    }
}
