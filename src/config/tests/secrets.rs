//! Secrets: what production refuses, and what development makes.

use std::sync::Barrier;

use super::super::secret::weakness;
use super::*;

const PRODUCTION: (&str, &str) = ("CONVOKE_ENV", "production");

/// Development sources without a key, with this folder of data.
fn keyless(folder: &Path) -> Sources {
    let mut sources = sources(&[("CONVOKE_DATA_DIR", folder.to_str().unwrap())], "");
    sources.environment.remove("CONVOKE_SECRET_KEY");
    sources
}

#[test]
fn production_does_not_start_without_a_key_and_says_how_to_make_one() {
    for missing in ["", "  "] {
        let found = faults(&[PRODUCTION, ("CONVOKE_SECRET_KEY", missing)], "");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("is missing"), "{found:?}");
        assert!(found[0].contains("openssl rand -base64 32"), "{found:?}");
    }
}

#[test]
fn production_ignores_the_key_that_development_kept() {
    let folder = tempfile::tempdir().unwrap();
    Config::load(&keyless(folder.path())).unwrap();
    let mut sources = keyless(folder.path());
    sources
        .environment
        .insert("CONVOKE_ENV".to_owned(), "production".into());
    assert!(Config::load(&sources).is_err());
}

#[test]
fn weak_keys_are_known_for_what_they_are() {
    let example = Some("holds an example value that everybody knows");
    let short = Some("is shorter than 32 bytes");
    let regular = Some("is not random: it repeats or counts");
    for (text, expected) in [
        ("changeme", example),
        ("change-me-change-me-change-me-change-me", example),
        ("your-secret-key-your-secret-key-1234", example),
        // "changeme changeme changeme changeme" in base64.
        ("Y2hhbmdlbWUgY2hhbmdlbWUgY2hhbmdlbWUgY2hhbmdlbWU=", example),
        ("k3Jd8sPq", short),
        // 16 bytes in hex, 24 in padded base64.
        ("9f86d081884c7d659a2feaa0c55ad015", short),
        ("mK8vQz3xT1rYw7uJ5nB2cD4eFg==", short),
        ("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", regular),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", regular),
        ("x7Kp2mQ9vL4nx7Kp2mQ9vL4nx7Kp2mQ9vL4n", regular),
        ("abcdefghijklmnopqrstuvwxyz0123456789", regular),
        (
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            regular,
        ),
        ("xy12xy12yx21yx12xy21xy12yx12xy12xy12", regular),
    ] {
        assert_eq!(weakness(text), expected, "{text}");
    }
}

#[test]
fn strong_keys_are_accepted_in_every_encoding() {
    for text in [
        GOOD_KEY,
        GOOD_KEY.trim_end_matches('='),
        "3q2-7wAR_pC9xkYt5sVnUe0h1gMb2dLiZ8aWoXrJfTE",
        "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
        "v9#Kd!2mQz&7Lp@4Xw*8Rt^1Yc%6Nb$3Hs+5Gf",
    ] {
        assert_eq!(weakness(text), None, "{text}");
        load(&[PRODUCTION, ("CONVOKE_SECRET_KEY", text)], "");
    }
}

#[test]
fn random_keys_are_never_taken_for_weak_ones() {
    use base64::Engine as _;
    use sha2::Digest as _;
    // Hashes of a counter stand for random bytes, so that the test says the same every day.
    for counter in 0..2000_u32 {
        let key = sha2::Sha256::digest(counter.to_be_bytes());
        let base64 = base64::engine::general_purpose::STANDARD.encode(key);
        let hex: String = key
            .iter()
            .flat_map(|byte| {
                [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap())
            })
            .collect();
        assert_eq!((weakness(&base64), weakness(&hex)), (None, None), "{hex}");
    }
}

#[test]
fn a_weak_key_stops_production_and_is_a_warning_in_development() {
    let weak = ("CONVOKE_SECRET_KEY", "supersecret");
    let found = faults(&[PRODUCTION, weak], "");
    assert!(
        found[0].starts_with("secret_key (variable CONVOKE_SECRET_KEY)"),
        "{found:?}"
    );
    assert!(!found[0].contains("supersecret"), "{found:?}");
    let Loaded {
        config, warnings, ..
    } = load(&[weak], "");
    assert_eq!(config.server.secret_key.expose(), "supersecret");
    assert!(
        warnings[0].contains("production will refuse it"),
        "{warnings:?}"
    );
    assert!(!warnings[0].contains("supersecret"), "{warnings:?}");
}

const OTHER_KEY: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

#[test]
fn previous_keys_are_judged_as_the_key_itself_and_never_shown() {
    let previous = ("CONVOKE_SECRET_KEY_PREVIOUS", "supersecret");
    let second = format!("{OTHER_KEY},supersecret");
    for (value, place) in [("supersecret", 1), (second.as_str(), 2)] {
        let found = faults(&[PRODUCTION, (previous.0, value)], "");
        let start = format!(
            "secret_key_previous (variable CONVOKE_SECRET_KEY_PREVIOUS): key {place} of the list (not shown)"
        );
        assert!(found[0].starts_with(&start), "{found:?}");
        assert!(!found[0].contains("supersecret"), "{found:?}");
    }
    let warnings = load(&[previous], "").warnings;
    assert!(warnings[0].contains("key 1") && !warnings[0].contains("supersecret"));
    let warnings = load(&[PRODUCTION, (previous.0, GOOD_KEY)], "").warnings;
    assert!(warnings[0].contains("is secret_key itself"), "{warnings:?}");
}

