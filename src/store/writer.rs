//! SQLite's one writer: turns in order of arrival, each undone by itself if it fails, many of them in one commit.
//!
//! Operations that need no turn of their own, because what they read and write is known beforehand, are handed over as jobs: see
//! [`batch`](super::batch).
//!
//! A commit with `synchronous=FULL` waits for the disk, so those who queue meanwhile share the next one. The first to finish
//! its turn wakes the committer, which takes its own place in the same fair queue: whoever waited before it joins this batch,
//! whoever comes after it the next. Nobody is answered before the commit. A turn that is dropped half-way (its client went
//! away) leaves what it did, which the next holder of the connection undoes.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use futures_util::FutureExt as _;
use sqlx::{SqliteConnection, query};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};
use tokio::task::yield_now;

use super::batch::{Finished, Queued};
use super::engine::Engine;
use super::error::{Error, error_type};
use crate::telemetry::instruments;

pub(super) use super::batch::{Job, Reply};

/// What became of a turn's batch; a failure is the same for everybody in it.
pub(super) type Answer = Result<(), Failed>;

#[derive(Clone, Debug)]
pub(super) struct Failed {
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

/// Who waits for the commit.
#[derive(Debug)]
pub(super) enum Waiter {
    /// A turn.
    Turn(oneshot::Sender<Answer>),
    /// A job, and what it came to.
    Job(oneshot::Sender<Result<Finished, Error>>, Finished),
}

impl Waiter {
    /// Whoever does not wait any more is not told.
    fn tell(self, answer: Answer) {
        match self {
            Self::Turn(waiting) => drop(waiting.send(answer)),
            Self::Job(waiting, finished) => {
                drop(waiting.send(answer.map(|()| finished).map_err(Error::from)));
            }
        }
    }
}

/// How a turn is undone.
#[derive(Clone, Copy, Debug)]
enum Undo {
    /// It is the first: with the transaction.
    Transaction,
    /// Others were before it: to its savepoint, for which SQLite notes each page that is changed.
    Savepoint,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: SqliteConnection,
    /// A transaction is open.
    open: bool,
    /// A turn is under way, or was dropped.
    turn: Option<Undo>,
    /// Those who are done and wait for the commit.
    pub(super) waiting: Vec<Waiter>,
}

/// The queue to the one writing connection.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
    jobs: Arc<std::sync::Mutex<Vec<Queued>>>,
}

/// One turn: exclusive use of the connection.
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
        match self.turn {
            Some(Undo::Transaction) => {
                self.run("ROLLBACK").await?;
                self.open = false;
            }
            Some(Undo::Savepoint) => self.run("ROLLBACK TO turn; RELEASE turn").await?,
            None => {}
        }
        self.turn = None;
        Ok(())
    }

    async fn try_enter(&mut self) -> Result<(), sqlx::Error> {
        self.clean().await?;
        if self.open {
            self.run("SAVEPOINT turn").await?;
            self.turn = Some(Undo::Savepoint);
        } else {
            self.run("BEGIN IMMEDIATE").await?;
            self.open = true;
            self.turn = Some(Undo::Transaction);
        }
        Ok(())
    }

    /// Begins a turn.
    pub(super) async fn enter(&mut self) -> Result<(), Error> {
        if let Err(failure) = self.try_enter().await {
            // What failed may have been left by another's turn; with that gone, this one may well succeed.
            self.abandon(&failure).await;
            if let Err(failure) = self.try_enter().await {
                self.abandon(&failure).await;
                return Err(failure.into());
            }
        }
        Ok(())
    }

    /// Ends a turn; what it wrote waits for the commit.
    pub(super) async fn leave(&mut self) -> Result<(), Error> {
        if let Some(Undo::Savepoint) = self.turn
            && let Err(failure) = self.run("RELEASE turn").await
        {
            self.abandon(&failure).await;
            return Err(failure.into());
        }
        self.turn = None;
        Ok(())
    }

    /// Undoes the turn.
    pub(super) async fn undo(&mut self) {
        if let Err(failure) = self.clean().await {
            self.abandon(&failure).await;
        }
    }

    /// Some faults make SQLite roll the whole transaction back (full disk, I/O error); then nobody in the batch was written.
    async fn abandon(&mut self, cause: &sqlx::Error) {
        drop(self.run("ROLLBACK").await);
        self.open = false;
        self.turn = None;
        let failed = Failed {
            cause: cause.to_string(),
            error_type: error_type(Engine::Sqlite, cause),
        };
        for waiting in self.waiting.drain(..) {
            waiting.tell(Err(failed.clone()));
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
                    waiting.tell(Ok(()));
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
            turn: None,
            waiting: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            wake: Arc::new(Notify::new()),
            jobs: Arc::default(),
        }
    }

    /// Hands a job over.
    pub(super) fn hand_over(&self, job: Queued) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push(job);
        drop(jobs);
        self.wake.notify_one();
    }

    fn take_jobs(&self) -> Vec<Queued> {
        std::mem::take(&mut *self.jobs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does the jobs that wait and commits what was written.
    async fn commit(&self) {
        let mut state = self.state.lock().await;
        state.work(self.take_jobs()).await;
        state.commit().await;
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn, Error> {
        let writer = self.clone();
        // If nobody takes the turn any more, it is dropped like any other.
        undisturbed(async move { writer.enter().await }).await
    }

    async fn enter(self) -> Result<Turn, Error> {
        let mut state = self.state.lock_owned().await;
        state.enter().await?;
        Ok(Turn {
            state: Some(state),
            wake: self.wake,
        })
    }

    /// Commits what the turns wrote, for as long as the store is open.
    pub(super) async fn run_committer(self) {
        loop {
            self.wake.notified().await;
            // Whoever is ready to write, too, hands it over first, and shares the commit.
            yield_now().await;
            // The jobs at hand are lost with it, and told so by the loss of their senders; whoever else waits is committed next.
            if AssertUnwindSafe(self.commit())
                .catch_unwind()
                .await
                .is_err()
            {
                tracing::error!("the writer panicked");
                self.wake.notify_one();
            }
        }
    }

    /// Commits what is left and folds the write-ahead log into the file.
    pub(super) async fn close(&self) -> Result<(), sqlx::Error> {
        self.commit().await;
        let mut state = self.state.lock().await;
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
            state.leave().await?;
            let (answer, committed) = oneshot::channel();
            state.waiting.push(Waiter::Turn(answer));
            drop(state);
            wake.notify_one();
            Ok(committed)
        });
        match ended.await?.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failed)) => Err(failed.into()),
            Err(_) => Err(stopped()),
        }
    }
}

/// The writer is gone; nothing was written.
pub(super) fn stopped() -> Error {
    Failed::ours("the writer stopped".to_owned()).into()
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
        // What was done stays there; whoever is next undoes it, and the committer sees to it that there is a next.
        if self.state.take().is_some() {
            self.wake.notify_one();
        }
    }
}
