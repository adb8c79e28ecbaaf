//! A database that does not answer: told once when it begins and once when it ends, however often it is asked meanwhile.

use std::time::{Duration, Instant};

use super::backoff::{Backoff, Bounds};
use crate::store::{Error, chain};

/// What is known of the present outage, if there is one.
#[derive(Debug)]
pub(super) struct Outage {
    task: &'static str,
    since: Option<Instant>,
    backoff: Backoff,
}

impl Outage {
    pub(super) fn new(task: &'static str, bounds: Bounds) -> Self {
        Self {
            task,
            since: None,
            backoff: Backoff::new(bounds),
        }
    }

    /// Notes a failure; returns how long to wait before the next attempt.
    pub(super) fn failed(&mut self, failure: &Error) -> Duration {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::error!(task = self.task, error = %chain(failure), "the database fails; trying on");
        }
        self.backoff.pause()
    }

    /// Notes that the database answered.
    pub(super) fn answered(&mut self) {
        if let Some(since) = self.since.take() {
            self.backoff.reset();
            let lasted = since.elapsed();
            tracing::info!(
                task = self.task,
                seconds = lasted.as_secs_f64(),
                "the database answers again"
            );
        }
    }
}

/// Whether the failure is the database's condition, which passes for all at once, and not one delivery's.
pub(super) fn is_outage(failure: &Error) -> bool {
    matches!(
        failure,
        Error::Unavailable(_) | Error::OutcomeUnknown(_) | Error::BatchRolledBack { .. }
    )
}
