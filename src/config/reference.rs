//! Writes `docs/configuration.md` from the table of settings.

use std::fmt::Write as _;

use super::secret::Secret;
use super::setting::{Default, Setting, all};
use super::settings::GROUPS;
use super::value::Value;

const INTRODUCTION: &str = "\
# Settings

<!-- Generated from src/config/settings.rs: change it there, then `convoke settings > docs/configuration.md`. -->

Convoke starts without any setting. Each one is looked up in three places, and the last that has it wins:

1. the default below;
2. the file `convoke.toml` in the working directory, or the one that `CONVOKE_CONFIG` names (which must exist);
3. the environment variable.

A secret, and an address that can hold a password, can be in a file instead: the variable's name with `_FILE` at its end
(`CONVOKE_SECRET_KEY_FILE=/run/secrets/convoke`) names it. Blanks around the value are dropped, and of a list each line is one.

An empty variable counts as not set, except for a list, where it is the empty list. A key of a table can be
written in the file as `rate_limit.reads`, under `[rate_limit]`, or as `rate_limit_reads`.

Every fault is reported at once, with its source and what is accepted, and the service does not start. An
unknown key in the file is a fault; an unknown `CONVOKE_*` variable is a warning. Secrets are never shown.

- A **duration** is a whole number with a unit: `500ms`, `2s`, `15m`, `24h`, `30d`.
- A **rate** is `COUNT/DURATION`: `600/60s` is 600 in each minute.
- A **size** is a number of bytes, or has the unit `KiB`, `MiB` or `GiB`.
- A **list** is separated by commas in a variable, and an array of strings in the file.

The export of traces follows the standard `OTEL_*` variables and has no settings here.
";

/// The whole document.
pub(super) fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    for group in &GROUPS {
        push(&mut out, format_args!("\n## {}\n\n", group.title));
        out.push_str(
            "| variable | key in the file | type | default | meaning |\n|---|---|---|---|---|\n",
        );
        for setting in group.settings {
            push(
                &mut out,
                format_args!(
                    "| `{}` | `{}` | {} | {} | {} |\n",
                    setting.variable(),
                    setting.key,
                    kind(setting),
                    default(setting),
                    one_line(setting.meaning)
                ),
            );
        }
    }
    out.push_str("\n## `convoke.toml` with every default\n\n```toml\n");
    out.push_str(&sample());
    out.push_str("```\n");
    out
}

/// A settings file that says what holds without it.
pub(super) fn sample() -> String {
    let mut out = String::new();
    // TOML wants the keys outside tables first.
    for setting in all().filter(|setting| !setting.key.contains('.')) {
        push(
            &mut out,
            format_args!("{}", sample_line(setting, setting.key)),
        );
    }
    let mut open = "";
    for setting in all() {
        if let Some((table, key)) = setting.key.split_once('.') {
            if table != open {
                push(&mut out, format_args!("\n[{table}]\n"));
                open = table;
            }
            push(&mut out, format_args!("{}", sample_line(setting, key)));
        }
    }
    out
}

fn sample_line(setting: &Setting, key: &str) -> String {
    match setting.default {
        Default::Text(text) if setting.list => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            let items: Vec<String> = items.map(|item| format!("\"{item}\"")).collect();
            format!("{key} = [{}]\n", items.join(", "))
        }
        Default::Text(text) if setting.bare => format!("{key} = {text}\n"),
        Default::Text(text) => format!("{key} = \"{text}\"\n"),
        Default::Absent(shown) | Default::Found(shown, _) => {
            format!("# {key}: {}\n", shown.replace('`', ""))
        }
    }
}

fn kind(setting: &Setting) -> String {
    let hidden = setting.secret && setting.kind != Secret::KIND;
    match setting.range {
        Some((min, max)) => format!("{}, {min} to {max}", setting.kind),
        None if hidden => format!("{}, shown without its password", setting.kind),
        None => setting.kind.to_owned(),
    }
}

fn default(setting: &Setting) -> String {
    match setting.default {
        Default::Text("") => "empty".to_owned(),
        Default::Text(text) => format!("`{text}`"),
        Default::Absent(shown) | Default::Found(shown, _) => shown.to_owned(),
    }
}

/// The lines of a documentation comment as one.
fn one_line(meaning: &str) -> String {
    meaning.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}
