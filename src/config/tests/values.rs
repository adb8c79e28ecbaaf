//! Each type of setting: what it reads and what it refuses.

use std::time::Duration;

use ipnet::IpNet;

use super::super::value::Value;
use super::*;

#[test]
fn durations_have_a_unit() {
    for (text, millis) in [
        ("500ms", 500),
        ("2s", 2_000),
        ("15m", 900_000),
        ("24h", 86_400_000),
        ("30d", 2_592_000_000),
        ("2 s", 2_000),
    ] {
        assert_eq!(
            Duration::parse(text),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for text in [
        "",
        "5",
        "-5s",
        "1.5s",
        "s",
        "5x",
        "5S",
        "1h30m",
        "99999999999999999999s",
        "18446744073709551615d",
    ] {
        assert!(Duration::parse(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_are_bytes_or_have_a_binary_unit() {
    for (text, bytes) in [
        ("4096", 4096),
        ("64KiB", 65_536),
        ("1 MiB", 1_048_576),
        ("1GiB", 1 << 30),
    ] {
        assert_eq!(
            ByteSize::parse(text).map(ByteSize::bytes),
            Ok(bytes),
            "{text}"
        );
    }
    for text in ["", "MiB", "1MB", "1.5MiB", "-1", "99999999999999999GiB"] {
        assert!(ByteSize::parse(text).is_err(), "{text}");
    }
}

#[test]
fn rates_are_a_count_in_whole_seconds() {
    let rate = Rate::parse("10/15m").unwrap();
    assert_eq!(
        (rate.count.get(), rate.period),
        (10, Duration::from_mins(15))
    );
    for text in [
        "",
        "10",
        "10/",
        "0/1s",
        "x/1s",
        "10/0s",
        "10/500ms",
        "10/1500ms",
        "10/2d",
        "1000001/1s",
        "1/1/1s",
    ] {
        assert!(Rate::parse(text).is_err(), "{text}");
    }
}

#[test]
fn lists_are_separated_by_commas_or_written_as_arrays() {
    let networks =
        |texts: &[&str]| -> Vec<IpNet> { texts.iter().map(|t| t.parse().unwrap()).collect() };
    let expected = networks(&["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
    let variable = [(
        "CONVOKE_TRUSTED_PROXIES",
        " 10.1.2.3/8,192.0.2.1, 2001:db8::/32,",
    )];
    assert_eq!(load(&variable, "").config.server.trusted_proxies, expected);
    let toml = "trusted_proxies = [\"10.0.0.0/8\", \"192.0.2.1\", \"2001:db8::/32\"]";
    assert_eq!(load(&[], toml).config.server.trusted_proxies, expected);
}

#[test]
fn a_list_of_nothing_but_commas_is_no_empty_list() {
    // Backups would not be encrypted, without a word.
    for text in [",", " , ", "10.0.0.1,,10.0.0.2", ",10.0.0.1", "10.0.0.1,,"] {
        let found = faults(&[("CONVOKE_TRUSTED_PROXIES", text)], "");
        assert!(
            found[0].contains("an element that is empty"),
            "{text}: {found:?}"
        );
        let found = faults(&[("CONVOKE_BACKUP_RECIPIENTS", text)], "");
        assert!(
            found[0].contains("an element that is empty"),
            "{text}: {found:?}"
        );
    }
    assert!(
        load(&[("CONVOKE_TRUSTED_PROXIES", " ")], "")
            .config
            .server
            .trusted_proxies
            .is_empty()
    );
}

#[test]
fn every_bad_item_of_a_list_is_named() {
    let found = faults(
        &[("CONVOKE_TRUSTED_PROXIES", "10.0.0.0/8,proxy,10.0.0.0/33")],
        "",
    );
    assert!(
        found[0].contains(
            "the list holds \"proxy\", which is neither an address nor a network and holds \"10.0.0.0/33\""
        ),
        "{found:?}"
    );
}

#[test]
fn origins_are_compared_as_browsers_send_them() {
    let origins = "https://App.Example.org:443, http://localhost:3000,http://[::1]:80/";
    let config = load(&[("CONVOKE_CORS_ORIGINS", origins)], "").config;
    let read: Vec<&str> = config
        .server
        .cors_origins
        .iter()
        .map(CorsOrigin::as_str)
        .collect();
    assert_eq!(
        read,
        [
            "https://app.example.org",
            "http://localhost:3000",
            "http://[::1]"
        ]
    );
}

#[test]
fn an_origin_is_no_pattern_and_has_no_path() {
    for text in [
        "*",
        "null",
        "app.example.org",
        "https://",
        "https://a/b",
        "https://a?b",
        "https://u@a",
        "ftp://a",
        "https://a:x",
        "https://a#b",
        "https://a:99999",
    ] {
        assert!(CorsOrigin::parse(text).is_err(), "{text}");
    }
    let found = faults(&[("CONVOKE_CORS_ORIGINS", "*")], "");
    assert!(found[0].contains("credentials"), "{found:?}");
}

#[test]
fn a_database_url_names_its_engine() {
    for (text, engine) in [
        ("sqlite:data/x.db", Engine::Sqlite),
        ("sqlite:///var/lib/x.db?mode=rwc", Engine::Sqlite),
        ("postgres://localhost/x", Engine::Postgres),
        (
            "postgresql://u:p@h:5433/x?sslmode=require",
            Engine::Postgres,
        ),
        ("postgres:///x?host=/run/postgresql", Engine::Postgres),
    ] {
        assert_eq!(
            DatabaseUrl::parse(text).map(|url| url.engine()),
            Ok(engine),
            "{text}"
        );
    }
    for text in [
        "",
        "x",
        "mysql://h/x",
        "sqlite:",
        "sqlite::memory:",
        "sqlite://x?mode=memory",
        "sqlite://x?bogus=1",
    ] {
        assert!(DatabaseUrl::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_default_database_is_in_the_data_folder_whatever_its_name() {
    use sqlx::sqlite::SqliteConnectOptions;
    for (folder, file) in [
        ("/srv/data/", "/srv/data/convoke.db"),
        ("a?b%20c#d", "a?b%20c#d/convoke.db"),
    ] {
        let config = load(&[("CONVOKE_DATA_DIR", folder)], "").config;
        let options: SqliteConnectOptions = config.database.url.expose().parse().unwrap();
        assert_eq!(options.get_filename(), Path::new(file));
    }
}

#[test]
fn switches_are_words_or_digits() {
    for (text, expected) in [
        ("true", true),
        ("1", true),
        ("ON", true),
        ("false", false),
        ("0", false),
        ("no", false),
    ] {
        assert_eq!(bool::parse(text), Ok(expected), "{text}");
    }
    assert!(bool::parse("maybe").is_err());
}

#[test]
fn numbers_have_no_sign_and_no_underscores() {
    assert_eq!(u32::parse("4294967295"), Ok(u32::MAX));
    for text in ["", "-1", "+1", "1_000", "1e3", "4294967296", "١"] {
        assert!(u32::parse(text).is_err(), "{text}");
    }
    assert_eq!(
        load(&[], "max_in_flight = 0x1_0")
            .config
            .limits
            .max_in_flight,
        16
    );
}

#[test]
fn a_log_filter_is_checked_before_it_is_used() {
    assert!(LogFilter::parse("info,sqlx=warn").is_ok());
    assert!(LogFilter::parse("info,sqlx=loud").is_err());
}

#[test]
fn what_a_fault_quotes_can_neither_forge_a_line_nor_flood_the_log() {
    let long = format!("x\n{}", "y".repeat(10_000));
    let found = faults(&[("CONVOKE_LISTEN", long.as_str())], "");
    assert!(!found[0].contains('\n'));
    assert!(found[0].len() < 400, "{}", found[0].len());
}
