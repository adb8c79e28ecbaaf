//! The tasks that were started, by name: how many run, how many ended how, and when they last had their turn.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// All tasks of one name.
#[derive(Debug)]
pub(super) struct Group {
    birth: Instant,
    started: AtomicU64,
    running: AtomicUsize,
    panicked: AtomicU64,
    in_turn: AtomicUsize,
    /// End of the last turn, in milliseconds since `birth`.
    last_turn: AtomicU64,
}

/// What is known of the tasks of one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskReport {
    /// The name they were started by.
    pub name: &'static str,
    /// How many run.
    pub running: usize,
    /// How many were started since the process began.
    pub started_total: u64,
    /// How many of them panicked.
    pub panicked_total: u64,
    /// How many are at it this moment rather than waiting: for long only when one holds its worker up.
    pub in_turn: usize,
    /// Time since one of them last did something.
    pub seconds_since_last_turn: f64,
}

/// The groups by their names, which are all known when the program is compiled. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Mutex<BTreeMap<&'static str, Arc<Group>>>>);

impl Tasks {
    pub(super) fn group(&self, name: &'static str) -> Arc<Group> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(groups.entry(name).or_insert_with(|| {
            Arc::new(Group {
                birth: Instant::now(),
                started: AtomicU64::new(0),
                running: AtomicUsize::new(0),
                panicked: AtomicU64::new(0),
                in_turn: AtomicUsize::new(0),
                last_turn: AtomicU64::new(0),
            })
        }))
    }

    /// What is known of each name, in alphabetical order.
    pub fn report(&self) -> Vec<TaskReport> {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = groups.iter().map(|(name, group)| TaskReport {
            name,
            running: group.running.load(Ordering::Relaxed),
            started_total: group.started.load(Ordering::Relaxed),
            panicked_total: group.panicked.load(Ordering::Relaxed),
            in_turn: group.in_turn.load(Ordering::Relaxed),
            seconds_since_last_turn: group.since_last_turn(),
        });
        reports.collect()
    }
}

impl Group {
    fn since_last_turn(&self) -> f64 {
        let last = self.last_turn.load(Ordering::Relaxed);
        let now = self.millis();
        std::time::Duration::from_millis(now.saturating_sub(last)).as_secs_f64()
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn panicked(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }

    /// The task, watched.
    pub(super) async fn watch<T>(self: Arc<Self>, task: impl Future<Output = T>) -> T {
        self.started.fetch_add(1, Ordering::Relaxed);
        let _running = Count::up(&self.running);
        let mut task = pin!(task);
        std::future::poll_fn(|context| {
            let turn = Count::up(&self.in_turn);
            let state = task.as_mut().poll(context);
            drop(turn);
            self.last_turn.store(self.millis(), Ordering::Relaxed);
            state
        })
        .await
    }
}

/// One more for as long as this lives, whether what it counts ends, panics or is dropped.
struct Count<'a>(&'a AtomicUsize);

impl<'a> Count<'a> {
    fn up(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_task_runs_until_it_ends_or_is_dropped_and_tells_its_last_turn() {
        let tasks = Tasks::default();
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let waiting = tasks.group("waits").watch(async {
            drop(wait.await);
            std::thread::sleep(Duration::from_millis(5));
        });
        let mut waiting = Box::pin(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let report = &tasks.report()[0];
        assert_eq!(
            (report.running, report.started_total, report.in_turn),
            (1, 1, 0)
        );
        tokio::time::sleep(Duration::from_millis(30)).await;
        let waited = tasks.report()[0].seconds_since_last_turn;
        assert!(waited >= 0.02);
        go.send(()).unwrap();
        waiting.await;
        let report = &tasks.report()[0];
        assert_eq!((report.name, report.running), ("waits", 0));
        assert!(
            report.seconds_since_last_turn < waited + 0.02,
            "it was counted anew"
        );

        let dropped = tasks.group("dropped");
        {
            let mut pending = Box::pin(dropped.watch(std::future::pending::<()>()));
            assert!(futures_util::poll!(&mut pending).is_pending());
            assert_eq!(tasks.report()[0].running, 1);
        }
        assert_eq!(tasks.report()[0].running, 0);
    }
}
