//! Writes log lines to stdout without ever making the one who logs wait.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait for a slow reader before lines are dropped.
pub const DEFAULT_CAPACITY: usize = 8 * 1024 * 1024;

/// Lines that arrive within this time go out in one write: a wake-up a line costs more than the line.
const GATHER: Duration = Duration::from_millis(2);

/// Enough to be worth a write of its own at once.
const PROMPT_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    writing: bool,
    hurry: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    drained: Condvar,
    capacity: usize,
    dropped: Counter,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to the log's buffer; cheap to clone, and the writer of the log layer.
#[derive(Clone, Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
}

impl LogWriter {
    /// Starts the thread that writes to the process's standard output.
    pub fn stdout(dropped: Counter) -> io::Result<Self> {
        // `io::stdout()` splits what it is given at the last newline; the bare descriptor takes it in one write.
        #[cfg(unix)]
        let sink = {
            use std::os::fd::AsFd;
            std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?)
        };
        #[cfg(not(unix))]
        let sink = io::stdout();
        Self::start(sink, DEFAULT_CAPACITY, dropped)
    }

    /// Starts the thread that writes to `sink`; at most `capacity` bytes wait, and each line lost is counted.
    pub fn start(
        sink: impl Write + Send + 'static,
        capacity: usize,
        dropped: Counter,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            arrived: Condvar::new(),
            drained: Condvar::new(),
            capacity,
            dropped,
        });
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || write_until_the_end(&writer, sink))?;
        Ok(Self { shared })
    }

    /// Adds one whole line (or several), or drops and counts it when the buffer is full.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.pending.len() + line.len() > self.shared.capacity {
            drop(state);
            self.shared.dropped.increment(count_lines(line));
            return;
        }
        let was_empty = state.pending.is_empty();
        let before = state.pending.len();
        state.pending.extend_from_slice(line);
        let full_enough = before < PROMPT_BYTES && state.pending.len() >= PROMPT_BYTES;
        drop(state);
        if was_empty || full_enough {
            self.shared.arrived.notify_one();
        }
    }

    /// Waits until everything logged before is written, at most `timeout`; answers whether it is.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        state.hurry = true;
        self.shared.arrived.notify_one();
        while state.writing || !state.pending.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            state = self
                .shared
                .drained
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

fn write_until_the_end(shared: &Shared, mut sink: impl Write) {
    let mut batch = Vec::new();
    loop {
        let mut state = shared.lock();
        while state.pending.is_empty() {
            state.hurry = false;
            state = shared
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !state.hurry && state.pending.len() < PROMPT_BYTES {
            state = shared
                .arrived
                .wait_timeout(state, GATHER)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        std::mem::swap(&mut state.pending, &mut batch);
        state.writing = true;
        drop(state);

        let lost = write_whole(&mut sink, &batch);
        if lost > 0 {
            shared.dropped.increment(lost);
        }
        batch.clear();
        // One burst must not keep megabytes for the rest of the process's life.
        batch.shrink_to(PROMPT_BYTES);

        let mut state = shared.lock();
        state.writing = false;
        drop(state);
        shared.drained.notify_all();
    }
}

/// Writes all of it and answers how many lines could not be written.
fn write_whole(sink: &mut impl Write, mut rest: &[u8]) -> u64 {
    while !rest.is_empty() {
        match sink.write(rest) {
            Ok(0) => return count_lines(rest),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever shares the terminal with us may have made the descriptor non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(GATHER);
            }
            Err(_) => return count_lines(rest),
        }
    }
    u64::from(sink.flush().is_err())
}

fn count_lines(bytes: &[u8]) -> u64 {
    let ends = bytes.split(|byte| *byte == b'\n').count() - 1;
    u64::try_from(ends.max(1)).unwrap_or(u64::MAX)
}

impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// A sink that hands over each write and waits for leave to go on.
    struct Gate(mpsc::Sender<Vec<u8>>, mpsc::Receiver<io::Result<()>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            self.1.recv().map_err(io::Error::other)??;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Rig {
        writer: LogWriter,
        written: mpsc::Receiver<Vec<u8>>,
        leave: mpsc::Sender<io::Result<()>>,
        dropped: Arc<AtomicU64>,
    }

    fn rig(capacity: usize) -> Rig {
        let (written_tx, written) = mpsc::channel();
        let (leave, leave_rx) = mpsc::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Counter::from_arc(Arc::clone(&dropped));
        let writer = LogWriter::start(Gate(written_tx, leave_rx), capacity, counter).unwrap();
        Rig {
            writer,
            written,
            leave,
            dropped,
        }
    }

    #[test]
    fn a_line_beyond_the_bound_is_dropped_and_counted_while_the_reader_is_stuck() {
        let rig = rig(20);
        rig.writer.push(b"stuck in the write\n");
        assert_eq!(rig.written.recv().unwrap(), b"stuck in the write\n");
        rig.writer.push(b"0123456789\n");
        rig.writer.push(b"does not fit\n");
        assert_eq!(rig.dropped.load(Ordering::SeqCst), 1);
        rig.leave.send(Ok(())).unwrap();
        assert_eq!(rig.written.recv().unwrap(), b"0123456789\n");
    }

    #[test]
    fn lines_lost_to_a_write_error_are_counted() {
        let rig = rig(1000);
        rig.writer.push(b"one\ntwo\n");
        rig.written.recv().unwrap();
        rig.leave.send(Err(io::Error::other("gone"))).unwrap();
        assert!(rig.writer.flush(Duration::from_secs(5)));
        assert_eq!(rig.dropped.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn flush_gives_up_at_its_limit_when_nobody_reads() {
        let rig = rig(1000);
        rig.writer.push(b"line\n");
        assert!(!rig.writer.flush(Duration::from_millis(20)));
        rig.leave.send(Ok(())).unwrap();
        assert!(rig.writer.flush(Duration::from_secs(5)));
    }
}
