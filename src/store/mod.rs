//! All SQL. One file per aggregate; `engine` is how a statement is run, `writer` how SQLite writes.

mod answers;
mod api_keys;
mod attachments;
mod avatars;
mod backups;
mod batch;
mod changes;
mod columns;
mod connections;
mod copy;
mod database_clock;
mod deliveries;
mod engine;
mod error;
mod event_find;
mod event_going_on;
mod event_list;
mod event_marks;
mod event_row;
mod event_search;
mod event_view;
mod events;
mod files;
mod gate;
mod generations;
mod idempotency;
mod inbox;
mod invalidation;
mod leases;
mod link;
mod listening;
mod migrate;
mod notifications;
mod one_value;
mod open;
mod operations;
mod participants;
mod pg_transaction;
mod place;
mod replica;
mod retry;
mod seating;
mod sessions;
mod snapshot;
mod users;
mod writer;
mod writes;
mod writes_rows;
mod writes_text;
mod zones;

use std::{sync::Arc, time::Duration};

use sqlx::SqlitePool;

pub use self::{
    answers::{Answer, Answered},
    api_keys::NewApiKey,
    attachments::NewAttachment,
    backups::{BackupFile, BackupRun, BackupState},
    columns::Timestamp,
    copy::{
        COLUMNS_LEFT_OUT, Checksum, CopiedTable, CopyError, CopyOptions, CopyReport, CopyStep,
        TABLES_LEFT_OUT, copy, source_schema,
    },
    deliveries::{Delivery, QueueState, RetryPolicy},
    engine::{Engine, Session},
    error::{Error, Refusal, Transient},
    event_list::{EventKey, EventQuery, Sort},
    generations::{Generations, Subject},
    idempotency::{Receipt, Reservation, Ticket},
    invalidation::{Heard, Horizon, KeyGrant, Standing},
    leases::LeaseEnd,
    listening::{Beginning, Listener, Word},
    migrate::{SchemaVersion, newest_schema},
    notifications::Notification,
    open::{Settings, chain},
    operations::OPERATIONS,
    participants::{Invitation, Invitee},
    replica::{FALLBACKS, Seen as ReplicaSeen, TARGETS},
    sessions::Refreshed,
    snapshot::{Aside, FileRow, Shared},
    users::{Credentials, NewUser},
};
use self::{gate::Gate, replica::Replica, retry::Retry, writer::Writer};
use crate::{domain::clock::Clock, telemetry::instruments};

/// The pool's name in metrics.
pub const POOL: &str = "main";
/// How long a sign of life waits for a connection before it is asked for beside the pool.
const BUSY: Duration = Duration::from_millis(400);
/// That of the read replica's.
pub const READ_POOL: &str = "read";

enum Pools {
    Postgres(Gate),
    Sqlite { readers: SqlitePool, writer: Writer },
}

