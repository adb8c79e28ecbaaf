//! Trying again: bounded, with exponential backoff and full jitter, and only where nothing can happen twice.

use std::time::Duration;

use super::{
    Store,
    error::{Error, Transient},
};
use crate::telemetry::instruments;

/// First pause at the most; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(8);
/// Longest pause.
const LONGEST: Duration = Duration::from_millis(250);

/// The attempts of one operation.
#[derive(Debug)]
pub(super) struct Retry<'a> {
    store: &'a Store,
    left: u32,
    pause: Duration,
}

impl<'a> Retry<'a> {
    pub(super) fn new(store: &'a Store, attempts: u32) -> Self {
        Self {
            store,
            left: attempts.saturating_sub(1),
            pause: FIRST,
        }
    }

    /// Whether to try again after this failure; waits before it says yes.
    pub(super) async fn again(&mut self, failure: &Error) -> bool {
        let Some(reason) = failure.retry_reason() else {
            return false;
        };
        if reason == Transient::ConnectionLost {
            self.store.suspect();
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        instruments::database::retried(self.store.engine().as_str(), reason.as_str());
        tokio::time::sleep(rand::random_range(Duration::ZERO..=self.pause)).await;
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}
