//! Reads the service's own metrics: the same series that `/metrics` shows, without a text of megabytes in between.
//!
//! The recorder's crate gives no other access to its values than rendering them. So it renders into a sink that looks at each
//! line once and lets go of those whose value is 0, which are nine in ten: every series exists from the start.

use std::io;

use super::instruments::{self, process};

/// One sample of the exposition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The name, with `_bucket`, `_sum` or `_count` for a histogram.
    pub name: &'a str,
    labels: &'a str,
    /// The value.
    pub value: f64,
}

impl<'a> Sample<'a> {
    /// A label's value as it is written; every label of ours is a plain word, so nothing in it is escaped.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.labels;
        loop {
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = after.split_once('"')?;
            if key.trim_start_matches(',') == name {
                return Some(value);
            }
            rest = after;
        }
    }

    fn parse(line: &'a str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        let value = value.parse().ok()?;
        Some(Self {
            name,
            labels,
            value,
        })
    }
}

/// Hands over each sample that is not 0, after taking the process's and the runtime's figures anew.
pub fn read(runtime: Option<&tokio::runtime::Handle>, visit: impl FnMut(Sample<'_>)) {
    process::collect(runtime);
    let mut lines = Lines {
        visit,
        rest: Vec::new(),
    };
    // The sink refuses nothing.
    let _ = instruments::render_to(&mut lines);
}

struct Lines<F> {
    visit: F,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
}

impl<F: FnMut(Sample<'_>)> Lines<F> {
    fn line(&mut self, line: &[u8]) {
        if line.starts_with(b"#") || line.ends_with(b" 0") {
            return;
        }
        if let Some(sample) = std::str::from_utf8(line).ok().and_then(Sample::parse) {
            (self.visit)(sample);
        }
    }
}

impl<F: FnMut(Sample<'_>)> io::Write for Lines<F> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut left = piece;
        while let Some(end) = left.iter().position(|byte| *byte == b'\n') {
            let (line, after) = left.split_at(end);
            if self.rest.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole);
            }
            left = after.get(1..).unwrap_or_default();
        }
        self.rest.extend_from_slice(left);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn samples_are_read_however_the_text_is_cut() {
        let text = "# TYPE a counter\na{x=\"1\",route=\"/e/{id}\"} 2\na{x=\"2\"} 0\nb 0.5\n";
        for cut in 1..text.len() {
            let mut seen = Vec::new();
            let mut lines = Lines {
                visit: |one: Sample<'_>| {
                    seen.push((
                        one.name.to_owned(),
                        one.label("route").map(str::to_owned),
                        one.value,
                    ));
                },
                rest: Vec::new(),
            };
            for piece in text.as_bytes().chunks(cut) {
                lines.write_all(piece).unwrap();
            }
            let a = ("a".to_owned(), Some("/e/{id}".to_owned()), 2.0);
            assert_eq!(seen, [a, ("b".to_owned(), None, 0.5)], "{cut}");
        }
    }

    #[test]
    fn it_reads_what_metrics_shows() {
        instruments::outbox::prime(&["a channel for reading"], &["delivered"]);
        instruments::outbox::backlog("a channel for reading", 7, 3, std::time::Duration::ZERO);
        let mut read_values = Vec::new();
        read(None, |one| {
            if one.label("channel") == Some("a channel for reading") {
                read_values.push((one.name.to_owned(), one.value));
            }
        });
        read_values.sort_by(|a, b| a.0.cmp(&b.0));
        let wanted = [("outbox_dead", 3.0), ("outbox_pending", 7.0)];
        assert_eq!(
            read_values,
            wanted.map(|(name, value)| (name.to_owned(), value))
        );
    }
}
