//! What a service process has printed, collected line by line while it runs.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::polling::eventually;

/// Everything printed to stdout and stderr, over all runs of one service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// Reads `pipe` to its end on a thread of its own.
    pub(crate) fn follow(&self, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = Arc::clone(&self.lines);
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.lock().expect("no reader panics").push(text);
                line.clear();
            }
        })
    }

    /// How many lines there are: a mark to look on from.
    pub(crate) fn len(&self) -> usize {
        self.lines.lock().expect("no reader panics").len()
    }

    /// The lines as they were printed, whether JSON or not.
    pub(crate) fn raw(&self) -> Vec<String> {
        self.lines.lock().expect("no reader panics").clone()
    }

    /// The lines from `mark` on that are JSON objects.
    pub(crate) fn since(&self, mark: usize) -> Vec<Value> {
        let lines = self.lines.lock().expect("no reader panics");
        let json = lines
            .iter()
            .skip(mark)
            .filter_map(|line| serde_json::from_str(line).ok());
        json.filter(Value::is_object).collect()
    }

    /// All lines that are JSON objects.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.since(0)
    }

    /// The first line that the predicate accepts, waiting for it if need be.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        accepts: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(&format!("a log line: {what}"), limit, || async {
            self.lines().into_iter().find(|line| accepts(line))
        })
        .await
    }
}
