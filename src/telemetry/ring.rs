//! The last requests and deliveries worth looking at, in a ring in memory: failed, slow, and a few of the others.
//!
//! Each kind has room of its own, divided by route: a flood of failures on one route leaves the failures of the others, and
//! all that was slow, where they are. What is kept is bounded to [`MAX_BYTES`].

mod groups;

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::groups::{Groups, Key};
use super::recording::{Line, Recorded, Step};

/// Most that all records together can take.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// The slowest of late, whether slow by the objective or not.
const SLOWEST: usize = 12;
/// How long one counts among the slowest.
const SLOWEST_FOR: Duration = Duration::from_mins(15);
/// Attempts at deliveries kept of late, and as many whose cause is kept.
const DELIVERIES: usize = 16;
/// A delivery attempt that takes longer is slow.
const SLOW_DELIVERY: Duration = Duration::from_secs(1);
/// Requests that one record of deliveries names as their causes.
pub const MAX_CAUSES: usize = 8;

/// Why a record was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Answered with a 5xx; or a delivery that failed.
    Failed,
    /// Over the objective's limit.
    Slow,
    /// Within the limit, and among the slowest of late.
    Slowest,
    /// One a second of each route; every attempt at deliveries for a while.
    Sampled,
}

/// What was done.
#[derive(Clone, Debug)]
pub enum Work {
    /// A request.
    Request {
        /// Its method.
        method: &'static str,
        /// The route's template.
        route: Arc<str>,
        /// The status answered; 499 when the client went away.
        status: u16,
        /// As in `x-request-id`.
        request_id: Box<str>,
        /// The server span's id.
        span_id: u64,
    },
    /// An attempt at one delivery, or at several in one transaction.
    Delivery {
        /// The channel.
        channel: Arc<str>,
        /// The `outcome` label.
        outcome: &'static str,
        /// How many deliveries it was about.
        count: usize,
        /// The traces of the requests that caused them, the first [`MAX_CAUSES`].
        causes: Vec<u128>,
    },
}

/// One request or attempt.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number.
    pub id: u64,
    /// Why it is kept.
    pub why: Why,
    /// When it began, since the epoch.
    pub began: Duration,
    /// How long it took.
    pub duration: Duration,
    /// What it was.
    pub work: Work,
    /// The trace, as in the log and in OTLP; 0 for a delivery that has none, because it is not exported.
    pub trace: u128,
    /// Whether its spans are exported.
    pub exported: bool,
    /// The code of the problem or the way it failed.
    pub error: Option<&'static str>,
    /// What happened in it.
    pub recorded: Recorded,
}

impl Record {
    /// What it takes in memory, without what it shares with others.
    pub fn bytes(&self) -> usize {
        let own = match &self.work {
            Work::Request { request_id, .. } => request_id.len(),
            Work::Delivery { causes, .. } => causes.capacity() * size_of::<u128>(),
        };
        let lines = &self.recorded.lines;
        let text: usize = lines.iter().map(|line| line.members.len()).sum();
        size_of::<Self>()
            + own
            + self.recorded.steps.capacity() * size_of::<Step>()
            + lines.capacity() * size_of::<Line>()
            + text
    }

    fn key(&self) -> Key {
        match &self.work {
            Work::Request { method, route, .. } => {
                (method, Arc::clone(route), self.error.unwrap_or_default())
            }
            Work::Delivery {
                channel, outcome, ..
            } => ("", Arc::clone(channel), outcome),
        }
    }

    fn caused(&self, trace: u128) -> bool {
        matches!(&self.work, Work::Delivery { causes, .. } if causes.contains(&trace))
    }
}

#[derive(Debug)]
struct Held {
    failed: Groups,
    slow: Groups,
    sampled: Groups,
    slowest: Vec<(Instant, Arc<Record>)>,
    /// Attempts whose cause is kept as well, and, below, all of late.
    linked: Groups,
    deliveries: Groups,
    next_id: u64,
}

/// The ring.
#[derive(Debug)]
pub struct Ring(Mutex<Held>);

static RING: LazyLock<Ring> = LazyLock::new(Ring::new);

/// The ring of this process.
pub fn ring() -> &'static Ring {
    &RING
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

