//! What one request carries with it: its ids, its time in the database, and the notes for its log line.

use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::recording::Recording;
use super::traces::context::{SPAN_ID, TRACE_ID, TraceParent};

tokio::task_local! {
    static CURRENT: Arc<RequestScope>;
}

/// The ids and running totals of one request, shared by everything that works for it.
#[derive(Debug)]
pub struct RequestScope {
    /// The value of `x-request-id`, ours or the client's.
    pub request_id: String,
    /// The path that was asked for, without the query.
    pub path: String,
    /// The trace, the server span's id, and whether the request's spans are recorded and exported.
    pub ids: TraceParent,
    traceparent: String,
    /// Its steps and log lines.
    pub recording: Recording,
    database_nanos: AtomicU64,
    database_queries: AtomicU32,
    principal: OnceLock<&'static str>,
    rate_limit: OnceLock<&'static str>,
    error_code: OnceLock<&'static str>,
    phase: Mutex<Option<(&'static str, Instant)>>,
}

impl RequestScope {
    /// Makes the scope of a request that began at `started` from the ids that [`super::traces::server_span`] gave it.
    pub fn new(request_id: String, path: String, ids: TraceParent, started: Instant) -> Arc<Self> {
        Arc::new(Self {
            request_id,
            path,
            ids,
            traceparent: ids.to_string(),
            recording: Recording::since(started),
            database_nanos: AtomicU64::new(0),
            database_queries: AtomicU32::new(0),
            principal: OnceLock::new(),
            rate_limit: OnceLock::new(),
            error_code: OnceLock::new(),
            phase: Mutex::new(None),
        })
    }

    /// The server span's ids as `traceparent` and `traceresponse` have them (W3C Trace Context, section 3.2; Level 2 draft, section 4).
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The trace id as 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(TRACE_ID).unwrap_or_default()
    }

    /// The server span's id as 16 lower-case hexadecimal digits.
    pub fn span_id(&self) -> &str {
        self.traceparent.get(SPAN_ID).unwrap_or_default()
    }

    /// Runs a future in this scope; [`current`] answers it for as long as the future is polled.
    pub fn run<F: Future>(self: &Arc<Self>, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(Arc::clone(self), work)
    }

    /// Calls a function in this scope.
    pub fn enter<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(Arc::clone(self), work)
    }

    /// Adds one database operation of the given duration.
    pub fn add_database(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.database_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.database_queries.fetch_add(1, Ordering::Relaxed);
    }

    /// The time spent in the database so far.
    pub fn database_time(&self) -> Duration {
        Duration::from_nanos(self.database_nanos.load(Ordering::Relaxed))
    }

    /// The number of database operations so far.
    pub fn database_queries(&self) -> u32 {
        self.database_queries.load(Ordering::Relaxed)
    }

    /// Notes who asks: `anonymous`, `user` or `api_key`. The first note stays.
    pub fn set_principal(&self, kind: &'static str) {
        let _ = self.principal.set(kind);
    }

    /// Who asks, as far as it is known.
    pub fn principal(&self) -> Option<&'static str> {
        self.principal.get().copied()
    }

    /// Notes what the rate limiter decided. The first note stays.
    pub fn set_rate_limit(&self, decision: &'static str) {
        let _ = self.rate_limit.set(decision);
    }

    /// What the rate limiter decided, if it was asked.
    pub fn rate_limit(&self) -> Option<&'static str> {
        self.rate_limit.get().copied()
    }

    /// What the request waits for, and since when.
    pub fn phase(&self) -> Option<(&'static str, Instant)> {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_phase(&self, phase: Option<(&'static str, Instant)>) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Notes the code of the problem that is answered. The first note stays.
    pub fn set_error_code(&self, code: &'static str) {
        let _ = self.error_code.set(code);
    }

    /// The code of the problem that was answered, if one was.
    pub fn error_code(&self) -> Option<&'static str> {
        self.error_code.get().copied()
    }
}

/// The scope of the request this task works for, if it works for one.
pub fn current() -> Option<Arc<RequestScope>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Calls a function with the current scope without counting a reference; `None` outside a request.
pub fn with_current<T>(f: impl FnOnce(&RequestScope) -> T) -> Option<T> {
    CURRENT.try_with(|scope| f(scope)).ok()
}

/// Adds a database operation to the current scope, if there is one.
pub fn record_database(duration: Duration) {
    with_current(|scope| scope.add_database(duration));
}

/// Notes what the current request waits for, until the answer is dropped.
pub fn doing(phase: &'static str) -> Doing {
    doing_since(phase, Instant::now())
}

/// The same of what began at `started`.
pub fn doing_since(phase: &'static str, started: Instant) -> Doing {
    let scope = current();
    if let Some(scope) = &scope {
        scope.set_phase(Some((phase, started)));
    }
    Doing(scope)
}

/// A wait of the current request, for as long as this lives. It is part of every statement's future, so it is small.
#[derive(Debug)]
#[must_use = "the request waits for as long as this lives"]
pub struct Doing(Option<Arc<RequestScope>>);

impl Drop for Doing {
    fn drop(&mut self) {
        if let Some(scope) = &self.0 {
            scope.set_phase(None);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use opentelemetry::trace::{SpanId, TraceId};

    use super::*;

    /// A request to `/p` of the trace `aa…`, its span `bb…`.
    pub(crate) fn scope(request_id: &str, sampled: bool) -> Arc<RequestScope> {
        let ids = TraceParent {
            trace_id: TraceId::from_bytes([0xaa; 16]),
            span_id: SpanId::from_bytes([0xbb; 8]),
            sampled,
        };
        RequestScope::new(request_id.into(), "/p".into(), ids, Instant::now())
    }

    #[tokio::test]
    async fn database_time_adds_up_inside_the_scope_only() {
        let scope = scope("r", false);
        record_database(Duration::from_millis(5));
        scope
            .run(async {
                record_database(Duration::from_millis(2));
                tokio::task::yield_now().await;
                record_database(Duration::from_millis(1));
            })
            .await;
        assert_eq!(scope.database_time(), Duration::from_millis(3));
        assert_eq!(scope.database_queries(), 2);
        assert!(current().is_none());
    }

    #[test]
    fn the_first_note_stays() {
        let scope = scope("r", false);
        scope.set_principal("user");
        scope.set_principal("anonymous");
        assert_eq!(scope.principal(), Some("user"));
        assert_eq!(scope.error_code(), None);
    }
}
