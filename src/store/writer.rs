//! SQLite's one writer: turns in order of arrival, each in its own savepoint, many of them in one commit.
//!
//! A commit with `synchronous=FULL` waits for the disk, so those who queue meanwhile share the next one. The first to finish
//! its turn wakes the committer, which takes its own place in the same fair queue: whoever waited before it joins this batch,
//! whoever comes after it the next. Nobody is answered before the commit. A turn that is dropped half-way (its client went
//! away) leaves its savepoint, which the next holder of the connection undoes.

use std::sync::Arc;

use sqlx::{SqliteConnection, query};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};

use super::engine::Engine;
use super::error::{Error, error_type};
use crate::telemetry::instruments;

/// What became of a turn's batch; a failure is the same for everybody in it.
type Answer = Result<(), Failed>;

#[derive(Clone, Debug)]
struct Failed {
    cause: String,
    error_type: &'static str,
}

impl From<Failed> for Error {
    fn from(Failed { cause, error_type }: Failed) -> Self {
        Self::BatchRolledBack { cause, error_type }
    }
}

impl Failed {
    fn ours(cause: String) -> Self {
        Self {
            cause,
            error_type: "_OTHER",
        }
    }
}

#[derive(Debug)]
struct State {
    connection: SqliteConnection,
    /// A transaction is open.
    open: bool,
    /// A savepoint is open: its turn is under way, or was dropped.
    savepoint: bool,
    /// Turns that are done and wait for the commit.
    waiting: Vec<oneshot::Sender<Answer>>,
}

/// The queue to the one writing connection.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
}

/// One turn: exclusive use of the connection, inside a savepoint.
#[derive(Debug)]
pub struct Turn {
    /// Given back when the turn ends.
    state: Option<OwnedMutexGuard<State>>,
    wake: Arc<Notify>,
}

impl State {
    async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        query(sql).execute(&mut self.connection).await.map(drop)
    }

    /// Undoes what a dropped turn left.
    async fn clean(&mut self) -> Result<(), sqlx::Error> {
        if self.savepoint {
            self.run("ROLLBACK TO turn").await?;
            self.run("RELEASE turn").await?;
            self.savepoint = false;
        }
        Ok(())
    }

    async fn enter(&mut self) -> Result<(), sqlx::Error> {
        self.clean().await?;
        if !self.open {
            self.run("BEGIN IMMEDIATE").await?;
            self.open = true;
        }
        self.run("SAVEPOINT turn").await?;
        self.savepoint = true;
        Ok(())
    }

    /// Some faults make SQLite roll the whole transaction back (full disk, I/O error); then nobody in the batch was written.
    async fn abandon(&mut self, cause: &sqlx::Error) {
        drop(self.run("ROLLBACK").await);
        self.open = false;
        self.savepoint = false;
        let failed = Failed {
            cause: cause.to_string(),
            error_type: error_type(Engine::Sqlite, cause),
        };
        for waiting in self.waiting.drain(..) {
            drop(waiting.send(Err(failed.clone())));
        }
    }

    async fn commit(&mut self) {
        let result = match self.clean().await {
            Ok(()) if self.open => self.run("COMMIT").await,
            result => result,
        };
        match result {
            Ok(()) => {
                self.open = false;
                // None wait when the one turn of the batch was dropped, or when there was none.
                if !self.waiting.is_empty() {
                    instruments::database::batch_committed(self.waiting.len());
                }
                for waiting in self.waiting.drain(..) {
                    drop(waiting.send(Ok(())));
                }
            }
            Err(cause) => self.abandon(&cause).await,
        }
    }
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        let state = State {
            connection,
            open: false,
            savepoint: false,
            waiting: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            wake: Arc::new(Notify::new()),
        }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn, Error> {
        let writer = self.clone();
        // If nobody takes the turn any more, it is dropped like any other.
        undisturbed(async move { writer.enter().await }).await
    }

    async fn enter(self) -> Result<Turn, Error> {
        let mut state = self.state.lock_owned().await;
        if let Err(failure) = state.enter().await {
            // What failed may have been left by another's turn; with that gone, this one may well succeed.
            state.abandon(&failure).await;
            if let Err(failure) = state.enter().await {
                state.abandon(&failure).await;
                return Err(failure.into());
            }
        }
        Ok(Turn {
            state: Some(state),
            wake: self.wake,
        })
    }

    /// Commits what the turns wrote, for as long as the store is open.
    pub(super) async fn run_committer(self) {
        loop {
            self.wake.notified().await;
            self.state.lock().await.commit().await;
        }
    }

    /// Commits what is left and folds the write-ahead log into the file.
    pub(super) async fn close(&self) -> Result<(), sqlx::Error> {
        let mut state = self.state.lock().await;
        state.commit().await;
        state.run("PRAGMA wal_checkpoint(TRUNCATE)").await
    }
}

impl Turn {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        // A turn has its state until it ends, and ending takes the turn.
        #[expect(clippy::expect_used, reason = "see above")]
        let state = self.state.as_mut().expect("a turn in use has its state");
        &mut state.connection
    }

    /// Ends the turn and waits until it is durable.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        let (Some(mut state), wake) = (self.state.take(), Arc::clone(&self.wake)) else {
            return Ok(());
        };
        let ended = undisturbed(async move {
            if let Err(failure) = state.run("RELEASE turn").await {
                state.abandon(&failure).await;
                return Err(failure.into());
            }
            state.savepoint = false;
            let (answer, committed) = oneshot::channel();
            state.waiting.push(answer);
            drop(state);
            wake.notify_one();
            Ok(committed)
        });
        match ended.await?.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failed)) => Err(failed.into()),
            Err(_) => Err(Failed::ours("the writer stopped".to_owned()).into()),
        }
    }
}

/// Does work to its end, even if nobody waits for it any more: the statements that begin and end transactions must not be
/// dropped half-way, for what they did would not be known.
#[expect(
    clippy::disallowed_methods,
    reason = "short, and awaited by its caller; the store knows no lifecycle"
)]
async fn undisturbed<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|failure| Err(Failed::ours(failure.to_string()).into()))
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The savepoint stays open; whoever is next undoes it, and the committer sees to it that there is a next.
        if self.state.take().is_some() {
            self.wake.notify_one();
        }
    }
}
