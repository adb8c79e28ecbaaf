//! What `/readyz` asks: the lifecycle, the database and its schema.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::lifecycle::{Lifecycle, Phase};
use crate::ops::{self, CheckReport, CheckStatus};
use crate::store::{Store, chain};

/// Longest wait for a sign of life.
const LIMIT: Duration = Duration::from_secs(1);

/// What the checks ask. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Readiness {
    lifecycle: Lifecycle,
    store: Arc<OnceLock<Store>>,
    /// Once the schema was found complete, it stays so.
    schema_is_complete: Arc<AtomicBool>,
}

impl Readiness {
    pub(super) fn new(lifecycle: Lifecycle) -> Self {
        Self {
            lifecycle,
            store: Arc::default(),
            schema_is_complete: Arc::default(),
        }
    }

    /// Notes that there is a store to ask.
    pub(super) fn opened(&self, store: Store) {
        // A second one would be a defect, and the first is the one in use.
        drop(self.store.set(store));
    }

    /// What the ops listener calls.
    pub(super) fn into_check(self) -> ops::Readiness {
        Arc::new(move || {
            let asked = self.clone();
            Box::pin(async move { asked.check().await })
        })
    }

    async fn check(&self) -> Vec<CheckReport> {
        let mut reports = vec![self.check_lifecycle()];
        let Some(store) = self.store.get() else {
            reports.push(report(
                "database",
                Instant::now(),
                Err("not opened yet".to_owned()),
            ));
            return reports;
        };
        reports.push(timed("database", Box::pin(check_database(store))).await);
        reports.push(timed("schema", self.check_schema(store)).await);
        reports
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

    async fn check_schema(&self, store: &Store) -> Result<(), String> {
        if self.schema_is_complete.load(Ordering::Relaxed) {
            return Ok(());
        }
        let version = store
            .schema_version()
            .await
            .map_err(|failure| chain(&failure))?;
        if version.applied < version.known {
            let (applied, known) = (version.applied, version.known);
            return Err(format!(
                "at version {applied}, {known} is needed: run `convoke migrate`"
            ));
        }
        self.schema_is_complete.store(true, Ordering::Relaxed);
        Ok(())
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
