//! What happens inside one request or delivery: its steps and its log lines, bounded, for the ring of the ops console.
//!
//! It is on whether or not the trace is exported. A request without a database operation and without a log line of its own
//! allocates nothing here.

use std::future::Future;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::scope;

/// Steps kept of one piece of work; further ones are counted.
const MAX_STEPS: usize = 32;
/// Log lines kept of one piece of work, its last one included.
const MAX_LINES: usize = 16;
/// Longest line kept whole; of a longer one the beginning of its message stays.
const MAX_LINE_BYTES: usize = 900;
/// Text of all lines together.
const MAX_TEXT_BYTES: usize = 2_200;
/// Part of it that only the last line may use: it says how it ended.
const LAST_LINE_BYTES: usize = MAX_LINE_BYTES;

tokio::task_local! {
    static DELIVERY: Arc<Recording>;
}

/// What kind of work a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A named database operation.
    Database,
    /// A look-up that a cache could not answer, with what it took to find the answer.
    Cache,
    /// Waiting for a connection, or for SQLite's one writer.
    Wait,
    /// Hashing a password.
    Hash,
    /// A call to a store of files.
    Storage,
}

/// One step: what it was, when it began, and how long it took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What kind of work.
    pub kind: StepKind,
    /// Its name, such as `events.find`.
    pub name: &'static str,
    /// Time from the beginning of the whole to the beginning of this.
    pub start_us: u32,
    /// How long it took.
    pub duration_us: u32,
    /// Rows returned or affected, where that is known.
    pub rows: Option<u32>,
    /// How it failed, if it did.
    pub error: Option<&'static str>,
}

/// A log line, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Time from the beginning of the whole, in microseconds.
    pub at_us: u32,
    /// `ERROR` to `TRACE`.
    pub level: &'static str,
    /// The module it comes from.
    pub target: &'static str,
    /// The message and the fields: the inside of a JSON object.
    pub members: Box<str>,
}

/// What one piece of work left.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Its steps, in the order in which they ended.
    pub steps: Vec<Step>,
    /// Its log lines.
    pub lines: Vec<Line>,
    /// Steps beyond the bound.
    pub steps_dropped: u32,
    /// Lines beyond the bound.
    pub lines_dropped: u32,
}

#[derive(Debug, Default)]
struct Held {
    recorded: Recorded,
    text_bytes: usize,
    ending: Option<bool>,
}

/// Collects while the work is under way.
#[derive(Debug)]
pub struct Recording {
    started: Instant,
    held: Mutex<Held>,
}

impl Recording {
    /// Begins now.
    pub fn start() -> Self {
        Self::since(Instant::now())
    }

