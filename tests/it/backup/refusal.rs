//! What must not be overwritten, and which backups are kept.

use std::path::Path;

use super::{Site, execute, said};
use crate::support::client::Client;
use crate::support::service::Service;

on_both_engines! {
    async fn a_target_that_is_not_empty_is_left_alone_unless_told(engine: Engine) {
        let source = Site::filled(engine, 1).await;
        execute(&source.url, "UPDATE meta SET value = 'from the backup' WHERE name = 'fill-1'").await;
        let file = source.backup(&[]);
        let file = file.to_str().unwrap();

        let service = Service::start(engine, &[]).await;
        Client::register(&service, "ada").await;
        let data = service.setting("CONVOKE_DATA_DIR").to_owned();
        let url = service.setting("CONVOKE_DATABASE_URL").to_owned();
        let mut target = Site::on(tempfile::tempdir().unwrap(), &url);
        target.settings.retain(|(name, _)| name != "CONVOKE_DATA_DIR");
        let target = target.with("CONVOKE_DATA_DIR", &data);
        let told = target.refused(&["restore", file]);
        assert!(told.contains("in use") || told.contains("not empty"), "{told}");
        let told = target.refused(&["restore", file, "--force"]);
        assert!(told.contains("the database is in use"), "{told}");
        assert_eq!(target.count("users").await, 1);

        let _data = service.stop();
        let told = target.refused(&["restore", file]);
        assert!(told.contains("the database is not empty ("), "{told}");
        assert_eq!(target.count("users").await, 1);
        target.must(&["restore", file, "--force"]);
        assert_eq!(target.count("users").await, 0);
        assert_eq!(target.count("meta WHERE value = 'from the backup'").await, 1);
        if url.starts_with("postgres") {
            let left = "pg_namespace WHERE nspname LIKE 'convoke\\_replaced\\_%'";
            assert_eq!(target.count(left).await, 0);
        }
    }

    async fn a_newer_schema_is_refused(engine: Engine) {
        let site = Site::filled(engine, 1).await;
        let newer = "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 2";
        execute(&site.url, newer).await;
        let file = site.backup(&[]);
        let told = Site::new(engine).await.refused(&["restore", file.to_str().unwrap()]);
        assert!(told.contains("the backup has schema 9999"), "{told}");
    }

    async fn a_place_that_cannot_be_written_to_fails_the_backup(engine: Engine) {
        let site = Site::filled(engine, 1).await;
        let blocked = site.folder.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        site.refused(&["backup", "--to", blocked.join("below").to_str().unwrap()]);
        assert_eq!(site.count("backups WHERE outcome = 'failed' AND error IS NOT NULL").await, 1);
        assert!(Path::new(&blocked).is_file());
    }
}

#[test]
fn a_place_of_an_unknown_kind_is_refused_and_no_folder_made() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/convoke.db", folder.path().display());
    let site = Site::on(folder, &url);
    site.must(&["migrate"]);
    for place in [
        "gs://bucket/x",
        "S3://bucket/x",
        "http://x",
        "FILE:///x",
        "ab:c",
        "",
    ] {
        for command in [&["backup"][..], &["backup", "list"]] {
            let output = site.run(&[command, &["--to", place]].concat());
            assert_eq!(output.status.code(), Some(2), "{place}: {}", said(&output));
            assert!(said(&output).contains("--to"), "{}", said(&output));
        }
        let scheme = place.split(':').next().unwrap();
        assert!(place.is_empty() || !Path::new(scheme).exists());
    }
    let nowhere = site.backups();
    let told = site.refused(&["backup", "list", "--to", nowhere.to_str().unwrap()]);
    assert!(told.contains("is no folder"), "{told}");
}

#[test]
fn what_is_no_regular_file_is_refused_rather_than_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/convoke.db", folder.path().display());
    let site = Site::on(folder, &url);
    let pipe = site.folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for command in [&["backup", "verify"][..], &["restore"]] {
        let told = site.refused(&[command, &[pipe.to_str().unwrap()]].concat());
        assert!(told.contains("is no file"), "{told}");
    }
}

#[test]
fn without_a_place_it_says_how_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/convoke.db", folder.path().display());
    let site = Site::on(folder, &url);
    site.must(&["migrate"]);
    let told = site.refused(&["backup"]);
    assert!(told.contains("CONVOKE_BACKUP_TO"), "{told}");
}
