//! Looks settings up in their sources, in the order of precedence, and collects what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use super::fault::{Fault, Source, quoted};
use super::file::Contents;
use super::key_file;
use super::setting::{Setting, Surroundings, all};
use super::value::Value;

/// The sources of one load, and the faults found so far.
pub(super) struct Reader<'a> {
    environment: &'a BTreeMap<String, OsString>,
    file: Contents,
    surroundings: Surroundings,
    faults: Vec<Fault>,
    faulty: BTreeSet<&'static str>,
    effective: Vec<Effective>,
}

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Key in the file.
    pub key: &'static str,
    /// Name of its environment variable.
    pub variable: String,
    /// Its value as text; `[redacted]` for a secret, and a URL is without its password.
    pub value: String,
    /// Who gave it.
    pub source: Source,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        environment: &'a BTreeMap<String, OsString>,
        file: Contents,
        terminal: bool,
        cpus: usize,
        faults: Vec<Fault>,
    ) -> Self {
        let mut reader = Self {
            environment,
            file,
            surroundings: Surroundings {
                data_dir: String::new(),
                terminal,
                cpus,
            },
            faults,
            faulty: BTreeSet::new(),
            effective: Vec::new(),
        };
        // Other defaults stand on this one, so it is looked up before the table is read in order.
        reader.surroundings.data_dir = all()
            .find(|setting| setting.key == "data_dir")
            .and_then(|setting| reader.look_up(setting).0.ok())
            .unwrap_or_default();
        reader
    }

    /// The value of the setting. On a fault the default serves, so that the rest can still be
    /// checked; `None` only when the default itself cannot be read.
    pub(super) fn value<T: Value>(&mut self, setting: &'static Setting) -> Option<T> {
        let (text, source) = self.look_up(setting);
        let problem = match text {
            Ok(text) => match T::parse(&text) {
                Ok(value) if in_range(&value, setting) => {
                    self.effective.push(Effective {
                        key: setting.key,
                        variable: setting.variable(),
                        value: value.shown(&text),
                        source,
                    });
                    return Some(value);
                }
                Ok(_) => describe(setting, &text, "is out of range"),
                Err(problem) => describe(setting, &text, &problem),
            },
            Err(problem) => problem,
        };
        self.fault(setting.key, source, problem, setting.accepted());
        self.faulty.insert(setting.key);
        T::parse(&setting.default.text(&self.surroundings)).ok()
    }

    fn look_up(&self, setting: &Setting) -> (Result<String, String>, Source) {
        let variable = setting.variable();
        if let Some(found) = self.secret_in_file(setting, &variable) {
            return found;
        }
        if let Some(value) = self.environment.get(&variable) {
            let text = value.to_str().map(|text| text.trim().to_owned());
            // `CONVOKE_PUBLIC_URL=` is how a compose file writes a variable that is not set.
            if setting.list || text.as_deref() != Some("") {
                let text = text.ok_or_else(|| "is not UTF-8".to_owned());
                return (text, Source::Variable(variable));
            }
        }
        match self.file.entries.get(setting.key) {
            Some(entry) => {
                let source = Source::File {
                    name: self.file.name.clone(),
                    line: Some(entry.line),
                };
                (entry.text.clone(), source)
            }
            None => (
                Ok(setting.default.text(&self.surroundings)),
                Source::Default,
            ),
        }
    }

    /// The secret that `…_FILE` names, if it is set.
    fn secret_in_file(
        &self,
        setting: &Setting,
        variable: &str,
    ) -> Option<(Result<String, String>, Source)> {
        let name = setting.file_variable()?;
        let path = self
            .environment
            .get(&name)
            .filter(|path| !path.is_empty())?;
        let direct = self.environment.get(variable);
        let text = if direct.is_some_and(|value| !value.is_empty()) {
            Err(format!("is given twice, also as {variable}"))
        } else {
            key_file::secret(Path::new(path), setting.list)
        };
        Some((text, Source::Variable(name)))
    }

    /// Who gave the setting.
    pub(super) fn source(&self, key: &str) -> Source {
        all()
            .find(|setting| setting.key == key)
            .map_or(Source::Default, |setting| self.look_up(setting).1)
    }

    /// Reports that settings which are fine each for itself do not go together. Says nothing when
    /// one of them is faulty already: its default stands in for it, and would be blamed.
    pub(super) fn require(
        &mut self,
        keys: &[&'static str],
        holds: bool,
        problem: String,
        accepted: &str,
    ) {
        if holds || keys.iter().any(|key| self.is_faulty(key)) {
            return;
        }
        // Blame what somebody wrote, not the default beside it.
        let blamed = keys
            .iter()
            .find(|key| self.source(key) != Source::Default)
            .or(keys.first());
        if let Some(key) = blamed {
            let source = self.source(key);
            self.fault(key, source, problem, accepted.to_owned());
        }
    }

    pub(super) fn fault(&mut self, key: &str, source: Source, problem: String, accepted: String) {
        self.faults.push(Fault {
            setting: key.to_owned(),
            source,
            problem,
            accepted,
        });
    }

    /// Whether the value of the setting is unknown, by its own fault or by the file's.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        self.faulty.contains(key)
            || (self.file.broken && !matches!(self.source(key), Source::Variable(_)))
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Every setting read so far that is without fault.
    pub(super) fn take_effective(&mut self) -> Vec<Effective> {
        std::mem::take(&mut self.effective)
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }
}

fn in_range<T: Value>(value: &T, setting: &Setting) -> bool {
    let Some((min, max)) = setting.range else {
        return true;
    };
    match (T::parse(min), T::parse(max)) {
        (Ok(min), Ok(max)) => value.within(&min, &max),
        _ => false,
    }
}

fn describe(setting: &Setting, text: &str, problem: &str) -> String {
    if setting.secret {
        format!("the value (not shown) {problem}")
    } else if setting.list {
        format!("the list {problem}")
    } else {
        format!("{} {problem}", quoted(text))
    }
}
