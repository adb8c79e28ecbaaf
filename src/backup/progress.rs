//! What a person at a terminal is told while a backup runs.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a figure changes on the screen.
const EVERY: Duration = Duration::from_millis(200);

/// One line on stderr that is written over and over; nothing at all where stderr is no terminal.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Arc<Mutex<Option<Instant>>>>);

impl Progress {
    /// Nobody watches.
    pub fn silent() -> Self {
        Self::default()
    }

    /// For a command: told when stderr is a terminal.
    pub fn on_terminal() -> Self {
        Self(std::io::stderr().is_terminal().then(Arc::default))
    }

    /// Tells what is being done.
    pub fn step(&self, what: &str) {
        if let Some(last) = &self.0 {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            draw(what);
        }
    }

    /// Tells how far it is.
    pub fn bytes(&self, what: &str, done: u64) {
        let Some(last) = &self.0 else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() >= EVERY) {
            *last = Some(Instant::now());
            draw(&format!("{what}: {}", size(done)));
        }
    }

    /// Clears the line.
    pub fn end(&self) {
        if self.0.is_some() {
            draw("");
        }
    }
}

fn draw(text: &str) {
    let mut out = std::io::stderr().lock();
    // A terminal that is gone is no reason to stop.
    let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    let mebibytes = bytes / (1 << 20);
    if mebibytes > 0 {
        format!("{mebibytes} MiB")
    } else {
        format!("{} KiB", bytes.div_ceil(1024))
    }
}
