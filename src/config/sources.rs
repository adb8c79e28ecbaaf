//! Where settings come from: the only place that looks at the process and its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::file::{self, Contents};
use super::reader::Reader;

/// Everything that settings are read from, so that a test can bring its own.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Environment variables by name; only those that begin with `CONVOKE_` are looked at.
    pub environment: BTreeMap<String, OsString>,
    /// The settings file.
    pub file: SettingsFile,
    /// Whether stdout is a terminal, which decides the default log format.
    pub terminal: bool,
    /// Number of CPUs, which bounds the password hashes computed at once.
    pub cpus: usize,
}

/// The settings file.
#[derive(Debug, Clone)]
pub enum SettingsFile {
    /// The one that `CONVOKE_CONFIG` names, which must exist, else `./convoke.toml` when it exists.
    Search,
    /// This one, which must exist.
    Path(PathBuf),
    /// This text, under a name for messages.
    Text {
        /// Name in messages.
        name: String,
        /// TOML.
        text: String,
    },
    /// None.
    Absent,
}

impl Sources {
    /// The environment, the terminal and the CPUs of this process, and the file they lead to.
    pub fn from_process() -> Self {
        Self {
            // Nothing else is kept: the environment of a service is full of other people's secrets.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .filter(|(name, _)| name.starts_with("CONVOKE_"))
                .collect(),
            file: SettingsFile::Search,
            terminal: std::io::stdout().is_terminal(),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }

    /// What reads settings from here; faults of the file are its first.
    pub(super) fn reader(&self) -> Reader<'_> {
        let mut faults = Vec::new();
        let file = self.read_file(&mut faults);
        Reader::new(&self.environment, file, self.terminal, self.cpus, faults)
    }

    fn read_file(&self, faults: &mut Vec<Fault>) -> Contents {
        match &self.file {
            SettingsFile::Search => match self.environment.get("CONVOKE_CONFIG") {
                Some(path) if !path.is_empty() => file::read(Path::new(path), true, faults),
                _ => file::read(Path::new("convoke.toml"), false, faults),
            },
            SettingsFile::Path(path) => file::read(path, true, faults),
            SettingsFile::Text { name, text } => file::parse(name, text, faults),
            SettingsFile::Absent => Contents::default(),
        }
    }
}

/// A variable of this process that is not a setting of Convoke, such as the standard `OTEL_*`.
/// `None` when it is not set, empty (as the OpenTelemetry specification asks) or not UTF-8.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
