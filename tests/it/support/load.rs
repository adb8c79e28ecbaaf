//! Load at a steady rate, with every outcome kept: for tests in which something is stopped or killed under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::answer::Answer;

/// Jobs that are under way at most; beyond it the rate falls instead of a queue growing.
const IN_FLIGHT: usize = 64;

/// A load that goes on until it is stopped.
#[derive(Debug)]
pub(crate) struct Load<T> {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    results: JoinHandle<Vec<T>>,
}

impl<T: Send + 'static> Load<T> {
    /// Starts `per_second` jobs a second; a job is given its number.
    pub(crate) fn start<F>(per_second: u32, job: impl Fn(usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&done));
        let results = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let (mut running, mut results, mut number) = (JoinSet::new(), Vec::new(), 0);
            while !stopped.load(Ordering::Relaxed) {
                tokio::select! {
                    _ = ticks.tick(), if running.len() < IN_FLIGHT => {
                        running.spawn(job(number));
                        number += 1;
                    }
                    Some(result) = running.join_next() => {
                        results.push(result.expect("a job does not panic"));
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            results.extend(running.join_all().await);
            results
        });
        Self {
            stop,
            done,
            results,
        }
    }

    /// Waits until this many jobs have ended.
    pub(crate) async fn wait_for(&self, jobs: usize) {
        super::polling::eventually("the load gets through", Duration::from_mins(2), || async {
            (self.done.load(Ordering::Relaxed) >= jobs).then_some(())
        })
        .await;
    }

    /// Waits until this many more jobs have ended.
    pub(crate) async fn wait_for_more(&self, jobs: usize) {
        self.wait_for(self.done.load(Ordering::Relaxed) + jobs)
            .await;
    }

    /// Starts no further job, and waits for those under way.
    pub(crate) async fn stop(self) -> Vec<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.results.await.expect("the load does not panic")
    }
}

/// How one request ended, seen from the client.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered(Answer),
    /// No connection was made: the service never had the request.
    NotAccepted,
    /// The connection was made and then failed: whether the request counted, is not known.
    Broken(reqwest::Error),
}

impl Outcome {
    pub(crate) fn of(sent: reqwest::Result<Answer>) -> Self {
        match sent {
            Ok(answer) => Self::Answered(answer),
            Err(error) if error.is_connect() => Self::NotAccepted,
            Err(error) => Self::Broken(error),
        }
    }

    /// The answer, when it is a success.
    pub(crate) fn acknowledged(&self) -> Option<&Answer> {
        match self {
            Self::Answered(answer) if (200..300).contains(&answer.status) => Some(answer),
            _ => None,
        }
    }
}

/// The time that `share` (0 to 1) of these took at most.
pub(crate) fn quantile(durations: &mut [Duration], share: f64) -> Duration {
    durations.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few thousand samples"
    )]
    let at = ((durations.len() - 1) as f64 * share).round() as usize;
    durations[at]
}

/// How long it takes.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let result = work.await;
    (result, start.elapsed())
}
