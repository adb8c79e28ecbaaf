//! What must not be overwritten, and which backups are kept.

use std::path::Path;

use super::{Site, execute, names};
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
        let data = service.setting("CONVOKE_DATA_DIR").expect("set");
        let url = service.setting("CONVOKE_DATABASE_URL").expect("set");
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

    async fn old_backups_are_deleted_and_nothing_else_is(engine: Engine) {
        let site = Site::filled(engine, 1).await;
        let folder = site.backups();
        let first = site.backup(&[]);
        let copy = |name: &str| {
            std::fs::copy(&first, folder.join(name)).unwrap();
        };
        let old = [
            "convoke-20200101T030000Z.backup",
            "convoke-20260110T030000Z.backup",
            "convoke-20260111T020000Z.backup",
            "convoke-20260111T030000Z.backup",
        ];
        for name in old {
            copy(name);
        }
        let others = ["notes.txt", "convoke-20200101T030000Z.backup.gz", "other-20200101T030000Z.backup"];
        for name in others {
            copy(name);
        }
        std::fs::remove_file(&first).unwrap();
        let newest = site.backup(&["--keep-daily", "3", "--keep-monthly", "2"]);
        let newest = newest.file_name().unwrap().to_str().unwrap();
        let mut expected = vec![newest, old[1], old[3]];
        expected.extend(others);
        expected.sort_unstable();
        assert_eq!(names(&folder), expected);
        let listed = site.must(&["backup", "list", "--to", folder.to_str().unwrap()]);
        let listed: Vec<&str> = listed.lines().map(|line| line.rsplit('\t').next().unwrap()).collect();
        assert_eq!(listed, [old[1], old[3], newest]);
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
fn without_a_place_it_says_how_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/convoke.db", folder.path().display());
    let site = Site::on(folder, &url);
    site.must(&["migrate"]);
    let told = site.refused(&["backup"]);
    assert!(told.contains("CONVOKE_BACKUP_TO"), "{told}");
}
