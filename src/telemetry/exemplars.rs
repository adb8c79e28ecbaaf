//! Exemplars: for each bucket of a histogram, a recent observation that belongs to a recorded span, the first of a second.
//!
//! An observation that is not sampled costs a comparison. One that is takes at most one uncontended lock a bucket and
//! second, and allocates only the first time its series meets one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanId, TraceId};

use super::scope::RequestScope;
use super::traces::TraceParent;
use super::wall_clock;

/// How long a bucket keeps what it has: nobody scrapes more often.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Where the ids of an observation come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A request's server span.
    Request(&'a RequestScope),
    /// A span of ours.
    Span(&'a tracing::Span),
}

impl Source<'_> {
    fn is_sampled(self) -> bool {
        match self {
            Self::Request(scope) => scope.ids.sampled,
            Self::Span(span) => !span.is_disabled(),
        }
    }

    fn ids(self) -> Option<(TraceId, SpanId)> {
        match self {
            Self::Request(scope) => Some((scope.ids.trace_id, scope.ids.span_id)),
            Self::Span(span) => {
                let ids = TraceParent::of(span).filter(|ids| ids.sampled)?;
                Some((ids.trace_id, ids.span_id))
            }
        }
    }
}

/// One observation, and the span it was made in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) value: f64,
    /// When it was made, since the Unix epoch.
    pub(super) at: Duration,
}

/// The exemplars of one series.
#[derive(Debug)]
pub(super) struct Series {
    /// How a bucket's line begins in the exposition, up to its bound.
    line: Box<str>,
    bounds: &'static [f64],
    slots: OnceLock<Box<[Slot]>>,
}

/// The exemplar of one bucket.
#[derive(Debug, Default)]
struct Slot {
    /// Milliseconds on our clock before which the bucket keeps what it has.
    closed_until: AtomicU64,
    kept: Mutex<Option<Exemplar>>,
}

/// The series that have exemplars; it grows no longer than the list of series.
static KNOWN: Mutex<Vec<Arc<Series>>> = Mutex::new(Vec::new());

/// When our clock began.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Series {
    /// `line` is how a line of its buckets begins: `name_bucket{label="value"`.
    pub(super) fn new(line: String, bounds: &'static [f64]) -> Arc<Self> {
        Arc::new(Self {
            line: line.into(),
            bounds,
            slots: OnceLock::new(),
        })
    }

    /// Keeps the observation if it is sampled and its bucket has not had one within a second.
    pub(super) fn offer(self: &Arc<Self>, value: f64, source: Source<'_>) {
        if source.is_sampled() {
            self.offer_at(value, BEGAN.elapsed(), || source.ids());
        }
    }

    fn offer_at(
        self: &Arc<Self>,
        value: f64,
        now: Duration,
        ids: impl FnOnce() -> Option<(TraceId, SpanId)>,
    ) {
        let slots = self.slots.get_or_init(|| {
            known(|known| known.push(Arc::clone(self)));
            (0..=self.bounds.len()).map(|_| Slot::default()).collect()
        });
        // A bucket takes what is no greater than its bound.
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let Some(slot) = slots.get(bucket) else {
            return;
        };
        if milliseconds(now) < slot.closed_until.load(Ordering::Relaxed) {
            return;
        }
        // Whoever holds it is keeping one as new as ours.
        let Ok(mut kept) = slot.kept.try_lock() else {
            return;
        };
        if let Some((trace_id, span_id)) = ids() {
            let until = milliseconds(now + KEPT_FOR);
            slot.closed_until.store(until, Ordering::Relaxed);
            *kept = Some(Exemplar {
                trace_id,
                span_id,
                value,
                at: wall_clock(),
            });
        }
    }
}

fn known<T>(f: impl FnOnce(&mut Vec<Arc<Series>>) -> T) -> T {
    f(&mut KNOWN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// All exemplars as they are now: by the beginning of the bucket's line, one for each bucket.
#[derive(Debug, Default)]
pub(super) struct Snapshot(HashMap<Box<str>, Vec<Option<Exemplar>>>);

impl Snapshot {
    pub(super) fn take() -> Self {
        let mut found = HashMap::new();
        for series in known(|known| known.clone()) {
            let slots = series.slots.get().map_or(&[][..], |slots| slots);
            let kept = slots
                .iter()
                .map(|slot| *slot.kept.lock().unwrap_or_else(PoisonError::into_inner));
            found.insert(series.line.clone(), kept.collect());
        }
        Self(found)
    }

    /// The exemplar of a bucket, counted from the one with the smallest bound.
    pub(super) fn find(&self, line: &str, bucket: usize) -> Option<&Exemplar> {
        self.0.get(line)?.get(bucket)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::scope::tests::scope;

    const BOUNDS: &[f64] = &[0.1, 1.0];

    fn ids(number: u64) -> (TraceId, SpanId) {
        (TraceId::from(u128::from(number)), SpanId::from(number))
    }

    fn kept(series: &Series, bucket: usize) -> Option<u64> {
        let kept = Snapshot::take();
        let found = kept.find(&series.line, bucket)?;
        Some(u64::from_be_bytes(found.span_id.to_bytes()))
    }

    #[test]
    fn each_bucket_keeps_the_newest_but_no_more_than_one_a_second() {
        let series = Series::new("newest_bucket{".to_owned(), BOUNDS);
        let second = Duration::from_secs;
        series.offer_at(0.05, second(10), || Some(ids(1)));
        series.offer_at(0.1, second(10), || {
            panic!("the bucket has one of this second")
        });
        series.offer_at(0.11, second(10), || Some(ids(2)));
        series.offer_at(7.0, second(10), || Some(ids(3)));
        assert_eq!(
            [0, 1, 2].map(|at| kept(&series, at)),
            [Some(1), Some(2), Some(3)]
        );
        series.offer_at(0.01, second(11), || Some(ids(4)));
        assert_eq!(kept(&series, 0), Some(4));
    }

    #[test]
    fn what_is_not_sampled_allocates_nothing() {
        let series = Series::new("unsampled_bucket{".to_owned(), BOUNDS);
        series.offer(0.05, Source::Span(&tracing::Span::none()));
        let scope = scope("r", false);
        series.offer(0.05, Source::Request(&scope));
        assert!(series.slots.get().is_none());
        assert_eq!(kept(&series, 0), None);
    }

    #[test]
    fn a_sampled_requests_ids_are_kept() {
        let series = Series::new("sampled_bucket{".to_owned(), BOUNDS);
        let scope = scope("r", true);
        series.offer(0.5, Source::Request(&scope));
        let snapshot = Snapshot::take();
        let found = snapshot.find("sampled_bucket{", 1).unwrap();
        assert_eq!(
            (found.trace_id, found.span_id),
            (scope.ids.trace_id, scope.ids.span_id)
        );
        assert!(found.at > Duration::from_secs(1_700_000_000));
    }
}
