//! The objectives as the console shows them: what is left of the budget, and how fast it burns.

use std::time::Duration;

use serde::Serialize;

use super::history::{History, Share, Slos};
use super::quantile::as_number;
use super::snapshot::rounded;
use crate::telemetry::objectives::{
    AVAILABILITY, FRESHNESS, MINIMUM_BAD, Objective, READ_LATENCY, WRITE_LATENCY,
};

/// The pairs of windows of the burns that page (SRE workbook, "Multiwindow, Multi-Burn-Rate Alerts"): long, short, and the
/// rate at which both count.
const PAGES: [(Duration, Duration, f64); 2] = [
    (Duration::from_hours(1), Duration::from_mins(5), 14.4),
    (Duration::from_hours(6), Duration::from_mins(30), 6.0),
];

type Pick = fn(&Slos) -> Share;

const OBJECTIVES: [(Objective, Pick); 4] = [
    (AVAILABILITY, |slos| slos.availability),
    (READ_LATENCY, |slos| slos.read),
    (WRITE_LATENCY, |slos| slos.write),
    (FRESHNESS, |slos| slos.freshness),
];

#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Slo {
    name: &'static str,
    title: &'static str,
    target: f64,
    /// Since the start, as far back as this process can see.
    since_start: Period,
    /// Share of the budget of that period that is left; negative when it is overspent, none without traffic.
    budget_remaining: Option<f64>,
    burn: Vec<Burn>,
    /// `page` when one of the pairs of windows burns as fast as its alert allows and enough was bad in the long one, `spent` when the budget since the start is
    /// used up, `idle` without traffic, else `ok`.
    state: &'static str,
}

#[derive(Debug, Serialize, PartialEq)]
struct Period {
    seconds: u64,
    good: u64,
    total: u64,
    good_ratio: Option<f64>,
}

#[derive(Debug, Serialize, PartialEq)]
struct Burn {
    window_seconds: u64,
    /// Less than the window when the process is younger.
    covered_seconds: u64,
    total: u64,
    /// 1 spends exactly the budget; none without traffic.
    rate: Option<f64>,
    /// The rate from which, in both windows of a pair, it pages.
    pages_at: f64,
}

pub(super) fn all(history: &History) -> Vec<Slo> {
    OBJECTIVES
        .iter()
        .map(|(objective, pick)| one(history, objective, *pick))
        .collect()
}

fn one(history: &History, objective: &Objective, pick: Pick) -> Slo {
    let (age, slos) = history.slos_since_start();
    let share = pick(&slos);
    let budget_remaining = burn_rate(share, objective.target).map(|rate| 1.0 - rate);
    let mut burn = Vec::new();
    let mut pages = false;
    for (long, short, pages_at) in PAGES {
        let mut bad = 0;
        let both = [short, long].map(|window| {
            let (covered, slos) = history.slos_over(window);
            let share = pick(&slos);
            // The long window is the last.
            bad = share.total.saturating_sub(share.good);
            Burn {
                window_seconds: window.as_secs(),
                covered_seconds: covered.as_secs(),
                total: share.total,
                rate: burn_rate(share, objective.target).map(|rate| rounded(rate, 2)),
                pages_at,
            }
        });
        let burns = |one: &Burn| one.rate.is_some_and(|rate| rate > pages_at);
        pages |= bad >= MINIMUM_BAD && both.iter().all(burns);
        burn.extend(both);
    }
    burn.sort_by_key(|one| one.window_seconds);
    let state = match budget_remaining {
        _ if pages => "page",
        None => "idle",
        Some(left) if left < 0.0 => "spent",
        Some(_) => "ok",
    };
    Slo {
        name: objective.name,
        title: objective.title,
        target: objective.target,
        since_start: Period {
            seconds: age.as_secs(),
            good: share.good,
            total: share.total,
            good_ratio: ratio(share).map(|ratio| rounded(ratio, 6)),
        },
        budget_remaining: budget_remaining.map(|left| rounded(left, 4)),
        burn,
        state,
    }
}

fn ratio(share: Share) -> Option<f64> {
    (share.total > 0).then(|| as_number(share.good) / as_number(share.total))
}

fn burn_rate(share: Share, target: f64) -> Option<f64> {
    ratio(share).map(|good| (1.0 - good) / (1.0 - target))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::sample::Sample;
    use super::*;

    fn history(good: u64, total: u64, seconds: u64) -> History {
        let start = Instant::now();
        let mut history = History::new(start, Duration::ZERO);
        let mut sample = Sample::nothing(start + Duration::from_secs(seconds), Duration::ZERO);
        sample.slos.availability = Share { good, total };
        history.add(sample);
        history
    }

    #[test]
    fn the_budget_is_what_the_objective_leaves() {
        let half = &all(&history(1_999, 2_000, 60))[0];
        assert_eq!((half.state, half.budget_remaining), ("ok", Some(0.5)));
        let twice = &all(&history(998, 1_000, 60))[0];
        assert_eq!((twice.state, twice.budget_remaining), ("spent", Some(-1.0)));
        assert_eq!(twice.burn[0].rate, Some(2.0));
        assert_eq!(
            (twice.burn[3].window_seconds, twice.burn[3].covered_seconds),
            (21_600, 60)
        );
    }

    #[test]
    fn a_fast_burn_pages_and_no_traffic_is_no_verdict() {
        assert_eq!(all(&history(900, 1_000, 60))[0].state, "page");
        assert_eq!(all(&history(10, 20, 60))[0].state, "page");
        assert_eq!(all(&history(10, 19, 60))[0].state, "spent");
        let idle = &all(&history(0, 0, 60))[0];
        assert_eq!((idle.state, idle.budget_remaining), ("idle", None));
        assert_eq!(idle.burn[0].rate, None);
    }
}
