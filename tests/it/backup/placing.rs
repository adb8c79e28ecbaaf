//! Where a restore puts what it brings back, and whose that is.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use reqwest::Method;

use super::{Site, last_line};
use crate::files::support::{PNG, files};
use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::commands;
use crate::support::engines::Engine;
use crate::support::service::Service;

on_both_engines! {
    async fn a_restore_says_what_it_writes_to_without_the_password(engine: Engine) {
        let source = Site::filled(engine, 1).await;
        let file = source.backup(&[]);
        let mut target = Site::new(engine).await;
        let mut named = target.url.clone();
        if engine == Engine::Postgres {
            let with = target.url.replace("postgres@", "postgres:hunter2@");
            assert_ne!(with, target.url);
            target.settings.push(("CONVOKE_DATABASE_URL".to_owned(), with));
            named = named.rsplit('/').next().unwrap().to_owned();
        }
        let told = target.restore(&file);
        let lines: Vec<&str> = told.lines().collect();
        let files = format!("file://{}/files", target.folder.path().display());
        for line in [lines[0], lines[lines.len() - 1]] {
            assert!(line.contains(&named) && line.contains(&files), "{line}");
        }
        assert!(lines[0].starts_with("restoring ") && !told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn a_restore_over_a_link_writes_to_where_it_leads() {
    let source = Site::filled(Engine::Sqlite, 1).await;
    let file = source.backup(&[]);
    let target = Site::filled(Engine::Sqlite, 1).await;
    let there = tempfile::tempdir().unwrap();
    let link = Path::new(target.url.strip_prefix("sqlite://").unwrap());
    let real = there.path().join("real.db");
    super::execute(&target.url, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    std::fs::rename(link, &real).unwrap();
    std::os::unix::fs::symlink("real.db", there.path().join("step")).unwrap();
    std::os::unix::fs::symlink(there.path().join("step"), link).unwrap();
    let before = real.metadata().unwrap().ino();
    target.must(&["restore", file.to_str().unwrap(), "--force"]);
    assert!(link.is_symlink());
    assert_ne!(real.metadata().unwrap().ino(), before, "it was replaced");
    let mut left = super::names(there.path());
    // The end of the process may come between the last two steps of closing the file.
    left.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    assert_eq!(left, ["real.db", "step"]);
    assert_eq!(target.count("meta WHERE name LIKE 'fill-%'").await, 256);
}

#[tokio::test]
async fn restored_files_are_the_services_own_and_nobody_elses() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let ada = Client::register(&service, "ada").await;
    let picture = ada.request(Method::PUT, "/users/me/avatar").body(PNG);
    Answer::of(picture).await.unwrap().expect(200);
    let backups = tempfile::tempdir().unwrap();
    let to = backups.path().to_str().unwrap();
    let output = commands::run(&["backup", "--to", to], service.settings());
    let file = last_line(&String::from_utf8(output.stdout).unwrap());

    let target = Site::new(Engine::Sqlite).await;
    let data = target.folder.path();
    // Only root can give files away, so only to root does another owner mean something.
    let own = data.metadata().unwrap().uid();
    let owner = if own == 0 { 12_345 } else { own };
    chown(data, Some(owner), None).unwrap();
    target.must(&["restore", &file]);
    let stored = files(&data.join("files"));
    assert_eq!(stored.len(), 1);
    let mut looked: Vec<_> = files(data);
    looked.extend(
        stored[0]
            .ancestors()
            .skip(1)
            .take_while(|one| *one != data)
            .map(Path::to_owned),
    );
    assert!(looked.len() > 4, "{looked:?}");
    for one in looked {
        let about = one.metadata().unwrap();
        assert_eq!(about.uid(), owner, "{}", one.display());
        let others = about.permissions().mode() & 0o077;
        assert_eq!(others, 0, "{}", one.display());
    }
}
