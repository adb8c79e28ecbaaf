//! The database: does it answer, how fast, is its schema current, and does its clock agree with ours?

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::SqliteConnectOptions;

use super::Finding;
use crate::cli::prepare;
use crate::config::{Config, Engine};
use crate::domain::clock::Clock;
use crate::store::{ReplicaSeen, SchemaVersion, Store, chain};

/// Longest wait for the database.
const LIMIT: Duration = Duration::from_secs(5);
/// Round trips to measure.
const PINGS: usize = 5;
/// A median round trip from here on is told: every request makes several.
const SLOW: Duration = Duration::from_millis(20);
/// A difference from here on makes leases and expiries of replicas disagree.
const SKEW: SignedDuration = SignedDuration::from_secs(1);

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    // Opening it would make it.
    if let Some(file) = missing_file(config) {
        let what = format!("SQLite, {} is not there yet", file.display());
        let advice = "nothing to do: `convoke serve` makes it";
        return vec![
            Finding::doubtful("database", what, advice),
            plausible(Clock::system().now()),
        ];
    }
    let url = config.database.url.to_string();
    let advice = "is it running, and are address, name and password in CONVOKE_DATABASE_URL right?";
    match prepare::open_store_within(config, LIMIT).await {
        Err(failure) => {
            let what = format!("{url}: {}", chain(&failure));
            vec![
                Finding::broken("database", what, advice),
                plausible(Clock::system().now()),
            ]
        }
        Ok(store) => {
            let mut findings = vec![
                latency(&store, &url).await,
                schema(&store, config).await,
                clock(&store).await,
            ];
            findings.extend(replica(Box::pin(store.observe_replica()).await));
            store.close().await;
            findings
        }
    }
}

/// The SQLite file, when there is none.
fn missing_file(config: &Config) -> Option<PathBuf> {
    if config.database.url.engine() == Engine::Postgres {
        return None;
    }
    let options = SqliteConnectOptions::from_str(config.database.url.expose()).ok()?;
    let file = options.get_filename().to_owned();
    (!file.exists()).then_some(file)
}

async fn latency(store: &Store, url: &str) -> Finding {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let started = Instant::now();
        if let Err(failure) = store.ping().await {
            return Finding::broken(
                "database",
                format!("{url}: {}", chain(&failure)),
                "look at its log",
            );
        }
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let median = times.get(PINGS / 2).copied().unwrap_or_default();
    let what = format!("{url} answers in {:.2} ms", median.as_secs_f64() * 1e3);
    if median >= SLOW {
        return Finding::doubtful(
            "database",
            what,
            "bring the service nearer to it: every request makes several round trips",
        );
    }
    Finding::fine("database", what)
}

fn replica(seen: ReplicaSeen) -> Option<Finding> {
    match seen {
        ReplicaSeen::NotConfigured => None,
        ReplicaSeen::Replays(_) => {
            Some(Finding::fine("read replica", "replays the log".to_owned()))
        }
        ReplicaSeen::Unusable(reason) => Some(Finding::doubtful(
            "read replica",
            reason,
            "lists go to the primary until CONVOKE_DATABASE_READ_URL leads to a replica of it that answers",
        )),
    }
}

async fn schema(store: &Store, config: &Config) -> Finding {
    match store.schema_version().await {
        Ok(version) => schema_finding(version, config.database.migrate_on_start),
        Err(failure) => Finding::broken("schema", chain(&failure), "look at the database's log"),
    }
}

fn schema_finding(
    SchemaVersion {
        known,
        applied,
        pending,
    }: SchemaVersion,
    migrate_on_start: bool,
) -> Finding {
    if pending == 0 && applied == known {
        return Finding::fine("schema", format!("version {applied}"));
    }
    let what = format!("version {applied}, and this program knows version {known}");
    if pending == 0 {
        return Finding::doubtful(
            "schema",
            what,
            "finish the upgrade: a newer version of the service has been here",
        );
    }
    if migrate_on_start {
        return Finding::doubtful(
            "schema",
            what,
            "nothing to do: `convoke serve` brings it up to date",
        );
    }
    Finding::broken("schema", what, "run `convoke migrate`")
}

async fn clock(store: &Store) -> Finding {
    let before = store.clock().now();
    match store.database_clock().await {
        Ok(Some(theirs)) => {
            // Somewhere between asking and being answered.
            let after = store.clock().now();
            let skew = apart(before, theirs, after);
            let what = format!("{:.3} s from the database's", skew.as_secs_f64());
            if skew > SKEW {
                return Finding::doubtful(
                    "clock",
                    what,
                    "let NTP set both clocks: leases and expiries depend on them",
                );
            }
            Finding::fine("clock", what)
        }
        Ok(None) => plausible(before),
        Err(failure) => Finding::broken("clock", chain(&failure), "look at the database's log"),
    }
}

/// How far `theirs` lies outside of the time between `before` and `after`.
fn apart(before: Timestamp, theirs: Timestamp, after: Timestamp) -> SignedDuration {
    if theirs < before {
        before.duration_since(theirs)
    } else if theirs > after {
        theirs.duration_since(after)
    } else {
        SignedDuration::ZERO
    }
}

/// Without another clock to compare with: a machine that lost its time is in 1970 or at its firmware's date.
fn plausible(now: Timestamp) -> Finding {
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
    if (2026..2100).contains(&year) {
        return Finding::fine("clock", format!("{now:.0}"));
    }
    Finding::broken(
        "clock",
        format!("{now:.0} cannot be"),
        "set the machine's clock, best by NTP",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn clocks_agree_when_one_time_lies_within_the_question() {
        assert_eq!(apart(at(10), at(11), at(12)), SignedDuration::ZERO);
        assert_eq!(apart(at(10), at(7), at(12)), SignedDuration::from_secs(3));
        assert_eq!(apart(at(10), at(14), at(12)), SignedDuration::from_secs(2));
    }

    #[test]
    fn a_clock_in_1970_is_broken() {
        assert_eq!(plausible(at(0)).verdict, Verdict::Broken);
        assert_eq!(plausible(at(1_800_000_000)).verdict, Verdict::Fine);
    }

    #[test]
    fn an_old_schema_is_a_failure_only_when_nobody_will_mend_it() {
        let version = |applied, known: i64| SchemaVersion {
            known,
            applied,
            pending: u32::try_from(known - applied).unwrap_or(0),
        };
        assert_eq!(schema_finding(version(2, 2), false).verdict, Verdict::Fine);
        assert_eq!(
            schema_finding(version(1, 2), true).verdict,
            Verdict::Doubtful
        );
        assert_eq!(
            schema_finding(version(1, 2), false).verdict,
            Verdict::Broken
        );
        assert_eq!(
            schema_finding(version(3, 2), false).verdict,
            Verdict::Doubtful
        );
    }
}
