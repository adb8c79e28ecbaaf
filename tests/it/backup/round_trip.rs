//! What was acknowledged before a backup began is in it, and comes back.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::{Site, execute, last_line, said};
use crate::support::client::{Client, event_body};
use crate::support::commands;
use crate::support::load::Load;
use crate::support::service::Service;

/// Brings an empty database to the first schema there was.
async fn first_migration(url: &str) {
    let only = |all: sqlx::migrate::Migrator| {
        let first = all.iter().filter(|one| one.version == 1).cloned();
        sqlx::migrate::Migrator::with_migrations(first.collect())
    };
    if url.starts_with("sqlite") {
        let file = sqlx::sqlite::SqliteConnectOptions::from_str(url).unwrap();
        let pool = sqlx::SqlitePool::connect_with(file.create_if_missing(true))
            .await
            .unwrap();
        only(sqlx::migrate!("migrations/sqlite"))
            .run(&pool)
            .await
            .unwrap();
        pool.close().await;
    } else {
        let pool = sqlx::PgPool::connect(url).await.unwrap();
        only(sqlx::migrate!("migrations/postgres"))
            .run(&pool)
            .await
            .unwrap();
        pool.close().await;
    }
}

on_both_engines! {
    async fn everything_acknowledged_before_is_there_after_a_restore(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let ada = Client::register(&service, "ada").await;
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let (writer, noted) = (ada.clone(), Arc::clone(&acknowledged));
        let load = Load::start(40, move |n| {
            let (writer, noted) = (writer.clone(), Arc::clone(&noted));
            async move {
                let body = event_body(json!({"title": format!("Event {n}")}));
                let made = writer.post("/events/", body).await.expect(201);
                noted.lock().unwrap().push((made.string("id"), n));
            }
        });
        load.wait_for(60).await;
        let before = acknowledged.lock().unwrap().clone();
        assert!(before.len() >= 60);
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("backups");
        let settings = service.settings().to_vec();
        let output = tokio::task::spawn_blocking(move || {
            commands::run(&["backup", "--to", to.to_str().unwrap(), "--verify"], &settings)
        });
        let output = output.await.unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let during = load.stop().await.len();
        assert!(during > before.len(), "writes went on meanwhile");
        let file = last_line(&String::from_utf8(output.stdout).unwrap());
        service.wait_for_backups().await;
        drop(service);

        let site = Site::new(engine).await;
        let told = site.restore(file.as_ref());
        assert!(told.contains("users\t1\n"), "{told}");
        let came_back = site.count("events").await;
        assert!(usize::try_from(came_back).unwrap() >= before.len(), "{came_back}");
        assert!(told.contains(&format!("events\t{came_back}\n")), "{told}");

        let data = site.folder.path().display().to_string();
        let restored = Service::start_on(&site.url, &[("CONVOKE_DATA_DIR", &data)]).await;
        // Her login came back as well: the same token serves.
        let ada = ada.at(&restored);
        for (id, n) in &before {
            let found = ada.get(&format!("/events/{id}")).await.expect(200);
            assert_eq!(found.string("title"), format!("Event {n}"));
        }
        // And it goes on: the change log takes new entries after the old ones.
        let event = ada.create_event(json!({})).await;
        let bob = Client::register(&restored, "bob").await;
        ada.invite(&event, &bob).await;
        bob.is_told(1, "participant.invited", &event).await;
    }

    async fn an_older_schema_is_brought_up_to_date(engine: Engine) {
        // As the first version left it: it knows nothing of backups.
        let site = Site::new(engine).await;
        first_migration(&site.url).await;
        execute(&site.url, "INSERT INTO meta VALUES ('kept', 'from the first version')").await;
        let file = site.backup(&[]);
        let other = Site::new(engine).await;
        let told = other.restore(&file);
        assert!(told.contains("schema 1, made by") && !told.contains("now of schema 1\n"), "{told}");
        assert_eq!(other.count("leases").await, 0);
        assert_eq!(other.count("meta WHERE name = 'kept'").await, 1);
    }

    async fn an_encrypted_backup_is_opened_by_its_key_only(engine: Engine) {
        let site = Site::filled(engine, 1).await;
        let (key, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let write = |name: &str, key: &age::x25519::Identity| {
            use age::secrecy::ExposeSecret as _;
            let path = site.folder.path().join(name);
            std::fs::write(&path, key.to_string().expose_secret()).unwrap();
            path.display().to_string()
        };
        let (right, wrong) = (write("key", &key), write("other", &other));
        let recipient = key.to_public().to_string();
        let file = site.backup(&["--recipient", &recipient]);
        let file = file.to_str().unwrap();
        let content = std::fs::read(file).unwrap();
        for plain in [&b"manifest.json"[..], b"database/000001", b"fill-1"] {
            assert!(!content.windows(plain.len()).any(|part| part == plain));
        }
        let target = Site::new(engine).await;
        let told = target.refused(&["restore", file]);
        assert!(told.contains("name the file with its key by --identity"), "{told}");
        let told = target.refused(&["restore", file, "--identity", &wrong]);
        assert!(told.contains("encrypted to other keys"), "{told}");
        target.must(&["backup", "verify", file, "--identity", &right]);
        target.must(&["restore", file, "--identity", &right]);
        assert_eq!(target.count("meta WHERE name LIKE 'fill-%'").await, 256);
    }
}

impl Service {
    /// Waits until it tells of a good backup that was restored for a trial.
    async fn wait_for_backups(&self) {
        crate::support::polling::eventually(
            "the backup is told of",
            Duration::from_secs(30),
            || async {
                let metrics = self.scrape().await;
                let value = |name: &str| metrics.value(name, &[]).expect(name);
                let told = value("backup_last_success_timestamp_seconds") > 0.0
                    && value("backup_last_verified_timestamp_seconds") > 0.0
                    && value("backup_size_bytes") > 1000.0
                    && value("backup_duration_seconds") > 0.0;
                assert!(value("backup_failures_total") < 0.5);
                told.then_some(())
            },
        )
        .await;
    }
}
