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
    /// Dead connections that may be met: all of the pool may have died, and each is found by whoever takes it.
    dead: u32,
    pause: Duration,
}

impl<'a> Retry<'a> {
    pub(super) fn new(store: &'a Store, attempts: u32) -> Self {
        Self {
            store,
            left: attempts.saturating_sub(1),
            dead: store.inner.settings.max_connections,
            pause: FIRST,
        }
    }

    /// Whether to try again after this failure; waits before it says yes.
    pub(super) async fn again(&mut self, failure: &Error) -> bool {
        let Some(reason) = failure.retry_reason() else {
            return false;
        };
        let lost = reason == Transient::ConnectionLost;
        if lost {
            self.store.suspect();
        }
        let left = if lost && self.dead > 0 {
            &mut self.dead
        } else {
            &mut self.left
        };
        if *left == 0 {
            return false;
        }
        *left -= 1;
        instruments::database::retried(self.store.engine().as_str(), reason.as_str());
        let pause = if lost && self.dead > 0 {
            FIRST
        } else {
            self.pause
        };
        tokio::time::sleep(rand::random_range(Duration::ZERO..=pause)).await;
        if pause == self.pause {
            self.pause = (self.pause * 2).min(LONGEST);
        }
        true
    }
}
