//! What the settings promise: precedence, faults all at once, warnings, and the reference.

mod secrets;
mod unshown;
mod values;

use std::path::Path;

use super::*;

/// A key as production wants it; made for these tests only.
const GOOD_KEY: &str = "q8Zt0cXy1nLw7Rk3VbJ5mHs9PdFg2TaUe4Wi6YoCxQE=";

/// Sources with these variables and this file. A data folder that does not exist is never touched,
/// because the secret key is given.
fn sources(variables: &[(&str, &str)], toml: &str) -> Sources {
    let mut environment: std::collections::BTreeMap<_, _> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect();
    environment
        .entry("CONVOKE_SECRET_KEY".to_owned())
        .or_insert_with(|| GOOD_KEY.into());
    Sources {
        environment,
        file: SettingsFile::Text {
            name: "convoke.toml".to_owned(),
            text: toml.to_owned(),
        },
        terminal: false,
        cpus: 2,
    }
}

fn load(variables: &[(&str, &str)], toml: &str) -> Loaded {
    Config::load(&sources(variables, toml)).unwrap()
}

/// The faults, as an operator reads them.
fn faults(variables: &[(&str, &str)], toml: &str) -> Vec<String> {
    let faults = Config::load(&sources(variables, toml)).unwrap_err().faults;
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_needs_to_be_set() {
    let Loaded {
        config, warnings, ..
    } = load(&[], "");
    assert_eq!(config.server.env, Environment::Development);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.ops_listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.database.url.expose(), "sqlite://data/convoke.db");
    assert_eq!(config.limits.body_limit.bytes(), 1024 * 1024);
    assert_eq!(config.auth.hash_concurrency, 2);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn the_file_wins_over_the_default_and_the_variable_over_the_file() {
    let toml = "max_in_flight = 7\n[rate_limit]\nreads = \"9/1s\"\nwrites = \"8/1s\"\n";
    let config = load(&[("CONVOKE_RATE_LIMIT_READS", "5/2m")], toml).config;
    assert_eq!(config.limits.max_in_flight, 7);
    assert_eq!(config.rate_limit.reads.to_string(), "5/120s");
    assert_eq!(config.rate_limit.writes.to_string(), "8/1s");
    assert_eq!(config.rate_limit.login.to_string(), "20/60s");
}

#[test]
fn an_empty_variable_counts_as_not_set_except_for_a_list() {
    let toml = "log = \"warn\"\ntrusted_proxies = [\"10.0.0.1\"]\n";
    let empty = [("CONVOKE_LOG", ""), ("CONVOKE_TRUSTED_PROXIES", "")];
    let config = load(&empty, toml).config;
    assert_eq!(config.log.filter.as_str(), "warn");
    assert!(config.server.trusted_proxies.is_empty());
}

#[test]
fn every_fault_is_reported_at_once_with_source_and_what_is_accepted() {
    let found = faults(
        &[
            ("CONVOKE_LISTEN", "here"),
            ("CONVOKE_REQUEST_TIMEOUT", "10"),
            ("CONVOKE_CACHE_TTL", "2s"),
        ],
        "max_in_flight = 0\nlistn = 1\n\n[database]\nmin_connections = 20\nmax_connections = 3\n",
    );
    assert_eq!(
        found,
        [
            "listn (file convoke.toml, line 2): is not a setting (did you mean listen?); \
             accepted: a key of docs/configuration.md",
            "listen (variable CONVOKE_LISTEN): \"here\" is not an IP address and a port; accepted: \
             an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080 (port 0 takes a free one)",
            "request_timeout (variable CONVOKE_REQUEST_TIMEOUT): \"10\" has no unit; accepted: a whole \
             number with a unit, ms, s, m, h or d, such as 500ms, 2s or 15m, from 10ms to 10m",
            "max_in_flight (file convoke.toml, line 1): \"0\" is out of range; accepted: a whole number, \
             from 1 to 100000",
            "cache.ttl (variable CONVOKE_CACHE_TTL): \"2s\" is out of range; accepted: a whole number \
             with a unit, ms, s, m, h or d, such as 500ms, 2s or 15m, from 0s to 1s",
            "database.min_connections (file convoke.toml, line 5): database.min_connections (20) is \
             larger than database.max_connections (3); accepted: a minimum that is at most the maximum",
        ]
    );
}

#[test]
fn a_faulty_setting_is_not_blamed_twice_through_its_default() {
    let found = faults(
        &[
            ("CONVOKE_DATABASE_MAX_CONNECTIONS", "many"),
            ("CONVOKE_DATABASE_MIN_CONNECTIONS", "20"),
        ],
        "",
    );
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (name, value, about) in [
        ("CONVOKE_OPS_LISTEN", "0.0.0.0:8080", "take the same port"),
        ("CONVOKE_REFRESH_TOKEN_TTL", "5m", "is not shorter"),
        ("CONVOKE_DATABASE_MIN_CONNECTIONS", "11", "is larger than"),
        ("CONVOKE_OUTBOX_BACKOFF_MAX", "100ms", "is longer than"),
        ("CONVOKE_BACKUP_EVERY", "1h", "backup.to is not"),
    ] {
        let found = faults(&[(name, value)], "");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(about), "{found:?}");
        assert!(found[0].contains(name), "blames the variable: {found:?}");
    }
}

