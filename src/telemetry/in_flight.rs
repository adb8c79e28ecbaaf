//! The requests in flight, oldest first: what an operator asks for when the service hangs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::RequestScope;

/// Parts with a lock each, so that workers do not wait for one another.
const PARTS: usize = 16;
/// Requests kept track of in one part; further ones are only counted.
const ROOM: usize = 512;

/// What runs, by the order of its beginning.
type Part = Mutex<BTreeMap<u64, Entry>>;

#[derive(Clone, Debug)]
struct Entry {
    method: &'static str,
    route: Arc<str>,
    started: Instant,
    scope: Arc<RequestScope>,
}

#[derive(Debug, Default)]
struct Inner {
    next: AtomicU64,
    count: AtomicUsize,
    untracked: AtomicUsize,
    parts: [Part; PARTS],
}

/// Knows every request between its head and its answer, up to a bound. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Inner>);

/// A request in flight.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestReport {
    /// Time since its head was read.
    pub age_seconds: f64,
    /// The method, `_OTHER` if it is none of the usual ones.
    pub method: &'static str,
    /// The route's template.
    pub route: Arc<str>,
    /// The path that was asked for, without the query.
    pub path: String,
    /// `x-request-id`.
    pub request_id: String,
    /// The trace it belongs to.
    pub trace_id: String,
    /// Who asks, as far as it is known.
    pub principal: Option<&'static str>,
    /// What it waits for, such as `body`, `password hash` or a database operation by its name; `None` between these.
    pub phase: Option<&'static str>,
    /// How long it has been at that.
    pub phase_seconds: Option<f64>,
    /// Time spent in the database by operations that are done.
    pub database_seconds: f64,
    /// Database operations that are done.
    pub database_queries: u32,
}

impl InFlight {
    /// Keeps track of a request until the answer is dropped.
    pub fn enter(
        &self,
        method: &'static str,
        route: &Arc<str>,
        started: Instant,
        scope: &Arc<RequestScope>,
    ) -> Tracked {
        let inner = Arc::clone(&self.0);
        inner.count.fetch_add(1, Ordering::Relaxed);
        let number = inner.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry {
            method,
            route: Arc::clone(route),
            started,
            scope: Arc::clone(scope),
        };
        let mut part = inner.part(number);
        let fits = part.len() < ROOM;
        if fits {
            part.insert(number, entry);
        } else {
            inner.untracked.fetch_add(1, Ordering::Relaxed);
        }
        drop(part);
        Tracked {
            inner,
            number: fits.then_some(number),
        }
    }

    /// How many requests are in flight.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// How many of them were too many to be kept track of.
    pub fn untracked(&self) -> usize {
        self.0.untracked.load(Ordering::Relaxed)
    }

    /// The oldest requests in flight, the oldest first.
    pub fn oldest(&self, limit: usize) -> Vec<RequestReport> {
        let mut oldest: Vec<(u64, Entry)> = Vec::new();
        for number in 0..PARTS as u64 {
            // Requests begin and end under the same lock: the reports are made outside.
            let part = self.0.part(number);
            oldest.extend(part.iter().take(limit).map(|(at, one)| (*at, one.clone())));
        }
        oldest.sort_by_key(|(at, _)| *at);
        oldest.truncate(limit);
        oldest.iter().map(|(_, one)| one.report()).collect()
    }
}

impl Inner {
    fn part(&self, number: u64) -> std::sync::MutexGuard<'_, BTreeMap<u64, Entry>> {
        let at = usize::try_from(number % PARTS as u64).unwrap_or(0);
        let part = self.parts.get(at).unwrap_or(&self.parts[0]);
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn report(&self) -> RequestReport {
        let scope = &self.scope;
        let phase = scope.phase();
        RequestReport {
            age_seconds: self.started.elapsed().as_secs_f64(),
            method: self.method,
            route: Arc::clone(&self.route),
            path: scope.path.clone(),
            request_id: scope.request_id.clone(),
            trace_id: scope.trace_id().to_owned(),
            principal: scope.principal(),
            phase: phase.map(|(name, _)| name),
            phase_seconds: phase.map(|(_, since)| since.elapsed().as_secs_f64()),
            database_seconds: scope.database_time().as_secs_f64(),
            database_queries: scope.database_queries(),
        }
    }
}

/// A request that is kept track of for as long as this lives.
#[derive(Debug)]
#[must_use = "the request is known for as long as this lives"]
pub struct Tracked {
    inner: Arc<Inner>,
    number: Option<u64>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.inner.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(number) = self.number {
            self.inner.part(number).remove(&number);
        } else {
            self.inner.untracked.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::scope;

    fn enter(all: &InFlight, id: &str) -> (Tracked, Arc<RequestScope>) {
        let scope = scope::tests::scope(id, false);
        let route = Arc::from("/p/{id}");
        (all.enter("GET", &route, Instant::now(), &scope), scope)
    }

    fn ids(all: &InFlight, limit: usize) -> Vec<String> {
        let oldest = all.oldest(limit).into_iter();
        oldest.map(|request| request.request_id).collect()
    }

    #[test]
    fn the_oldest_come_first_and_those_answered_are_gone() {
        let all = InFlight::default();
        let mut held: Vec<_> = (0..40).map(|n| enter(&all, &n.to_string())).collect();
        assert_eq!(ids(&all, 3), ["0", "1", "2"]);
        drop(held.remove(1));
        assert_eq!(
            (ids(&all, 2), all.count()),
            (vec!["0".to_owned(), "2".to_owned()], 39)
        );
        drop(held);
        assert_eq!((ids(&all, 2).len(), all.count()), (0, 0));
    }

    #[test]
    fn beyond_the_bound_requests_are_only_counted() {
        let all = InFlight::default();
        let held: Vec<_> = (0..PARTS * ROOM + 7).map(|_| enter(&all, "x")).collect();
        assert_eq!(all.untracked(), 7);
        assert_eq!(all.count(), PARTS * ROOM + 7);
        assert_eq!(all.oldest(usize::MAX).len(), PARTS * ROOM);
        drop(held);
        assert_eq!((all.untracked(), all.count()), (0, 0));
    }

    #[tokio::test]
    async fn a_request_says_what_it_waits_for_until_it_has_it() {
        let all = InFlight::default();
        let (_tracked, scope) = enter(&all, "x");
        let phase = || all.oldest(1)[0].phase;
        scope
            .run(async {
                assert_eq!(phase(), None);
                let body = scope::doing("body");
                assert_eq!(phase(), Some("body"));
                drop(body);
                let find = scope::doing("events.find");
                assert_eq!(phase(), Some("events.find"));
                drop(find);
                assert_eq!(phase(), None);
            })
            .await;
    }
}
