//! How the process begins and ends: shutdown tokens, tracked tasks, readiness and signals.

pub mod tasks;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::tasks::{Group, Tasks};
use crate::telemetry::instruments;

/// Where the process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not everything that requests need is there yet.
    Starting,
    /// Requests are welcome.
    Ready,
    /// Shutdown has begun.
    Stopping,
}

impl Phase {
    /// The phase as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

/// The end of the process in three steps, and the tasks that take part in it. Cheap to clone.
///
/// 1. *soft*: shutdown has begun. Readiness is false, and requests are still served for the grace period, each answer asking
///    its client to leave.
/// 2. *closing*: the grace period is over. Nothing new is begun; what was begun is finished.
/// 3. *hard*: the limit is over. What still runs is dropped.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    closing: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    named: Tasks,
    ready: Arc<AtomicBool>,
}

impl Lifecycle {
    /// A process that is starting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when shutdown begins.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when the grace period is over: begin nothing new.
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Cancelled when the limit is over: drop everything.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Begins the shutdown.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Ends the grace period.
    pub fn close(&self) {
        self.soft.cancel();
        self.closing.cancel();
    }

    /// Ends everything.
    pub fn abort(&self) {
        self.close();
        self.hard.cancel();
    }

    /// Whether shutdown has begun.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Notes that everything that requests need is there.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Where the process stands.
    pub fn phase(&self) -> Phase {
        if self.is_stopping() {
            Phase::Stopping
        } else if self.ready.load(Ordering::Acquire) {
            Phase::Ready
        } else {
            Phase::Starting
        }
    }

    /// The tasks that were started here, by name.
    pub fn tasks(&self) -> &Tasks {
        &self.named
    }

    /// Starts a task that the shutdown waits for. A panic in it is logged and counted, and ends this task only.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_in(&self.tasks, name, task);
    }

    /// As [`Self::spawn`], but a tracker of the caller's own waits for it.
    pub fn spawn_in(
        &self,
        tracker: &TaskTracker,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        start(tracker.track_future(guarded(name, self.named.group(name), task)));
    }

    /// As [`Self::spawn`], but nobody waits for it: it serves others until the runtime ends.
    pub fn spawn_unwatched(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        start(guarded(name, self.named.group(name), task));
    }

    /// Waits until every task of [`Self::spawn`] has ended.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes over SIGTERM and SIGINT: the first begins the shutdown, a second one ends the process at once with the exit code
    /// of a program that died of it (128 + its number), having lost nothing that was acknowledged.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn watch_signals(&self) -> std::io::Result<()> {
        let mut signals = Signals::install()?;
        let lifecycle = self.clone();
        self.spawn_unwatched("signals", async move {
            let first = signals.next().await;
            tracing::info!(signal = first.name, "asked to stop");
            lifecycle.stop();
            let second = signals.next().await;
            tracing::warn!(signal = second.name, "asked again, ending at once");
            lifecycle.abort();
            // Lines are written by a thread of their own: a moment for this one to get out.
            tokio::time::sleep(Duration::from_millis(10)).await;
            std::process::exit(second.exit_code);
        });
        Ok(())
    }

    /// Waits until a signal, or anything else, has begun the shutdown.
    pub async fn wait_for_signal(&self) {
        self.soft.cancelled().await;
    }
}

/// The only place in which a task is started.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one room that starts tasks"
)]
fn start(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

async fn guarded(name: &'static str, group: Arc<Group>, task: impl Future<Output = ()>) {
    let watched = Arc::clone(&group).watch(AssertUnwindSafe(task).catch_unwind());
    if let Err(panic) = watched.await {
        group.panicked();
        instruments::process::panicked();
        tracing::error!(
            task = name,
            panic = panic_text(panic.as_ref()),
            "a task panicked"
        );
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[derive(Clone, Copy)]
struct Caught {
    name: &'static str,
    exit_code: i32,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.terminate.recv() => Caught { name: "SIGTERM", exit_code: 143 },
            _ = self.interrupt.recv() => Caught { name: "SIGINT", exit_code: 130 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_step_of_the_end_includes_the_one_before() {
        let lifecycle = Lifecycle::new();
        assert_eq!(lifecycle.phase(), Phase::Starting);
        lifecycle.set_ready();
        assert_eq!(lifecycle.phase(), Phase::Ready);
        lifecycle.stop();
        assert_eq!(lifecycle.phase(), Phase::Stopping);
        assert!(!lifecycle.closing().is_cancelled());
        lifecycle.abort();
        assert!(lifecycle.closing().is_cancelled() && lifecycle.hard().is_cancelled());
    }

    #[tokio::test]
    async fn the_end_waits_for_tasks_and_survives_one_that_panics() {
        let lifecycle = Lifecycle::new();
        let done = Arc::new(AtomicBool::new(false));
        lifecycle.spawn("panics", async { panic!("on purpose") });
        let (stop, noted) = (lifecycle.closing().clone(), Arc::clone(&done));
        lifecycle.spawn("finishes", async move {
            stop.cancelled().await;
            noted.store(true, Ordering::SeqCst);
        });
        lifecycle.spawn_unwatched("never ends", std::future::pending());
        lifecycle.close();
        lifecycle.finished().await;
        assert!(done.load(Ordering::SeqCst));
    }

    #[test]
    fn a_panic_says_what_it_was_told() {
        assert_eq!(panic_text(&"plain"), "plain");
        assert_eq!(panic_text(&"made".to_owned()), "made");
        assert_eq!(panic_text(&7), "no message");
    }
}
