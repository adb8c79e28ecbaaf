//! The checks of readiness: the lifecycle, the database and its schema. `/readyz` and the gauges tell of the same runs.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::lifecycle::{Lifecycle, Phase};
use crate::ops::{self, CheckReport, CheckStatus};
use crate::store::{Store, chain};
use crate::telemetry::{instruments::health, wall_clock};

/// Every check, in the order of the report; the `check` label.
pub(super) const CHECKS: [&str; 3] = ["lifecycle", "database", "schema"];

/// Longest wait for a sign of life.
const LIMIT: Duration = Duration::from_secs(1);
/// How often the checks run without a probe.
const EVERY: Duration = Duration::from_secs(5);

/// What the checks ask. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Readiness {
    lifecycle: Lifecycle,
    store: Arc<OnceLock<Store>>,
    runs: Arc<Mutex<Runs>>,
    changed: Arc<Notify>,
}

/// What is known of the runs so far.
#[derive(Debug, Default)]
struct Runs {
    begun: u64,
    /// The latest run that set the gauges: one that began before it and took longer must not.
    told: u64,
    /// What was wrong with the schema when it was last seen.
    schema: Option<Result<(), String>>,
    /// What that latest run found, and when, since the Unix epoch.
    last: Option<(Duration, Vec<CheckReport>)>,
}

impl Readiness {
    pub(super) fn new(lifecycle: Lifecycle) -> Self {
        health::prime(&CHECKS);
        Self {
            lifecycle,
            store: Arc::default(),
            runs: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// Notes that there is a store to ask.
    pub(super) fn opened(&self, store: Store) {
        // A second one would be a defect, and the first is the one in use.
        drop(self.store.set(store));
    }

    /// Notes that the lifecycle has moved on, so that the gauges need not wait for their turn.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    /// What the ops listener calls.
    pub(super) fn into_check(self) -> ops::Readiness {
        Arc::new(move || {
            let asked = self.clone();
            Box::pin(async move { asked.check().await })
        })
    }

    /// What the latest run found, for the console, which asks nobody anew.
    pub(super) fn into_last(self) -> ops::LastChecks {
        Arc::new(move || self.with_runs(|runs| runs.last.clone()))
    }

    /// Runs the checks every 5 s, and at once when the lifecycle moves on, whether or not anybody probes.
    pub(super) async fn observe_always(self, until: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        while !until.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.changed.notified() => {}
                () = self.lifecycle.soft().cancelled(), if !stopping => stopping = true,
                () = until.cancelled() => return,
            }
            self.check().await;
        }
    }

    /// Runs the checks: at most two limits long.
    async fn check(&self) -> Vec<CheckReport> {
        let run = self.with_runs(|runs| {
            runs.begun += 1;
            runs.begun
        });
        let mut reports = vec![self.check_lifecycle()];
        if let Some(store) = self.store.get() {
            let database = timed("database", Box::pin(check_database(store))).await;
            let answers = database.status == CheckStatus::Ok;
            reports.push(database);
            let schema = Box::pin(self.check_schema(store, answers));
            reports.push(timed("schema", schema).await);
        } else {
            for name in ["database", "schema"] {
                reports.push(report(
                    name,
                    Instant::now(),
                    Err("not opened yet".to_owned()),
                ));
            }
        }
        self.with_runs(|runs| {
            if runs.told < run {
                runs.told = run;
                runs.last = Some((wall_clock(), reports.clone()));
                for one in &reports {
                    health::checked(one.name, one.status == CheckStatus::Ok);
                }
            }
        });
        reports
    }

    fn with_runs<T>(&self, f: impl FnOnce(&mut Runs) -> T) -> T {
        f(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_lifecycle(&self) -> CheckReport {
        let phase = self.lifecycle.phase();
        let found = if phase == Phase::Ready {
            Ok(())
        } else {
            Err(phase.as_str().to_owned())
        };
        report("lifecycle", Instant::now(), found)
    }

    /// Asked anew each time: a restored backup may be older than the program. What a database that does not answer would
    /// say is taken to be what it said last, so that an outage is told once, by its own check.
    async fn check_schema(&self, store: &Store, database_answers: bool) -> Result<(), String> {
        if !database_answers {
            let last = self.with_runs(|runs| runs.schema.clone());
            return last.unwrap_or_else(|| Err("the database does not answer".to_owned()));
        }
        let mut asking = std::pin::pin!(store.schema_version());
        let version = match tokio::time::timeout(LIMIT / 2, &mut asking).await {
            // Nor does it take a replica away that every connection of it waits for a lock.
            Ok(Err(_)) | Err(_) if store.is_busy() => {
                let last = self.with_runs(|runs| runs.schema.clone());
                return last.unwrap_or_else(|| Err("no connection is free to ask".to_owned()));
            }
            Ok(version) => version,
            Err(_) => asking.await,
        };
        let version = version.map_err(|failure| chain(&failure))?;
        health::pending_migrations(version.pending);
        let found = if version.pending > 0 {
            let (applied, known) = (version.applied, version.known);
            Err(format!(
                "at version {applied}, {known} is needed: run `convoke migrate`"
            ))
        } else {
            Ok(())
        };
        self.with_runs(|runs| runs.schema = Some(found.clone()));
        found
    }
}

async fn check_database(store: &Store) -> Result<(), String> {
    store.ping().await.map_err(|failure| chain(&failure))
}

async fn timed(name: &'static str, check: impl Future<Output = Result<(), String>>) -> CheckReport {
    let started = Instant::now();
    let found = tokio::time::timeout(LIMIT, check).await;
    report(
        name,
        started,
        found.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs()))),
    )
}

fn report(name: &'static str, started: Instant, found: Result<(), String>) -> CheckReport {
    CheckReport {
        name,
        status: if found.is_ok() {
            CheckStatus::Ok
        } else {
            CheckStatus::Failed
        },
        latency_seconds: started.elapsed().as_secs_f64(),
        detail: found.err(),
    }
}
