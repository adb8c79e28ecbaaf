//! What was sampled: fine for a quarter of an hour, coarse for the objectives' windows, and by route for five minutes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::sample::{Route, RouteName, Sample};

/// What the charts show.
pub(super) const WINDOW: Duration = Duration::from_mins(15);
/// What the table of routes is about.
pub(super) const ROUTES_WINDOW: Duration = Duration::from_mins(5);

/// Samples of the charts: 15 minutes of one every 5 s, and the one before them.
const FINE: usize = 181;
/// One a minute for six hours, the longest window of a burn that pages.
const COARSE: usize = 361;
const COARSE_EVERY: Duration = Duration::from_mins(1);
/// By route every 30 s.
const ROUTES: usize = 12;
const ROUTES_EVERY: Duration = Duration::from_secs(30);

/// How many of how many were good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) good: u64,
    pub(super) total: u64,
}

impl Share {
    fn since(self, before: Self) -> Self {
        Self {
            good: self.good.saturating_sub(before.good),
            total: self.total.saturating_sub(before.total),
        }
    }
}

/// The counts behind the four objectives, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slos {
    pub(super) availability: Share,
    pub(super) read: Share,
    pub(super) write: Share,
    pub(super) freshness: Share,
}

impl Slos {
    fn since(self, before: Self) -> Self {
        Self {
            availability: self.availability.since(before.availability),
            read: self.read.since(before.read),
            write: self.write.since(before.write),
            freshness: self.freshness.since(before.freshness),
        }
    }
}

/// Everything kept. At least one sample is always there: the nothing before the start.
pub(super) struct History {
    fine: VecDeque<Sample>,
    coarse: VecDeque<(Instant, Slos)>,
    routes: VecDeque<(Instant, BTreeMap<RouteName, Route>)>,
    latest: Sample,
    pub(super) started: Instant,
    pub(super) started_wall: Duration,
}

impl History {
    pub(super) fn new(started: Instant, wall: Duration) -> Self {
        let nothing = Sample::nothing(started, wall);
        Self {
            fine: VecDeque::from([nothing.clone()]),
            coarse: VecDeque::from([(started, Slos::default())]),
            routes: VecDeque::from([(started, BTreeMap::new())]),
            latest: nothing,
            started,
            started_wall: wall,
        }
    }

    pub(super) fn add(&mut self, sample: Sample) {
        let now = sample.at;
        let is_due = |last: Option<Instant>, every| {
            last.is_none_or(|last| now.saturating_duration_since(last) >= every)
        };
        if is_due(self.coarse.back().map(|(at, _)| *at), COARSE_EVERY) {
            push(&mut self.coarse, (now, sample.slos), COARSE);
        }
        if is_due(self.routes.back().map(|(at, _)| *at), ROUTES_EVERY) {
            push(&mut self.routes, (now, sample.routes.clone()), ROUTES);
        }
        let fine = Sample {
            routes: BTreeMap::new(),
            ..sample.clone()
        };
        push(&mut self.fine, fine, FINE);
        self.latest = sample;
    }

    /// The latest, with its routes.
    pub(super) fn latest(&self) -> &Sample {
        &self.latest
    }

    /// The samples of the charts, without routes, the oldest first.
    pub(super) fn fine(&self) -> impl Iterator<Item = &Sample> {
        self.fine.iter()
    }

    /// The counts of the objectives over a window that ends with the latest sample, and how much of it is covered: less when
    /// the process is younger.
    pub(super) fn slos_over(&self, window: Duration) -> (Duration, Slos) {
        let now = self.latest.at;
        let fine = self.fine.iter().map(|sample| (sample.at, sample.slos));
        let coarse = self.coarse.iter().copied();
        let mut known: Vec<(Instant, Slos)> = coarse.chain(fine).collect();
        known.sort_by_key(|(at, _)| *at);
        let age = |at: Instant| now.saturating_duration_since(at);
        // The latest that is old enough, or else the oldest there is.
        let before = known.iter().rev().find(|(at, _)| age(*at) >= window);
        let (at, before) = before
            .or(known.first())
            .copied()
            .unwrap_or((now, Slos::default()));
        (age(at), self.latest.slos.since(before))
    }

    /// The counts of the objectives since the start.
    pub(super) fn slos_since_start(&self) -> (Duration, Slos) {
        (
            self.latest.at.saturating_duration_since(self.started),
            self.latest.slos,
        )
    }

    /// What each route answered in [`ROUTES_WINDOW`], or since the start when that is less, and how long that is.
    pub(super) fn routes(&self) -> (Duration, BTreeMap<&RouteName, Route>) {
        let now = self.latest.at;
        let age = |at: Instant| now.saturating_duration_since(at);
        let before = self
            .routes
            .iter()
            .rev()
            .find(|(at, _)| age(*at) >= ROUTES_WINDOW);
        let Some((at, before)) = before.or(self.routes.front()) else {
            return (Duration::ZERO, BTreeMap::new());
        };
        let none = Route::empty();
        let changed = self.latest.routes.iter().map(|(name, route)| {
            let before = before.get(name).unwrap_or(&none);
            let since = Route {
                buckets: route.buckets.since(&before.buckets),
                failed: route.failed.saturating_sub(before.failed),
                refused: route.refused.saturating_sub(before.refused),
                seconds: (route.seconds - before.seconds).max(0.0),
            };
            (name, since)
        });
        let busy = changed.filter(|(_, route)| route.buckets.total() > 0);
        (age(*at), busy.collect())
    }
}

fn push<T>(kept: &mut VecDeque<T>, one: T, most: usize) {
    if kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(start: Instant, seconds: u64) -> Sample {
        let mut sample = Sample::nothing(start + Duration::from_secs(seconds), Duration::ZERO);
        sample.slos.availability = Share {
            good: seconds,
            total: seconds,
        };
        let route = Route {
            failed: seconds,
            buckets: super::super::sample::Buckets(vec![seconds; 15]),
            ..Route::empty()
        };
        sample
            .routes
            .insert(("GET".to_owned(), "/".to_owned()), route);
        sample
    }

    #[test]
    fn it_is_bounded_and_covers_each_window() {
        let start = Instant::now();
        let mut history = History::new(start, Duration::ZERO);
        for tick in 1..=20_000 {
            history.add(sample(start, tick * 5));
        }
        assert_eq!(history.fine.len(), FINE);
        assert_eq!(history.coarse.len(), COARSE);
        assert_eq!(history.routes.len(), ROUTES);
        for minutes in [5, 30, 60, 360] {
            let window = Duration::from_mins(minutes);
            let (covered, slos) = history.slos_over(window);
            assert!(
                covered >= window && covered <= window + COARSE_EVERY,
                "{covered:?}"
            );
            assert_eq!(slos.availability.total, covered.as_secs());
        }
        let (covered, routes) = history.routes();
        assert!(covered >= ROUTES_WINDOW && covered <= ROUTES_WINDOW + ROUTES_EVERY);
        assert_eq!(routes.values().next().unwrap().failed, covered.as_secs());
        assert!(history.fine().all(|sample| sample.routes.is_empty()));
    }

    #[test]
    fn a_young_process_says_how_little_it_covers() {
        let start = Instant::now();
        let mut history = History::new(start, Duration::ZERO);
        history.add(sample(start, 40));
        let (covered, slos) = history.slos_over(Duration::from_hours(1));
        assert_eq!((covered.as_secs(), slos.availability.total), (40, 40));
        assert_eq!(history.slos_since_start().0.as_secs(), 40);
        assert_eq!(history.routes().0.as_secs(), 40);
    }
}
