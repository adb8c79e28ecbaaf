//! How far a long command is, told on stderr: a line that is written over on a terminal, else only what is worth keeping.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Between two lines on a terminal.
const PAUSE: Duration = Duration::from_millis(200);

/// The progress of one command.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    last: Option<Instant>,
    started: Instant,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            last: None,
            started: Instant::now(),
        }
    }

    /// Tells it, if it is time to; a `milestone` in any case.
    pub(super) fn tell(&mut self, milestone: bool, text: impl FnOnce() -> String) {
        let due = self.terminal && self.last.is_none_or(|last| last.elapsed() >= PAUSE);
        if !milestone && !due {
            return;
        }
        self.last = Some(Instant::now());
        let mut out = std::io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        drop(if self.terminal {
            let seconds = self.started.elapsed().as_secs();
            write!(out, "\r\x1b[K{seconds:>4} s  {}", text()).and_then(|()| out.flush())
        } else {
            writeln!(out, "{}", text())
        });
    }

    /// Clears the line.
    pub(super) fn end(&self) {
        if self.terminal {
            drop(write!(std::io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

/// So many a second.
pub(super) fn rate(count: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let count = count as f64;
    count / elapsed.as_secs_f64().max(1e-6)
}
