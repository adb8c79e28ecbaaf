//! A scrape of `/metrics`, parsed as Prometheus parses it.

use std::collections::BTreeMap;

/// One series' labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// The series of one scrape with their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    series: BTreeMap<(String, Labels), f64>,
}

impl Metrics {
    /// Parses the text exposition format; a line it cannot read fails the test.
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut series = BTreeMap::new();
        for line in samples {
            let (name, labels, value) =
                sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
            let twice = series.insert((name, labels), value).is_some();
            assert!(!twice, "the same series twice: {line}");
        }
        Self { series }
    }

    /// The sum over the series of this name that carry all these labels; none when there are none.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let carries = |own: &Labels| {
            labels
                .iter()
                .all(|(k, v)| own.get(*k).is_some_and(|o| o == v))
        };
        let found = self
            .series
            .iter()
            .filter(|((n, own), _)| n == name && carries(own));
        found
            .map(|(_, value)| *value)
            .reduce(|sum, value| sum + value)
    }

    /// How many series there are in all.
    pub(crate) fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Every series, for comparisons.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &(String, Labels)> {
        self.series.keys()
    }
}

fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = if let Some(inside) = rest.strip_prefix('{') {
        labels(inside)?
    } else {
        (Labels::new(), rest)
    };
    // An exemplar or a timestamp may follow the value.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name.to_owned(), labels, value))
}

/// The labels up to the closing brace, and what follows it.
pub(crate) fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, quoted) = rest.split_once("=\"")?;
        let (value, after) = unescape(quoted)?;
        let after = after.strip_prefix('"')?;
        labels.insert(key.to_owned(), value);
        rest = after;
    }
}

/// A text up to an unescaped quotation mark or the end, and what follows it, the mark included.
pub(crate) fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            plain => value.push(plain),
        }
    }
    Some((value, ""))
}