    /// Of work that began at `started`.
    pub fn since(started: Instant) -> Self {
        Self {
            started,
            held: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a step that has just ended.
    pub fn step(
        &self,
        kind: StepKind,
        name: &'static str,
        duration: Duration,
        rows: Option<u64>,
        error: Option<&'static str>,
    ) {
        let start = self.started.elapsed().saturating_sub(duration);
        let mut held = self.lock();
        if held.recorded.steps.len() >= MAX_STEPS {
            held.recorded.steps_dropped += 1;
            return;
        }
        held.recorded.steps.push(Step {
            kind,
            name,
            start_us: micros(start),
            duration_us: micros(duration),
            rows: rows.map(|rows| u32::try_from(rows).unwrap_or(u32::MAX)),
            error,
        });
    }

    /// Says that only the line which tells how it ended is still to come, and whether it is wanted.
    pub fn ending(&self, wanted: bool) {
        self.lock().ending = Some(wanted);
    }

    /// Notes a log line; `rest` is the other fields as JSON members, each behind a comma.
    fn line(&self, level: &'static str, target: &'static str, message: &str, rest: &str) {
        let mut held = self.lock();
        let (lines, room) = match held.ending {
            None => (MAX_LINES - 1, MAX_TEXT_BYTES - LAST_LINE_BYTES),
            Some(true) => (MAX_LINES, MAX_TEXT_BYTES),
            Some(false) => return,
        };
        if held.recorded.lines.len() >= lines {
            held.recorded.lines_dropped += 1;
            return;
        }
        let members = members(message, rest);
        if held.text_bytes + members.len() > room {
            held.recorded.lines_dropped += 1;
            return;
        }
        held.text_bytes += members.len();
        let at_us = micros(self.started.elapsed());
        held.recorded.lines.push(Line {
            at_us,
            level,
            target,
            members,
        });
    }

    /// What was collected; nothing is left behind.
    pub fn take(&self) -> Recorded {
        let mut recorded = mem::take(&mut self.lock().recorded);
        recorded.steps.shrink_to_fit();
        recorded.lines.shrink_to_fit();
        recorded
    }

    /// Runs a delivery's work; what happens in it is noted here.
    pub fn run<F: Future>(self: &Arc<Self>, work: F) -> impl Future<Output = F::Output> + use<F> {
        DELIVERY.scope(Arc::clone(self), work)
    }

    /// Calls a function of a delivery; what is logged in it is noted here.
    pub fn enter<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        DELIVERY.sync_scope(Arc::clone(self), work)
    }
}

/// Calls a function with the recording of the request or delivery that this task works for.
fn with_current(f: impl Fn(&Recording)) {
    if scope::with_current(|scope| f(&scope.recording)).is_none() {
        // Outside both there is nothing to note it in.
        let _ = DELIVERY.try_with(|recording| f(recording));
    }
}

/// Notes a step of the current request or delivery.
pub fn step(
    kind: StepKind,
    name: &'static str,
    duration: Duration,
    rows: Option<u64>,
    error: Option<&'static str>,
) {
    with_current(|recording| recording.step(kind, name, duration, rows, error));
}

/// Does some work and notes it as a step of the current request or delivery.
pub async fn timed<T>(kind: StepKind, name: &'static str, work: impl Future<Output = T>) -> T {
    let open = Open::start(kind, name);
    let done = work.await;
    step(kind, name, open.close(), None, None);
    done
}

/// A step under way. One that is dropped before it is closed is noted as cut off: the deadline passed, or the client went.
#[derive(Debug)]
#[must_use = "it is cut off when this is dropped"]
pub struct Open {
    kind: StepKind,
    name: &'static str,
    started: Instant,
    closed: AtomicBool,
}

impl Open {
    /// Begins now.
    pub fn start(kind: StepKind, name: &'static str) -> Self {
        Self {
            kind,
            name,
            started: Instant::now(),
            closed: AtomicBool::new(false),
        }
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Says that it came to its end, which the caller notes; answers how long it took.
    pub fn close(&self) -> Duration {
        self.closed.store(true, Ordering::Relaxed);
        self.started.elapsed()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            step(
                self.kind,
                self.name,
                self.started.elapsed(),
                None,
                Some("cut off"),
            );
        }
    }
}

/// Whether a line logged here belongs to a request or a delivery.
pub(super) fn is_on() -> bool {
    scope::with_current(|_| ()).is_some() || DELIVERY.try_with(|_| ()).is_ok()
}

/// Notes a line of the log in the current request or delivery.
pub(super) fn line(level: &'static str, target: &'static str, message: &str, rest: &str) {
    with_current(|recording| recording.line(level, target, message, rest));
}

/// The inside of a JSON object: the message, and the fields if there is room for them.
fn members(message: &str, rest: &str) -> Box<str> {
    let mut text = String::from("\"message\":");
    let fits = message.len() + rest.len() <= MAX_LINE_BYTES;
    let mut end = message.len().min(MAX_LINE_BYTES / 2);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let shown = if fits {
        message
    } else {
        message.get(..end).unwrap_or_default()
    };
    text.push_str(&serde_json::Value::from(shown).to_string());
    text.push_str(if fits { rest } else { ",\"shortened\":true" });
    text.into()
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_lines_are_bounded_and_what_is_left_out_is_counted() {
        let recording = Recording::start();
        for _ in 0..MAX_STEPS + 3 {
            recording.step(
                StepKind::Database,
                "events.find",
                Duration::ZERO,
                Some(1),
                None,
            );
        }
        for _ in 0..40 {
            recording.line("INFO", "convoke", &"x".repeat(200), ",\"a\":1");
        }
        recording.ending(true);
        recording.line(
            "INFO",
            "convoke::request",
            "request",
            &",\"b\":2".repeat(100),
        );
        let recorded = recording.take();
        assert_eq!(
            (recorded.steps.len(), recorded.steps_dropped),
            (MAX_STEPS, 3)
        );
        let text: usize = recorded.lines.iter().map(|line| line.members.len()).sum();
        assert!(text <= MAX_TEXT_BYTES && recorded.lines.len() <= MAX_LINES);
        assert!(recorded.lines_dropped > 30);
        let last = recorded.lines.last().unwrap();
        assert_eq!(
            last.target, "convoke::request",
            "the last line has room of its own"
        );
        assert!(recording.take().steps.is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_shortened_to_valid_json() {
        let short = members("said \"so\"", ",\"a\":1");
        assert_eq!(&*short, r#""message":"said \"so\"","a":1"#);
        let long = members(&"é".repeat(2000), &",\"a\":1".repeat(500));
        assert!(long.len() <= MAX_LINE_BYTES, "{}", long.len());
        let whole: serde_json::Value = serde_json::from_str(&format!("{{{long}}}")).unwrap();
        assert_eq!(whole["shortened"], true);
    }

    #[test]
    fn the_last_line_is_left_out_when_nobody_wants_it() {
        let recording = Recording::start();
        recording.line("WARN", "convoke", "early", "");
        recording.ending(false);
        recording.line("INFO", "convoke::request", "request", "");
        assert_eq!(recording.take().lines.len(), 1);
    }

    #[tokio::test]
    async fn steps_go_to_the_delivery_they_belong_to() {
        let recording = Arc::new(Recording::start());
        step(StepKind::Wait, "nowhere", Duration::ZERO, None, None);
        recording
            .run(async { timed(StepKind::Wait, "connection", async {}).await })
            .await;
        let steps = recording.take().steps;
        assert_eq!(steps.len(), 1);
        assert_eq!((steps[0].name, steps[0].error), ("connection", None));
    }

    #[tokio::test]
    async fn a_step_that_is_given_up_is_noted_as_cut_off() {
        let recording = Arc::new(Recording::start());
        let never = timed(StepKind::Wait, "connection", std::future::pending::<()>());
        let mut work = Box::pin(recording.run(never));
        assert!(futures_util::poll!(&mut work).is_pending());
        assert!(recording.take().steps.is_empty());
        drop(work);
        let steps = recording.take().steps;
        assert_eq!(
            (steps[0].name, steps[0].error),
            ("connection", Some("cut off"))
        );
    }
}
