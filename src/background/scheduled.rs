//! Jobs that one replica of several runs, once a period.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::pause;
use crate::domain::new_id;
use crate::store::{Error, LeaseEnd, Store, chain};

/// A job that one replica runs.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Its name: that of its lease and of its lines in the log.
    pub name: &'static str,
    /// Time between two runs, from begin to begin.
    pub period: Duration,
    /// Time after which another replica takes over from one that died. A living one renews its lease in time.
    pub hold: Duration,
    /// Pause after a run that failed.
    pub retry: Duration,
}

impl Job {
    /// A job whose lease outlives its holder by a minute, tried again after five when it fails.
    pub const fn new(name: &'static str, period: Duration) -> Self {
        Self {
            name,
            period,
            hold: Duration::from_mins(1),
            retry: Duration::from_mins(5),
        }
    }

    /// How often a replica looks whether the job is due.
    fn look(&self) -> Duration {
        (self.period / 20).clamp(Duration::from_millis(100), Duration::from_mins(1))
    }
}

/// What a look at a job came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is not due, or another replica has it.
    NotOurs,
    /// It ran here; `true` when it was done.
    Ran(bool),
    /// It ran here and was broken off, because its lease could not be kept.
    Lost,
}

/// Runs the job whenever it is due and nobody else runs it, until it is stopped. `work` says whether the job was done and
/// tells of its failures itself; it is dropped wherever it is when the lease is lost.
pub async fn run<F: Future<Output = bool>>(
    store: Store,
    job: Job,
    stop: CancellationToken,
    work: impl Fn() -> F,
) {
    loop {
        match once(&store, job, &work).await {
            Ok(Turn::Lost) => {
                tracing::warn!(
                    task = job.name,
                    "a job was broken off, for its lease was lost"
                );
            }
            Ok(_) => {}
            // An outage is told of by those who meet it more often.
            Err(failure) => {
                tracing::debug!(task = job.name, error = %chain(&failure), "whether a job is due cannot be told");
            }
        }
        let look = job.look();
        if !pause(rand::random_range(look..=look.saturating_mul(2)), &stop).await {
            return;
        }
    }
}

/// Runs the job now if it is due and nobody else runs it.
///
/// # Errors
/// When the database fails before the job or after it.
pub async fn once<F: Future<Output = bool>>(
    store: &Store,
    job: Job,
    work: impl Fn() -> F,
) -> Result<Turn, Error> {
    let holder = new_id();
    if !store
        .take_lease(job.name, holder, job.hold, job.period)
        .await?
    {
        return Ok(Turn::NotOurs);
    }
    let done = tokio::select! {
        done = work() => done,
        () = until_lost(store, job, holder) => return Ok(Turn::Lost),
    };
    let end = if done {
        LeaseEnd::Done
    } else {
        LeaseEnd::RetryAfter(job.retry.min(job.period))
    };
    store.give_back_lease(job.name, holder, end).await?;
    Ok(Turn::Ran(done))
}

/// Renews the lease until that fails for so long that it may have run out.
async fn until_lost(store: &Store, job: Job, holder: uuid::Uuid) {
    let mut kept = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(job.hold / 3).await;
        let asked = tokio::time::Instant::now();
        match store.renew_lease(job.name, holder, job.hold).await {
            Ok(true) => kept = asked,
            Err(_) if kept.elapsed() < job.hold => {}
            Ok(false) | Err(_) => return,
        }
    }
}