impl Ring {
    /// An empty one.
    pub fn new() -> Self {
        let flood = Duration::from_millis(100);
        Self(Mutex::new(Held {
            failed: Groups::new(32, 3, flood),
            slow: Groups::new(32, 3, flood),
            sampled: Groups::new(64, 2, Duration::from_secs(1)),
            slowest: Vec::new(),
            linked: Groups::new(1, DELIVERIES, Duration::ZERO),
            deliveries: Groups::new(1, DELIVERIES, Duration::ZERO),
            next_id: 1,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request that ends like this is to be kept, and why.
    pub fn wants(
        &self,
        (method, route): (&'static str, &Arc<str>),
        error: Option<&'static str>,
        failed: bool,
        (duration, limit): (Duration, Duration),
        now: Instant,
    ) -> Option<Why> {
        let key = (method, Arc::clone(route), error.unwrap_or_default());
        let held = self.lock();
        if failed {
            return held.failed.is_due(&key, now).then_some(Why::Failed);
        }
        if duration > limit {
            return held.slow.is_due(&key, now).then_some(Why::Slow);
        }
        let sampled = || held.sampled.is_due(&key, now).then_some(Why::Sampled);
        if held.is_among_the_slowest(duration, now) {
            Some(Why::Slowest)
        } else {
            sampled()
        }
    }

    /// Keeps a request.
    pub fn keep(&self, record: Record) {
        self.keep_at(record, Instant::now());
    }

    fn keep_at(&self, mut record: Record, now: Instant) {
        let key = record.key();
        let mut held = self.lock();
        record.id = held.next_id;
        held.next_id += 1;
        let (why, record) = (record.why, Arc::new(record));
        match why {
            Why::Failed => held.failed.put(key, record, now),
            Why::Slow => held.slow.put(key, record, now),
            Why::Sampled => held.sampled.put(key, record, now),
            Why::Slowest => held.put_slowest(record, now),
        }
    }

    /// Keeps an attempt at deliveries, for a while at least; for longer when it failed, was slow, or when what caused it is kept.
    pub fn keep_delivery(&self, mut record: Record, failed: bool) {
        let (key, now) = (record.key(), Instant::now());
        let mut held = self.lock();
        record.id = held.next_id;
        held.next_id += 1;
        let linked = held
            .records()
            .any(|kept| kept.trace != 0 && record.caused(kept.trace));
        record.why = match (failed, record.duration > SLOW_DELIVERY) {
            (true, _) => Why::Failed,
            (_, true) => Why::Slow,
            _ => Why::Sampled,
        };
        let (why, record) = (record.why, Arc::new(record));
        match why {
            Why::Failed => held.failed.put(key, record, now),
            Why::Slow => held.slow.put(key, record, now),
            _ if linked => held.linked.put(key, record, now),
            _ => held.deliveries.put(key, record, now),
        }
    }

    /// Every record, the newest first.
    pub fn records(&self) -> Vec<Arc<Record>> {
        let mut records: Vec<_> = self.lock().records().cloned().collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
        records
    }
}

impl Held {
    fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        let groups = [
            &self.failed,
            &self.slow,
            &self.sampled,
            &self.linked,
            &self.deliveries,
        ];
        let groups = groups.into_iter().flat_map(Groups::records);
        groups.chain(self.slowest.iter().map(|(_, record)| record))
    }

    fn is_among_the_slowest(&self, duration: Duration, now: Instant) -> bool {
        self.slowest.len() < SLOWEST
            || self.slowest.iter().any(|(kept_at, record)| {
                record.duration < duration || now.duration_since(*kept_at) > SLOWEST_FOR
            })
    }

    fn put_slowest(&mut self, record: Arc<Record>, now: Instant) {
        self.slowest
            .retain(|(kept_at, _)| now.duration_since(*kept_at) <= SLOWEST_FOR);
        self.slowest.push((now, record));
        if self.slowest.len() > SLOWEST {
            let fastest = self.slowest.iter().enumerate();
            let fastest = fastest.min_by_key(|(_, (_, record))| record.duration);
            if let Some((at, _)) = fastest {
                self.slowest.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