#[test]
fn two_listeners_may_both_take_a_free_port() {
    let free = "127.0.0.1:0";
    load(
        &[("CONVOKE_LISTEN", free), ("CONVOKE_OPS_LISTEN", free)],
        "",
    );
}

#[test]
fn the_file_may_write_a_key_flat_but_not_twice() {
    let config = load(&[], "database_max_connections = 4").config;
    assert_eq!(config.database.max_connections, 4);
    let found = faults(&[], "cache_ttl = \"1s\"\n[cache]\nttl = \"1s\"\n");
    assert!(found[0].contains("is given twice"), "{found:?}");
}

#[test]
fn unknown_tables_and_wrong_types_are_faults() {
    let found = faults(&[], "listen = 1.5\n[bogus]\nx = 1\n[cache]\nsize = 3\n");
    assert_eq!(found.len(), 3, "{found:?}");
    let all = found.join("\n");
    assert!(
        all.contains("bogus (file convoke.toml, line 2): is not a setting;"),
        "{all}"
    );
    assert!(
        all.contains("cache.size (file convoke.toml, line 5)"),
        "{all}"
    );
    assert!(
        all.contains("listen (file convoke.toml, line 1): cannot be a TOML float"),
        "{all}"
    );
}

#[test]
fn a_file_that_is_not_toml_is_one_fault_a_line_and_hides_no_other_source() {
    let found = faults(&[("CONVOKE_HSTS", "maybe")], "listen = \nlog = = 1\n");
    assert!(
        found.iter().any(|f| f.contains("line 1): is not TOML")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|f| f.contains("line 2): is not TOML")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|f| f.contains("CONVOKE_HSTS")),
        "{found:?}"
    );
}

#[test]
fn a_file_that_was_named_must_exist() {
    let missing = "/nonexistent/convoke.toml";
    for file in [SettingsFile::Search, SettingsFile::Path(missing.into())] {
        let mut sources = sources(&[("CONVOKE_CONFIG", missing)], "");
        sources.file = file;
        let error = Config::load(&sources).unwrap_err().to_string();
        assert!(
            error.contains("file /nonexistent/convoke.toml): cannot be read"),
            "{error}"
        );
    }
}

#[test]
fn a_named_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    std::fs::write(&path, "cursor_ttl = \"1h\"").unwrap();
    let mut sources = sources(&[], "");
    sources.file = SettingsFile::Search;
    sources
        .environment
        .insert("CONVOKE_CONFIG".to_owned(), path.into_os_string());
    let config = Config::load(&sources).unwrap().config;
    assert_eq!(config.limits.cursor_ttl.as_secs(), 3600);
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let variables = [("CONVOKE_LISTENN", "x"), ("OTHER", "x")];
    let warnings = load(&variables, "").warnings;
    assert_eq!(
        warnings,
        ["CONVOKE_LISTENN is not a setting and has no effect (did you mean CONVOKE_LISTEN?)",]
    );
}

#[test]
fn development_that_others_can_reach_is_a_warning() {
    let warnings = load(&[("CONVOKE_LISTEN", "0.0.0.0:8080")], "").warnings;
    assert!(
        warnings[0].starts_with("env is development"),
        "{warnings:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_a_fault() {
    use std::os::unix::ffi::OsStringExt;
    let mut sources = sources(&[], "");
    let value = std::ffi::OsString::from_vec(vec![0xff]);
    sources.environment.insert("CONVOKE_LOG".to_owned(), value);
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(
        error.contains("log (variable CONVOKE_LOG): is not UTF-8"),
        "{error}"
    );
}

#[test]
fn the_log_format_follows_the_terminal_unless_told() {
    let mut sources = sources(&[], "");
    assert_eq!(
        Config::load(&sources).unwrap().config.log.format,
        LogFormat::Json
    );
    sources.terminal = true;
    assert_eq!(
        Config::load(&sources).unwrap().config.log.format,
        LogFormat::Pretty
    );
}

#[test]
fn every_default_is_in_its_own_range_and_every_key_is_unique() {
    let mut keys: Vec<String> = setting::all().map(setting::Setting::flat).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
    // Loading reads every default and both ends of every range.
    load(&[], "");
}

#[test]
fn the_sample_file_says_what_holds_without_it() {
    let with = format!("{:?}", load(&[], &reference::sample()).config);
    assert_eq!(with, format!("{:?}", load(&[], "").config));
}

#[test]
fn the_committed_reference_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == Config::reference_markdown(),
        "docs/configuration.md is out of date: run `convoke settings > docs/configuration.md`"
    );
}

#[test]
fn the_labels_of_config_info_are_words_of_a_fixed_set() {
    let url = [("CONVOKE_DATABASE_URL", "postgres://u:p@h/d")];
    assert_eq!(
        load(&url, "").config.describe(),
        [
            ("env", "development"),
            ("database", "postgresql"),
            ("log_format", "json"),
            ("rate_limit", "on"),
            ("hsts", "off"),
            ("migrate_on_start", "on"),
            ("sqlite_synchronous", "full"),
        ]
    );
}
