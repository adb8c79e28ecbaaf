//! The way to PostgreSQL's pool: a fair queue while the server answers, and a quick refusal while it does not.
//!
//! The pool cannot tell waiting for a busy connection, which is worth some patience, from waiting for a server that is gone,
//! which only piles up requests. So when an operation meets a dead connection, or waits in vain, a watchdog tries to connect
//! beside the pool; while it cannot, everybody is told at once, those who wait included.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgConnectOptions,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    Settings,
    error::{Error, Transient, transient},
    open,
};

/// Time for the watchdog to connect.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between its attempts while the server is down.
const PROBE_PAUSE: Duration = Duration::from_millis(200);

/// A connection and its place in the queue.
#[derive(Debug)]
pub struct Place {
    pub(super) connection: PoolConnection<Postgres>,
    pub(super) entry: Entry,
}

/// A place in the queue, held for as long as a connection is used.
#[derive(Debug)]
pub(super) struct Entry {
    _permit: OwnedSemaphorePermit,
    /// Statements may stay prepared on the connection.
    pub(super) prepared: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Gate {
    pool: PgPool,
    options: Arc<PgConnectOptions>,
    places: Arc<Semaphore>,
    patience: Duration,
    prepared: bool,
    down: Arc<watch::Sender<bool>>,
    suspicion: Arc<Notify>,
}

impl Gate {
    fn new(
        pool: PgPool,
        options: PgConnectOptions,
        places: u32,
        patience: Duration,
        prepared: bool,
    ) -> Self {
        Self {
            pool,
            options: Arc::new(options),
            places: Arc::new(Semaphore::new(places as usize)),
            patience,
            prepared,
            down: Arc::new(watch::Sender::new(false)),
            suspicion: Arc::new(Notify::new()),
        }
    }

    /// A gate before a pool of its own; nothing is connected yet.
    pub(super) fn open(settings: &Settings, options: PgConnectOptions, min: u32) -> Self {
        let pool = open::postgres(settings, options.clone(), min);
        let (places, patience) = (settings.max_connections, settings.acquire_timeout);
        Self::new(pool, options, places, patience, !settings.pooled)
    }

    /// The same gate for those who do not wait long.
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection, if one is idle and nobody waits.
    pub(super) fn try_enter(&self) -> Option<Place> {
        if *self.down.borrow() {
            return None;
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(self.place(self.pool.try_acquire()?, permit))
    }

    /// Whether every place is taken.
    pub(super) fn is_busy(&self) -> bool {
        self.places.available_permits() == 0
    }

    fn place(&self, connection: PoolConnection<Postgres>, permit: OwnedSemaphorePermit) -> Place {
        let prepared = self.prepared;
        let entry = Entry {
            _permit: permit,
            prepared,
        };
        Place { connection, entry }
    }

    /// A connection.
    pub(super) async fn enter(&self) -> Result<Place, Error> {
        let mut watching = self.down.subscribe();
        let entered = timeout(self.patience, async {
            let permit = Arc::clone(&self.places).acquire_owned().await;
            let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
            Ok(self.place(self.pool.acquire().await?, permit))
        });
        let entered = tokio::select! {
            biased;
            _ = watching.wait_for(|down| *down) => return Err(refusal()),
            entered = entered => entered.unwrap_or(Err(sqlx::Error::PoolTimedOut)),
        };
        entered.map_err(|failure| {
            self.suspect();
            failure.into()
        })
    }

    /// Somebody met a dead connection, or waited in vain: the watchdog looks.
    pub(super) fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// Connects to the server, beside the pool.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        let connected = timeout(PROBE_TIMEOUT, PgConnection::connect_with(&self.options)).await;
        let connection =
            connected.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??;
        // It answers; whether it also says good-bye does not matter.
        drop(connection.close().await);
        Ok(())
    }

    /// Whether the server can be reached. One that refuses the probe in words (it has no connection to spare, say) is up.
    pub(super) async fn answers(&self) -> Result<(), Error> {
        match self.probe().await {
            Err(Error::Unavailable(failure))
                if transient(&failure) == Some(Transient::ConnectionLost) =>
            {
                Err(failure.into())
            }
            _ => Ok(()),
        }
    }

    /// Looks when somebody suspects that the server is down, for as long as the store is open.
    pub(super) async fn watch(self) {
        loop {
            self.suspicion.notified().await;
            while self.answers().await.is_err() {
                self.down.send_replace(true);
                sleep(PROBE_PAUSE).await;
            }
            self.down.send_replace(false);
        }
    }
}

fn refusal() -> Error {
    let cause = std::io::Error::new(
        std::io::ErrorKind::NotConnected,
        "the server does not answer",
    );
    Error::Unavailable(sqlx::Error::Io(cause))
}
