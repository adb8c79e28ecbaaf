//! `convoke.toml`: found, read, and flattened to one text per setting, with the line it stands on.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Source, did_you_mean};
use super::setting::{Setting, all};

/// One value of the file.
pub(super) struct Entry {
    /// The value as text, or what is wrong with its type.
    pub(super) text: Result<String, String>,
    /// Line of the value, from 1.
    pub(super) line: usize,
}

/// The file as far as it could be read.
#[derive(Default)]
pub(super) struct Contents {
    /// Path as given.
    pub(super) name: String,
    /// By key of the setting.
    pub(super) entries: BTreeMap<&'static str, Entry>,
    /// The file, or its syntax, could not be read: what it does not say is unknown.
    pub(super) broken: bool,
}

/// Reads the file at `path`; one that is not `required` may be missing.
pub(super) fn read(path: &Path, required: bool, faults: &mut Vec<Fault>) -> Contents {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&name, &text, faults),
        Err(error) if error.kind() == ErrorKind::NotFound && !required => Contents::default(),
        Err(error) => {
            faults.push(Fault {
                setting: "settings file".to_owned(),
                source: Source::File {
                    name: name.clone(),
                    line: None,
                },
                problem: format!("cannot be read: {error}"),
                accepted: "the path of a readable TOML file in UTF-8".to_owned(),
            });
            Contents {
                name,
                broken: true,
                ..Contents::default()
            }
        }
    }
}

/// Reads the text of a file called `name`.
pub(super) fn parse(name: &str, text: &str, faults: &mut Vec<Fault>) -> Contents {
    let mut contents = Contents {
        name: name.to_owned(),
        ..Contents::default()
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        contents.broken = true;
        // Only the message: the error's own display quotes the line, which may hold a secret.
        faults.extend(errors.iter().map(|error| Fault {
            setting: "settings file".to_owned(),
            source: Source::File {
                name: name.to_owned(),
                line: error.span().map(|span| line_of(text, span.start)),
            },
            problem: format!("is not TOML: {}", error.message()),
            accepted: "TOML 1.0".to_owned(),
        }));
        return contents;
    }
    let mut walk = Walk {
        text,
        contents: &mut contents,
        faults,
    };
    walk.table("", table.get_ref());
    contents
}

struct Walk<'a> {
    text: &'a str,
    contents: &'a mut Contents,
    faults: &'a mut Vec<Fault>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            let line = line_of(self.text, key.span().start);
            if let Some(setting) = all().find(|s| s.key == path || s.flat() == path) {
                self.entry(setting, line, value.get_ref());
            } else if let Some(inner) = value.get_ref().as_table()
                && is_table_of_settings(&path)
            {
                self.table(&format!("{path}."), inner);
            } else {
                let near = did_you_mean(&path, all().map(|setting| setting.key));
                self.fault(
                    &path,
                    line,
                    format!("is not a setting{near}"),
                    "a key of docs/configuration.md".to_owned(),
                );
            }
        }
    }

    fn entry(&mut self, setting: &'static Setting, line: usize, value: &DeValue<'_>) {
        let text = text_of(setting, value);
        let entry = Entry { text, line };
        if self.contents.entries.insert(setting.key, entry).is_some() {
            // Only possible by writing a key of a table both as `a.b` and as `a_b`.
            self.fault(
                setting.key,
                line,
                format!("is given twice, also as {}", setting.flat()),
                "one of them".to_owned(),
            );
        }
    }

    fn fault(&mut self, setting: &str, line: usize, problem: String, accepted: String) {
        self.faults.push(Fault {
            setting: setting.to_owned(),
            source: Source::File {
                name: self.contents.name.clone(),
                line: Some(line),
            },
            problem,
            accepted,
        });
    }
}

fn is_table_of_settings(path: &str) -> bool {
    let start = format!("{path}.");
    all().any(|setting| setting.key.starts_with(&start))
}

/// The value in the text form that variables have, so that one parser serves both sources.
fn text_of(setting: &Setting, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.trim().to_owned()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| "is too large".to_owned()),
        DeValue::Array(items) if setting.list => items
            .iter()
            .map(|item| {
                item.get_ref()
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| "holds something that is not a string".to_owned())
            })
            .collect::<Result<Vec<_>, _>>()
            .map(|items| items.join(",")),
        other => Err(format!("cannot be a TOML {}", other.type_str())),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.matches('\n').count() + 1
}
