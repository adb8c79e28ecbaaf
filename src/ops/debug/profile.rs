//! `GET /debug/pprof/profile`: where the CPU's time goes, for some seconds, as pprof or as folded stacks.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pprof::ProfilerGuard;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Asked, DebugState, pprof_format, samples};
use crate::ops::{problem, query_problem};

const SECONDS: std::ops::RangeInclusive<u32> = 1..=60;
/// The kernel looks at the timer at its own ticks, 250 a second on most machines: more would not be had.
const HZ: std::ops::RangeInclusive<u32> = 1..=250;

/// What is asked for. Numbers as text, so that a faulty one is answered in the form of every fault here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    seconds: Option<String>,
    hz: Option<String>,
    format: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Pprof,
    Folded,
}

impl Wanted {
    fn read(&self) -> Result<(u32, u32, Format), (&'static str, String)> {
        let seconds = number("seconds", self.seconds.as_deref(), 10, &SECONDS)?;
        // Not a round number, so that work done each second is not met at the same place each time.
        let hz = number("hz", self.hz.as_deref(), 99, &HZ)?;
        let format = match self.format.as_deref() {
            None | Some("pprof") => Format::Pprof,
            Some("folded") => Format::Folded,
            Some(_) => return Err(("format", "must be pprof or folded".to_owned())),
        };
        Ok((seconds, hz, format))
    }
}

fn number(
    field: &'static str,
    text: Option<&str>,
    default: u32,
    range: &std::ops::RangeInclusive<u32>,
) -> Result<u32, (&'static str, String)> {
    let number = text.map_or(Some(default), |text| text.parse().ok());
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (from, to) = (range.start(), range.end());
            (field, format!("must be a whole number from {from} to {to}"))
        })
}

/// Lets one profile be taken at a time: there is one signal and one timer in a process.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    free: Arc<Semaphore>,
    until: Arc<Mutex<Option<Instant>>>,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(1)),
            until: Arc::default(),
        }
    }
}

impl Turn {
    fn take(&self, duration: Duration) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) =
            Instant::now().checked_add(duration);
        Some(permit)
    }

    /// Whether one is being taken, the naming of its functions included.
    pub(super) fn is_taken(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// Whole seconds until the running one should be done, at least 1.
    fn seconds_left(&self) -> u64 {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        left.as_secs() + 1
    }
}

/// The sampling that runs, and the turn it takes. When the client goes away this is dropped, and the sampling ends.
struct Running(Option<(ProfilerGuard<'static>, OwnedSemaphorePermit)>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(both) = self.0.take() {
            // Some megabytes are freed and made again: not on a thread that serves requests.
            tokio::task::spawn_blocking(move || drop(both));
        }
    }
}

/// Takes a profile.
pub(super) async fn take(
    State(state): State<DebugState>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let read = match &wanted {
        Ok(Query(wanted)) => wanted.read(),
        Err(rejection) => return query_problem(rejection),
    };
    let (seconds, hz, format) = match read {
        Ok(read) => read,
        Err((field, detail)) => {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, field, &detail);
        }
    };
    let asked = Asked(format!("seconds={seconds} hz={hz} format={format:?}").to_lowercase());
    let duration = Duration::from_secs(seconds.into());
    let mut response = match state.turn.take(duration) {
        Some(permit) => sample(&state, permit, duration, hz, format).await,
        None => busy(&state.turn),
    };
    response.extensions_mut().insert(asked);
    response
}

fn busy(turn: &Turn) -> Response {
    let detail = "another one is being taken, and there is one signal for all of them";
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "profile", detail);
    let seconds = HeaderValue::from(turn.seconds_left());
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

async fn sample(
    state: &DebugState,
    permit: OwnedSemaphorePermit,
    duration: Duration,
    hz: u32,
    format: Format,
) -> Response {
    let begun = tokio::task::spawn_blocking(move || {
        samples::begin(hz).map(|guard| Running(Some((guard, permit))))
    });
    let mut running = match begun.await {
        Ok(Ok(running)) => running,
        Ok(Err(failure)) => return failed(&failure),
        Err(failure) => return failed(&failure),
    };
    // What was sampled until the shutdown is answered, within the time that it leaves.
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        () = state.lifecycle.soft().cancelled() => {}
    }
    let Some((guard, permit)) = running.0.take() else {
        return failed(&"nothing runs");
    };
    let done = tokio::task::spawn_blocking(move || {
        let samples = samples::end(guard, hz).map_err(|failure| failure.to_string())?;
        drop(permit);
        let body = match format {
            Format::Pprof => pprof_format::gzipped(&samples).map_err(|f| f.to_string())?,
            Format::Folded => samples.folded().into_bytes(),
        };
        Ok::<_, String>((body, samples.count()))
    });
    match done.await {
        Ok(Ok((body, count))) => answer(format, body, count),
        Ok(Err(failure)) => failed(&failure),
        Err(failure) => failed(&failure),
    }
}

fn answer(format: Format, body: Vec<u8>, count: i64) -> Response {
    let (media_type, disposition) = match format {
        Format::Pprof => (
            "application/octet-stream",
            "attachment; filename=\"convoke-cpu.pb.gz\"",
        ),
        Format::Folded => ("text/plain; charset=utf-8", "inline"),
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let samples = [("x-samples", count.to_string())];
    (headers, samples, body).into_response()
}

fn failed(failure: &impl Display) -> Response {
    let detail = format!("none can be taken (it needs a writable TMPDIR): {failure}");
    tracing::error!(error = detail, "a profile cannot be taken");
    problem(StatusCode::INTERNAL_SERVER_ERROR, "profile", &detail)
}

/// A profile is never begun by asking whether there is one.
pub(super) async fn head() -> Response {
    let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
    let allow = HeaderValue::from_static("GET");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// There is no heap profile: the allocator keeps no samples.
pub(super) async fn heap() -> Response {
    problem(
        StatusCode::NOT_IMPLEMENTED,
        "heap",
        "the system's allocator keeps no samples, and one that does would cost every allocation; \
         see /debug/memory, or run the service under heaptrack",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(seconds: Option<&str>, hz: Option<&str>, format: Option<&str>) -> Wanted {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Wanted {
            seconds: owned(seconds),
            hz: owned(hz),
            format: owned(format),
        }
    }

    #[test]
    fn ten_seconds_at_99_hz_unless_told_otherwise_within_bounds() {
        let read = wanted(None, None, None).read();
        assert_eq!(read, Ok((10, 99, Format::Pprof)));
        let read = wanted(Some("60"), Some("250"), Some("folded")).read();
        assert_eq!(read, Ok((60, 250, Format::Folded)));
        for (faulty, field) in [
            (wanted(Some("0"), None, None), "seconds"),
            (wanted(Some("61"), None, None), "seconds"),
            (wanted(Some("1.5"), None, None), "seconds"),
            (wanted(None, Some("251"), None), "hz"),
            (wanted(None, Some("-1"), None), "hz"),
            (wanted(None, None, Some("svg")), "format"),
        ] {
            assert_eq!(faulty.read().unwrap_err().0, field, "{faulty:?}");
        }
    }

    #[test]
    fn only_one_takes_the_turn_and_the_next_is_told_how_long_to_wait() {
        let turn = Turn::default();
        assert!(!turn.is_taken());
        let first = turn.take(Duration::from_secs(30)).unwrap();
        assert!(turn.is_taken());
        assert!(turn.take(Duration::from_secs(1)).is_none());
        assert!((29..=31).contains(&turn.seconds_left()));
        drop(first);
        assert!(turn.take(Duration::from_secs(1)).is_some());
    }
}
