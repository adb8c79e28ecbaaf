//! Changes the log's filter while the service runs, for a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// Why a filter was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The text is no filter.
    #[error("not a log filter: {0}")]
    Invalid(String),
    /// The log layer is gone.
    #[error("the log layer is gone")]
    Gone,
}

/// The longest filter: it stands in a line of the log.
const MAX_FILTER_BYTES: usize = 4096;
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads a filter such as `info,convoke=debug`, strictly: to the parser a misspelt level is a target, and all else is off.
pub fn parse_filter(text: &str) -> Result<EnvFilter, FilterError> {
    let refused = |why: String| Err(FilterError::Invalid(why));
    if text.trim().is_empty() {
        return refused("it is empty".to_owned());
    }
    if text.len() > MAX_FILTER_BYTES {
        return refused(format!("it is longer than {MAX_FILTER_BYTES} bytes"));
    }
    // Within brackets a comma divides fields.
    if !text.contains('[') {
        for part in text.split(',').map(str::trim) {
            let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part));
            if !part.is_empty() && !part.contains('=') && !is_level {
                return refused(format!(
                    "{part:?} is no level, and a target needs one: target=level"
                ));
            }
        }
    }
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| FilterError::Invalid(error.to_string()))
}

#[derive(Debug)]
struct State {
    current: String,
    revert: Option<JoinHandle<()>>,
    until: Option<Instant>,
    /// Tells a revert that fires while a later change takes the lock that its time is over.
    change: u64,
}

#[derive(Debug)]
struct Inner {
    base: String,
    handle: reload::Handle<EnvFilter, Registry>,
    state: Mutex<State>,
}

/// Reads and changes the log's filter; cheap to clone.
#[derive(Clone, Debug)]
pub struct LogControl {
    inner: Arc<Inner>,
}

impl LogControl {
    /// Takes control of a filter that stands at `base` now.
    pub(crate) fn new(base: String, handle: reload::Handle<EnvFilter, Registry>) -> Self {
        let state = Mutex::new(State {
            current: base.clone(),
            revert: None,
            until: None,
            change: 0,
        });
        Self {
            inner: Arc::new(Inner {
                base,
                handle,
                state,
            }),
        }
    }

    /// The filter in force.
    pub fn filter(&self) -> String {
        self.lock().current.clone()
    }

    /// The filter the service was started with.
    pub fn base_filter(&self) -> &str {
        &self.inner.base
    }

    /// How long the filter will stay in force before the one of the start comes back; `None` when it is to stay.
    pub fn time_left(&self) -> Option<Duration> {
        let until = self.lock().until?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Sets the filter; with a time to live it goes back to the one of the start by itself.
    ///
    /// A later call cancels the going back of an earlier one. With a time to live it must be called on a
    /// tokio runtime.
    pub fn set(&self, filter: &str, ttl: Option<Duration>) -> Result<(), FilterError> {
        let parsed = parse_filter(filter)?;
        let mut state = self.lock();
        self.inner
            .handle
            .reload(parsed)
            .map_err(|_| FilterError::Gone)?;
        filter.clone_into(&mut state.current);
        state.change += 1;
        if let Some(earlier) = state.revert.take() {
            earlier.abort();
        }
        state.until = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        if let Some(ttl) = ttl {
            let (control, change) = (self.clone(), state.change);
            let runtime = tokio::runtime::Handle::current();
            state.revert = Some(runtime.spawn(async move {
                tokio::time::sleep(ttl).await;
                control.revert(change);
            }));
        }
        Ok(())
    }

    fn revert(&self, change: u64) {
        let Ok(base) = parse_filter(&self.inner.base) else {
            return;
        };
        let mut state = self.lock();
        if state.change == change && self.inner.handle.reload(base).is_ok() {
            let before = std::mem::replace(&mut state.current, self.inner.base.clone());
            state.revert = None;
            state.until = None;
            drop(state);
            tracing::info!(before, after = self.inner.base, "log filter reverted");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> (LogControl, reload::Layer<EnvFilter, Registry>) {
        let (layer, handle) = reload::Layer::new(parse_filter("info").unwrap());
        (LogControl::new("info".to_owned(), handle), layer)
    }

    fn take_revert(control: &LogControl) -> JoinHandle<()> {
        control.lock().revert.take().unwrap()
    }

    #[test]
    fn a_misspelt_level_is_no_target() {
        for good in [
            "info",
            "OFF",
            "info,convoke=debug",
            "warn,sqlx=off",
            "[request{method}]=trace",
        ] {
            assert!(parse_filter(good).is_ok(), "{good}");
        }
        let long = "a=info,".repeat(1000);
        for bad in ["inof", "info,convoke", "", "info,convoke=loud", &long] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_filter_with_a_time_to_live_reverts_by_itself() {
        let (control, _layer) = control();
        control
            .set("convoke=debug", Some(Duration::from_millis(1)))
            .unwrap();
        assert_eq!(control.filter(), "convoke=debug");
        assert!(
            control
                .time_left()
                .is_some_and(|left| left <= Duration::from_millis(1))
        );
        take_revert(&control).await.unwrap();
        assert_eq!(control.filter(), "info");
        assert_eq!(control.time_left(), None);
    }

    #[tokio::test]
    async fn a_later_change_outlives_the_revert_of_an_earlier_one() {
        let (control, _layer) = control();
        control
            .set("debug", Some(Duration::from_millis(1)))
            .unwrap();
        let earlier = take_revert(&control);
        control.set("warn", None).unwrap();
        earlier.await.unwrap();
        assert_eq!(control.filter(), "warn");
    }

    #[tokio::test]
    async fn a_later_change_aborts_the_earlier_revert() {
        let (control, _layer) = control();
        control.set("debug", Some(Duration::from_mins(10))).unwrap();
        control.set("warn", None).unwrap();
        assert!(control.lock().revert.is_none());
    }

    #[test]
    fn an_invalid_filter_is_refused_and_changes_nothing() {
        let (control, _layer) = control();
        for bad in ["", "convoke=loud", "a=b=c", "[[["] {
            let refused = control.set(bad, None);
            assert!(matches!(refused, Err(FilterError::Invalid(_))), "{bad:?}");
        }
        assert_eq!(control.filter(), "info");
    }
}