struct Inner {
    pools: Pools,
    replica: Option<Replica>,
    settings: Settings,
    clock: Clock,
    /// Told after each commit that may have left a delivery.
    outbox: tokio::sync::Notify,
    generations: Arc<Generations>,
    lookups: event_find::Queues,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.lookups.close();
    }
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("engine", &self.engine())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store and waits for its database. `spawn` runs the tasks that serve it: those that answer look-ups, and the one
    /// that commits SQLite's batches.
    ///
    /// # Errors
    /// When the database cannot be reached within [`Settings::startup_timeout`], or the URL is not understood.
    pub async fn open(
        settings: Settings,
        clock: Clock,
        spawn: impl Fn(futures_util::future::BoxFuture<'static, ()>),
    ) -> Result<Self, Error> {
        let mut replica = None;
        let pools = if settings.is_sqlite() {
            let file = settings.sqlite_file()?;
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|failure| Error::Unavailable(failure.into()))?;
            }
            // The writer first: it makes the file and sets the journal's mode.
            let writer = Writer::new(open::sqlite_writer(&settings).await?);
            spawn(Box::pin(writer.clone().run_committer()));
            Pools::Sqlite {
                readers: open::sqlite_readers(&settings)?,
                writer,
            }
        } else {
            let gate = Gate::open(&settings, settings.postgres()?, settings.min_connections);
            // Beside the pool, which would not say what is wrong.
            open::wait(settings.startup_timeout, || gate.probe()).await?;
            let watched = gate.clone();
            replica = settings
                .replica()?
                .map(|options| Replica::open(&settings, options));
            let asked = replica.as_ref().map(|replica| replica.gate.clone());
            spawn(Box::pin(async move {
                let second = async {
                    match asked {
                        Some(gate) => gate.watch().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::join!(watched.watch(), second);
            }));
            Pools::Postgres(gate)
        };
        let inner = Inner {
            pools,
            replica,
            settings,
            clock,
            outbox: tokio::sync::Notify::new(),
            generations: Arc::default(),
            lookups: event_find::Queues::default(),
        };
        let store = Self {
            inner: Arc::new(inner),
        };
        for queue in store.inner.lookups.lanes() {
            spawn(Box::pin(queue.serve(Arc::downgrade(&store.inner))));
        }
        store.ping().await?;
        Ok(store)
    }

    /// Which engine is open.
    pub fn engine(&self) -> Engine {
        match self.inner.pools {
            Pools::Postgres(_) => Engine::Postgres,
            Pools::Sqlite { .. } => Engine::Sqlite,
        }
    }

    /// The store's clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Wakes whoever waits for deliveries.
    pub fn wake_outbox(&self) {
        self.inner.outbox.notify_one();
    }

    /// Waits until a commit may have left a delivery.
    pub async fn outbox_woken(&self) {
        self.inner.outbox.notified().await;
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut asking = std::pin::pin!(self.ask_for_life());
        match (
            &self.inner.pools,
            tokio::time::timeout(BUSY, &mut asking).await,
        ) {
            (_, Ok(answer)) => answer,
            // All connections may be waiting for a lock: whether the server answers is another question, asked beside them.
            (Pools::Postgres(gate), Err(_)) if gate.is_busy() => gate.answers().await,
            (_, Err(_)) => asking.await,
        }
    }

    /// Whether every connection is in use.
    pub fn is_busy(&self) -> bool {
        matches!(&self.inner.pools, Pools::Postgres(gate) if gate.is_busy())
    }

    async fn ask_for_life(&self) -> Result<(), Error> {
        let mut session = self.acquire().await?;
        let sql = engine::Sql::same("SELECT 1");
        engine::statement!(&mut session, "ping", sql, |sql, link| sqlx::query(sql)
            .execute(link))
        .map(drop)
    }

    /// Finishes what was begun and closes every connection.
    pub async fn close(&self) {
        match &self.inner.pools {
            Pools::Postgres(gate) => {
                gate.pool().close().await;
                if let Some(replica) = &self.inner.replica {
                    replica.gate.pool().close().await;
                }
            }
            Pools::Sqlite { readers, writer } => {
                readers.close().await;
                if let Err(failure) = writer.close().await {
                    tracing::warn!(error = %failure, "the write-ahead log could not be folded in; nothing is lost");
                }
            }
        }
    }

    /// Sets the gauges of the pool.
    pub fn observe_pool(&self) {
        let (size, idle) = match &self.inner.pools {
            Pools::Postgres(gate) => (gate.pool().size(), gate.pool().num_idle()),
            Pools::Sqlite { readers, .. } => (readers.size(), readers.num_idle()),
        };
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        let max = self.inner.settings.max_connections;
        instruments::database::pool(POOL, idle, size.saturating_sub(idle), max);
        if let Some(replica) = &self.inner.replica {
            replica.observe_pool(max);
        }
    }

    /// Whether there is a replica for lists.
    pub fn has_replica(&self) -> bool {
        self.inner.replica.is_some()
    }

    fn retry(&self) -> Retry<'_> {
        Retry::new(self, self.inner.settings.attempts)
    }

    /// Somebody met a dead connection.
    fn suspect(&self) {
        if let Pools::Postgres(gate) = &self.inner.pools {
            gate.suspect();
        }
    }
}

/// What is told of a due time that a table gives as an instant: how long from now.
fn until(now: jiff::Timestamp, due: jiff::Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
}
