//! The time now, injected so that a test can set it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A source of the current instant, truncated to microseconds: what PostgreSQL keeps.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// The machine's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one room that reads the clock"
    )]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that shows what `now` returns.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current instant.
    pub fn now(&self) -> Timestamp {
        truncate((self.0)())
    }

    /// The instant `after` from now; the far end of time when that cannot be represented.
    pub fn after(&self, after: Duration) -> Timestamp {
        later(self.now(), after)
    }
}

/// `instant + by`, saturating.
pub fn later(instant: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    instant.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// `instant - by`, saturating.
pub fn earlier(instant: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    instant.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

/// The instant without anything finer than a microsecond.
pub fn truncate(instant: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(instant.as_microsecond()).unwrap_or(instant)
}
