//! Uploaded files in a backup, and backups in a bucket.

use reqwest::Method;
use serde_json::json;

use super::{Site, last_line};
use crate::files::support::{PNG, attachments, text, upload};
use crate::support::answer::Answer;
use crate::support::client::{Client, id};
use crate::support::commands;
use crate::support::engines::Engine;
use crate::support::moto::Moto;
use crate::support::service::Service;

on_both_engines! {
    async fn uploaded_files_come_back_and_one_that_was_lost_before_is_told_of(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let ada = Client::register(&service, "ada").await;
        let event = ada.create_event(json!({})).await;
        let mut kept = Vec::new();
        for length in [0, 1, 511, 512, 70_000, 5_000_000] {
            let content = text(length);
            let name = format!("{length}.txt");
            let added = upload(&ada, &event, &name, "text/plain", content.clone()).await.expect(201);
            kept.push((format!("{}{}/content", attachments(&event), id(&added.body)), content));
        }
        let picture = ada.request(Method::PUT, "/users/me/avatar").body(PNG);
        Answer::of(picture).await.unwrap().expect(200);

        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("backups");
        let backup = || {
            let output = commands::run(&["backup", "--to", to.to_str().unwrap()], service.settings());
            assert!(output.status.success(), "{}", crate::backup::said(&output));
            let warned = crate::backup::said(&output);
            (String::from_utf8(output.stdout).unwrap(), warned)
        };
        let (told, warned) = backup();
        assert!(told.contains(" and 7 files "), "{told}");
        assert_eq!(warned, "");
        let file = last_line(&told);

        let site = Site::new(engine).await;
        site.restore(file.as_ref());
        let data = site.folder.path().display().to_string();
        let restored = Service::start_on(&site.url, &[("CONVOKE_DATA_DIR", &data)]).await;
        let again = ada.at(&restored);
        for (path, content) in &kept {
            let found = again.get(path).await.expect(200);
            assert!(found.text.as_bytes() == content, "{path}");
        }
        again.get("/users/me/avatar").await.expect(200);

        // A backup is made all the same, and says what it lacks.
        let stored = crate::files::support::files(&std::path::Path::new(&service.setting("CONVOKE_DATA_DIR").expect("set")).join("files"));
        let largest = stored.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
        std::fs::remove_file(largest).unwrap();
        let (told, warned) = backup();
        assert!(told.contains(" and 6 files "), "{told}");
        assert!(warned.contains("1 files that the database names are missing"), "{warned}");
        site.must(&["backup", "verify", &last_line(&told)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_kept_in_a_bucket_and_come_back_from_it() {
    let moto = Moto::start().await;
    moto.make_bucket("backups").await;
    let mut site = Site::filled(Engine::Sqlite, 12).await;
    site.settings.extend(moto.settings("backups"));
    site.settings
        .retain(|(name, _)| name != "CONVOKE_STORAGE_URL");
    let place = "s3://backups/of/convoke";
    let made = last_line(&site.must(&["backup", "--to", place, "--verify"]));
    assert!(made.starts_with(&format!("{place}/convoke-")), "{made}");
    let listed = site.must(&["backup", "list", "--to", place]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert_eq!(moto.keys("backups").await.len(), 1);
    site.must(&["backup", "verify", &made]);

    let mut other = Site::new(Engine::Sqlite).await;
    other.settings.extend(moto.settings("backups"));
    other
        .settings
        .retain(|(name, _)| name != "CONVOKE_STORAGE_URL");
    other.must(&["restore", &made]);
    assert_eq!(other.count("meta WHERE name LIKE 'fill-%'").await, 12 * 256);
    let told = other.refused(&[
        "restore",
        &format!("{place}/convoke-20200101T000000Z.backup"),
        "--force",
    ]);
    assert!(
        told.contains("not found") || told.contains("404") || told.contains("no such"),
        "{told}"
    );
}