#[test]
fn previous_keys_come_from_a_variable_or_the_file_and_only_their_number_is_shown() {
    let shown = |loaded: &Loaded| {
        let mut all = loaded.effective.iter();
        let found = all.find(|one| one.key == "secret_key_previous");
        found.unwrap().value.clone()
    };
    let two = format!("{OTHER_KEY}, {GOOD_KEY}");
    let loaded = load(&[("CONVOKE_SECRET_KEY_PREVIOUS", &two)], "");
    let keys = loaded.config.server.secret_key_previous.iter();
    let keys: Vec<_> = keys.map(Secret::expose).collect();
    assert_eq!(keys, [OTHER_KEY, GOOD_KEY]);
    assert_eq!(shown(&loaded), "[redacted],[redacted]");
    let loaded = load(&[], &format!("secret_key_previous = [\"{OTHER_KEY}\"]"));
    assert_eq!(shown(&loaded), "[redacted]");
    assert_eq!(shown(&load(&[], "")), "");
    assert!(!format!("{loaded:?}").contains(OTHER_KEY));
}

#[test]
fn a_secret_can_be_in_a_file_that_a_variable_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let key = file("key", &format!("  {OTHER_KEY}\n"));
    let keys = file("keys", &format!("{GOOD_KEY}\n\n{OTHER_KEY}\n"));
    let url = file("url", "postgres://u:p@h/d\n");
    let mut given = sources(
        &[
            PRODUCTION,
            ("CONVOKE_SECRET_KEY_FILE", &key),
            ("CONVOKE_SECRET_KEY_PREVIOUS_FILE", &keys),
            ("CONVOKE_DATABASE_URL_FILE", &url),
        ],
        "",
    );
    given.environment.remove("CONVOKE_SECRET_KEY");
    let loaded = Config::load(&given).unwrap();
    let server = &loaded.config.server;
    assert_eq!(server.secret_key.expose(), OTHER_KEY);
    assert_eq!(server.secret_key_previous.len(), 2);
    assert_eq!(loaded.config.database.url.expose(), "postgres://u:p@h/d");
    let source = |key: &str| {
        let found = loaded.effective.iter().find(|one| one.key == key);
        found.unwrap().source.clone()
    };
    let variable = Source::Variable("CONVOKE_SECRET_KEY_FILE".to_owned());
    assert_eq!(source("secret_key"), variable);
    let unknown = loaded.warnings.iter().filter(|one| one.contains("_FILE"));
    assert_eq!(unknown.count(), 0);
}

#[test]
fn a_file_of_a_secret_that_cannot_serve_is_a_fault_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let path = file.display().to_string();
    let judged = |text: Option<&str>, pairs: &[(&str, &str)]| {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let mut given = sources(pairs, "");
        given
            .environment
            .insert("CONVOKE_SECRET_KEY_FILE".into(), path.clone().into());
        if pairs.iter().all(|(name, _)| *name != "CONVOKE_SECRET_KEY") {
            given.environment.remove("CONVOKE_SECRET_KEY");
        }
        Config::load(&given).unwrap_err().to_string()
    };
    assert!(judged(None, &[PRODUCTION]).contains("cannot be read from"));
    assert!(judged(Some("\n"), &[PRODUCTION]).contains("is missing from"));
    let two = judged(Some("supersecret\nsupersecret\n"), &[PRODUCTION]);
    assert!(two.contains("more than one line") && !two.contains("supersecret"));
    let weak = judged(Some("supersecret\n"), &[PRODUCTION]);
    assert!(weak.contains("variable CONVOKE_SECRET_KEY_FILE"), "{weak}");
    assert!(
        weak.contains("shorter") || weak.contains("example"),
        "{weak}"
    );
    let both = [PRODUCTION, ("CONVOKE_SECRET_KEY", GOOD_KEY)];
    assert!(judged(Some(OTHER_KEY), &both).contains("given twice, also as CONVOKE_SECRET_KEY"));
}

#[test]
fn development_makes_a_strong_private_key_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    let first = Config::load(&keyless(&data))
        .unwrap()
        .config
        .server
        .secret_key;
    let second = Config::load(&keyless(&data))
        .unwrap()
        .config
        .server
        .secret_key;
    assert_eq!(first.expose(), second.expose());
    assert_eq!(weakness(first.expose()), None);
    let names: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["secret_key"], "no draft is left behind");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(data.join("secret_key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn processes_that_start_at_once_agree_on_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(16);
    let keys: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let loaded = Config::load(&keyless(folder.path())).unwrap();
                    loaded.config.server.secret_key.expose().to_owned()
                })
            })
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_start_that_fails_makes_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = keyless(folder.path());
    sources
        .environment
        .insert("CONVOKE_LISTEN".to_owned(), "x".into());
    assert!(Config::load(&sources).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_kept_key_that_was_damaged_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret_key"), "oops").unwrap();
    let error = Config::load(&keyless(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("delete that file"), "{error}");
    assert!(!error.contains("oops"), "{error}");
}
