//! What `convoke doctor` and `serve` say of stores and backups.

use std::time::Duration;

use super::{Site, execute};
use crate::support::commands;
use crate::support::engines::Engine;
use crate::support::moto::Moto;
use crate::support::service::Service;

fn doctor(settings: &[(String, String)]) -> String {
    let output = commands::run(&["doctor"], settings);
    String::from_utf8(output.stdout).unwrap()
}

/// Its lines about this.
fn about(told: &str, name: &str) -> Vec<String> {
    let line = |line: &&str| {
        line.get(5..)
            .is_some_and(|rest| rest.starts_with(&format!("{name}:")))
    };
    told.lines().filter(line).map(str::to_owned).collect()
}

on_both_engines! {
    async fn the_doctor_looks_at_stores_and_makes_nothing(engine: Engine) {
        let mut site = Site::filled(engine, 1).await;
        let backups = site.backups();
        site.settings.push(("CONVOKE_BACKUP_TO".to_owned(), format!("file://{}", backups.display())));
        site.settings.push(("CONVOKE_BACKUP_VERIFIED_EVERY".to_owned(), "1d".to_owned()));
        let told = doctor(&site.settings);
        for name in ["storage", "backup_place"] {
            let lines = about(&told, name);
            assert!(lines.len() == 1 && lines[0].starts_with("ok "), "{told}");
        }
        let asked = usize::from(engine == Engine::Postgres);
        for name in ["backup_tools", "backup_trial"] {
            let lines = about(&told, name);
            assert!(lines.len() == asked && lines.iter().all(|line| line.starts_with("ok ")), "{told}");
        }
        // Trials of other tests may be under way on the same server.
        assert!(!told.contains("convoke_replaced_"), "{told}");
        assert!(!backups.exists() && !site.folder.path().join("files").exists());

        // A file stands where the folders should be.
        std::fs::write(site.folder.path().join("files"), "").unwrap();
        std::fs::write(&backups, "").unwrap();
        let told = doctor(&site.settings);
        for name in ["storage", "backup_place"] {
            assert!(about(&told, name)[0].starts_with("FAIL"), "{told}");
        }
    }

    async fn a_store_that_is_away_is_told_at_the_start(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let url = format!("file://{}/file/below", folder.path().display());
        let service = Service::start(engine, &[("CONVOKE_STORAGE_URL", &url)]).await;
        let limit = Duration::from_secs(30);
        let cannot = |line: &serde_json::Value| line["message"] == "the store of files cannot be reached";
        let line = service.wait_for_log("the store is looked at", limit, cannot).await;
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["location"], url);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_writes_to_a_bucket_and_leaves_nothing_there() {
    let moto = Moto::start().await;
    let mut site = Site::new(Engine::Sqlite).await;
    site.settings.extend(moto.settings("files"));
    let place = ("CONVOKE_BACKUP_TO".to_owned(), "s3://files/of".to_owned());
    site.settings.push(place);
    let told = doctor(&site.settings);
    for name in ["storage", "backup_place"] {
        assert!(about(&told, name)[0].starts_with("FAIL"), "{told}");
    }
    moto.make_bucket("files").await;
    let told = doctor(&site.settings);
    for name in ["storage", "backup_place"] {
        assert!(about(&told, name)[0].starts_with("ok "), "{told}");
    }
    assert_eq!(moto.keys("files").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_restore_or_trial_left_is_told_and_the_next_trial_drops_its_kind() {
    let site = Site::filled(Engine::Postgres, 1).await;
    // Of more than an hour ago, and of a moment ago; other tests have theirs on the same server.
    let now = jiff::Timestamp::now().as_second();
    let old = format!("convoke_trial_{}_{}", now - 3_700, std::process::id());
    let fresh = format!("convoke_trial_{now}_{}", std::process::id());
    for name in [&old, &fresh] {
        execute(&site.url, &format!("CREATE DATABASE \"{name}\"")).await;
    }
    execute(&site.url, "CREATE SCHEMA convoke_replaced_1").await;
    let told = about(&doctor(&site.settings), "backup_leftovers").join("\n");
    for left in [&old, &fresh, "convoke_replaced_1"] {
        assert!(told.contains(left), "{told}");
    }
    let file = site.backup(&[]);
    site.must(&["backup", "verify", file.to_str().unwrap()]);
    let left = |name: &str| format!("pg_database WHERE datname = '{name}'");
    assert_eq!(site.count(&left(&old)).await, 0);
    assert_eq!(site.count(&left(&fresh)).await, 1);
    execute(&site.url, &format!("DROP DATABASE \"{fresh}\"")).await;
}
