//! What can be wrong with the settings, and how it is told: all of it at once, by name and source.

use std::fmt;

/// Where the value of a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody gave it: the default of the table.
    Default,
    /// The settings file, by its path as it was given.
    File {
        /// Path of the file.
        name: String,
        /// Line of the key, counted from 1; `None` when the fault is with the file as a whole.
        line: Option<usize>,
    },
    /// An environment variable, by its name.
    Variable(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line: None } => write!(f, "file {name}"),
            Self::File {
                name,
                line: Some(line),
            } => write!(f, "file {name}, line {line}"),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

/// One setting that cannot be used. No text in it ever holds the value of a secret setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Key of the setting as in `convoke.toml`, or the key that nobody knows.
    pub setting: String,
    /// Who gave the value.
    pub source: Source,
    /// What is wrong with it.
    pub problem: String,
    /// What would be accepted instead.
    pub accepted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}): {}; accepted: {}",
            self.setting, self.source, self.problem, self.accepted
        )
    }
}

/// Why the service does not start: every fault of the settings, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// At least one.
    pub faults: Vec<Fault>,
    /// What was noticed besides; a misspelt variable here often explains a missing setting above.
    pub warnings: Vec<String>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            1 => f.write_str("1 setting cannot be used:")?,
            count => write!(f, "{count} settings cannot be used:")?,
        }
        for fault in &self.faults {
            write!(f, "\n  - {fault}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The value as it is shown in a fault: escaped, so that it cannot forge a log line, and cut.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start:?}…")
}

/// ` (did you mean …?)` when one of `candidates` is within a few slips of `name`, else nothing.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    // A third of the letters may differ: `listn` finds `listen`, `foo` finds nothing.
    let limit = name.chars().count().div_ceil(3).min(4);
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= limit && *slips < candidate.len())
        .min()
        .map_or_else(String::new, |(_, candidate)| {
            format!(" (did you mean {candidate}?)")
        })
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        if let Some(first) = row.first_mut() {
            *first = previous;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(&b) {
            let cost = (diagonal + usize::from(left != *right))
                .min(*cell + 1)
                .min(previous + 1);
            diagonal = std::mem::replace(cell, cost);
            previous = cost;
        }
    }
    row.last().copied().unwrap_or_default()
}
