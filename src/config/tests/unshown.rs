//! Nothing shows a secret: no printed settings, no fault, no reference.

use super::*;

#[test]
fn no_secret_is_printed() {
    let url = "postgres://convoke:hunter2@db/convoke?sslmode=require&password=hunter2@x";
    let config = load(&[("CONVOKE_DATABASE_URL", url)], "").config;
    let printed = format!(
        "{config:?} {} {}",
        config.server.secret_key, config.database.url
    );
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(!printed.contains(GOOD_KEY), "{printed}");
    assert_eq!(
        config.database.url.to_string(),
        "postgres://convoke:[redacted]@db/convoke?sslmode=require&password=[redacted]"
    );
    assert_eq!(config.database.url.expose(), url);
}

#[test]
fn no_fault_repeats_a_secret() {
    for url in [
        "mysql://root:hunter2@db",
        "postgres://convoke:hunter2@db:port/convoke",
        "postgres://convoke:hunter2/@db/convoke",
        "postgres://convoke@db/convoke?pasword=hunter2",
        "postgres:convoke:hunter2@db",
        "postgres://u@h/d?sslmode=hunter2",
    ] {
        let found = faults(&[("CONVOKE_DATABASE_URL", url)], "");
        assert_eq!(found.len(), 1, "{url}: {found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
    for toml in [
        "secret_key = \"hunter2",
        "secret_key = hunter2",
        "secret_key = [\"hunter2\"]",
        "[secret_key]\nhunter = \"hunter2\"",
        "secret_key = \"hunter2\"\nsecret_key = \"hunter2\"",
    ] {
        let mut sources = sources(&[], toml);
        sources.environment.remove("CONVOKE_SECRET_KEY");
        let error = Config::load(&sources).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn every_setting_is_shown_once_and_none_that_may_hold_a_secret_as_it_was_given() {
    let marked = [
        (
            "CONVOKE_SECRET_KEY",
            "a-secret-that-nobody-may-see-0123456789",
        ),
        (
            "CONVOKE_SECRET_KEY_PREVIOUS",
            "a-secret-that-was,a-secret-that-will-be",
        ),
        ("CONVOKE_DATABASE_URL", "postgres://u:a-secret-that@db/x"),
        (
            "CONVOKE_DATABASE_DIRECT_URL",
            "postgres://u:a-secret-that@db/x",
        ),
        ("CONVOKE_REDIS_URL", "rediss://u:a-secret-that@cache"),
        (
            "CONVOKE_DATABASE_READ_URL",
            "postgres://u:a-secret-that@db/x",
        ),
        ("CONVOKE_STORAGE_S3_ACCESS_KEY_ID", "a-secret-that-names"),
        (
            "CONVOKE_STORAGE_S3_SECRET_ACCESS_KEY",
            "a-secret-that-signs",
        ),
        ("CONVOKE_BACKUP_S3_ACCESS_KEY_ID", "a-secret-that-names"),
        ("CONVOKE_BACKUP_S3_SECRET_ACCESS_KEY", "a-secret-that-signs"),
    ];
    let shown = load(&marked, "").effective;
    let keys: Vec<_> = shown.iter().map(|one| one.key).collect();
    let table: Vec<_> = super::super::setting::all().map(|one| one.key).collect();
    assert_eq!(keys, table);
    let given: Vec<_> = super::super::setting::all()
        .filter(|one| one.secret)
        .map(|one| one.key)
        .collect();
    assert_eq!(
        given,
        [
            "secret_key",
            "secret_key_previous",
            "redis.url",
            "database.url",
            "database.direct_url",
            "database.read_url",
            "storage.s3_access_key_id",
            "storage.s3_secret_access_key",
            "backup.s3_access_key_id",
            "backup.s3_secret_access_key"
        ],
        "one more: give it a value above"
    );
    for one in &shown {
        assert!(!one.value.contains("a-secret-that"), "{one:?}");
    }
}
