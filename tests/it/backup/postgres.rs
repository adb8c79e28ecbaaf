//! What only PostgreSQL has: programs that are run, and passwords that they need.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Site, execute};
use crate::support::engines::Engine;
use crate::support::postgres::Cluster;

const PASSWORD: &str = "hunter2-which-nobody-may-see";

/// A program in the place of one of PostgreSQL's.
fn stand_in(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_in_the_environment_and_never_an_argument() {
    let mut site = Site::filled(Engine::Postgres, 1).await;
    let bin = tempfile::tempdir().unwrap();
    let seen = bin.path().join("seen");
    for name in ["pg_dump", "pg_restore"] {
        // What everybody on the machine can read of the program, and what only its user can.
        let script = format!(
            "[ \"$1\" = --version ] || {{ tr '\\0' '\\n' < /proc/$$/cmdline; echo \"env $PGPASSWORD\"; }} >> {}\nexec {name} \"$@\"",
            seen.display()
        );
        stand_in(bin.path(), name, &script);
    }
    let url = site
        .url
        .replace("postgres@", &format!("postgres:{PASSWORD}@"));
    site.settings.push(("CONVOKE_DATABASE_URL".to_owned(), url));
    let site = site.with("CONVOKE_BACKUP_POSTGRES_BIN", bin.path().to_str().unwrap());
    let file = site.backup(&[]);
    let output = site.run(&["backup", "verify", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", super::said(&output));
    for text in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(text).contains(PASSWORD));
    }
    let seen = std::fs::read_to_string(seen).unwrap();
    let secret = format!("env {PASSWORD}");
    assert_eq!(
        seen.lines().filter(|line| *line == secret).count(),
        2,
        "{seen}"
    );
    let others: Vec<&str> = seen
        .lines()
        .filter(|line| line.contains(PASSWORD) && *line != secret)
        .collect();
    assert_eq!(others, Vec::<&str>::new());
    assert!(
        seen.contains("--snapshot=") && seen.contains("--single-transaction"),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_older_than_the_server_is_refused() {
    let site = Site::filled(Engine::Postgres, 1).await;
    let bin = tempfile::tempdir().unwrap();
    stand_in(bin.path(), "pg_dump", "echo 'pg_dump (PostgreSQL) 9.6.24'");
    let site = site.with("CONVOKE_BACKUP_POSTGRES_BIN", bin.path().to_str().unwrap());
    let to = site.backups();
    let told = site.refused(&["backup", "--to", to.to_str().unwrap()]);
    assert!(
        told.contains("pg_dump is of version 9 and the server of version"),
        "{told}"
    );

    // One that fails in the middle fails the backup, with its own words.
    stand_in(
        bin.path(),
        "pg_dump",
        "[ \"$1\" = --version ] && exec pg_dump --version\nhead -c 3000000 /dev/urandom; echo 'out of luck' >&2; exit 1",
    );
    let told = site.refused(&["backup", "--to", to.to_str().unwrap()]);
    assert!(
        told.contains("pg_dump failed") && told.contains("out of luck"),
        "{told}"
    );
    assert_eq!(
        site.must(&["backup", "list", "--to", to.to_str().unwrap()]),
        ""
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_fails_leaves_what_was_there() {
    let source = Site::filled(Engine::Postgres, 1).await;
    let file = source.backup(&[]);
    let target = Site::filled(Engine::Postgres, 1).await;
    execute(
        &target.url,
        "UPDATE meta SET value = 'the old one' WHERE name = 'fill-1'",
    )
    .await;
    let bin = tempfile::tempdir().unwrap();
    stand_in(bin.path(), "pg_restore", "echo 'out of luck' >&2; exit 1");
    let target = target.with("CONVOKE_BACKUP_POSTGRES_BIN", bin.path().to_str().unwrap());
    execute(
        &target.url,
        "INSERT INTO token_families SELECT gen_random_uuid(), id, now() FROM users",
    )
    .await;
    execute(&target.url, "INSERT INTO users VALUES (gen_random_uuid(), 'a', 'a', 'a', 'UTC', 'x', 'user', NULL, 1, now(), now())").await;
    let told = target.refused(&["restore", file.to_str().unwrap(), "--force"]);
    assert!(
        told.contains("pg_restore failed") && told.contains("out of luck"),
        "{told}"
    );
    assert_eq!(target.count("meta WHERE value = 'the old one'").await, 1);
    assert_eq!(target.count("users").await, 1);
    assert_eq!(
        target
            .count("pg_namespace WHERE nspname LIKE 'convoke\\_replaced\\_%'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_log_from_a_server_with_more_transactions_is_taken_over() {
    let site = Site::filled(Engine::Postgres, 1).await;
    // As if it came from a server that has counted much further.
    execute(&site.url, "INSERT INTO users VALUES (gen_random_uuid(), 'a', 'a', 'a', 'UTC', 'x', 'user', NULL, 1, now(), now()); \
        INSERT INTO events SELECT gen_random_uuid(), 'uid', id, 't', '', '', '2027-01-01', NULL, '2027-01-02', NULL, now(), now() + interval '1 day', \
        NULL, 0, 1, false, 'public', 'confirmed', '[]', '{}', '', 1, now(), now(), NULL FROM users; \
        INSERT INTO changes (xid, id, kind, event_id, version, data, created_at) \
        SELECT 4000000000 + n, gen_random_uuid(), 'event.created', id, 1, '{}', now() FROM events, generate_series(1, 3) AS n").await;
    let file = site.backup(&[]);
    let cluster = Cluster::start("");
    let other = Site::on(
        tempfile::tempdir().unwrap(),
        &cluster.create_database().await,
    );
    other.restore(&file);
    let behind = "changes WHERE xid >= pg_current_xact_id()::text::bigint";
    assert_eq!(
        (other.count("changes").await, other.count(behind).await),
        (3, 0)
    );
}
