//! Files moved from a folder to a real S3 server while they are read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{PNG, attachments, files, text, upload};
use crate::support::answer::Answer;
use crate::support::client::{Client, id};
use crate::support::commands::{convoke, run_within};
use crate::support::engines::Engine;
use crate::support::moto::Moto;
use crate::support::polling::eventually;
use crate::support::service::Service;

const FILES: usize = 120;
const LIMIT: Duration = Duration::from_mins(3);

/// A service with files in a folder, and what is in them by path.
struct Stage {
    service: Service,
    host: Client,
    event: Value,
    contents: Arc<Vec<(String, Vec<u8>)>>,
    folder: PathBuf,
    moto: Moto,
}

impl Stage {
    async fn set(count: usize, settings: &[(&str, &str)]) -> Self {
        let limits = [("CONVOKE_ATTACHMENTS_MAX_PER_EVENT", "10000")];
        let service = Service::start(Engine::Sqlite, &[&limits, settings].concat()).await;
        let host = Client::register(&service, "host").await;
        let event = host.create_event(json!({})).await;
        let mut contents = Vec::new();
        for n in 0..count {
            let content = text(n * 37 % 2000);
            let added = upload(
                &host,
                &event,
                &format!("{n}.txt"),
                "text/plain",
                content.clone(),
            )
            .await
            .expect(201);
            contents.push((
                format!("{}{}/content", attachments(&event), id(&added.body)),
                content,
            ));
        }
        let data = service
            .settings()
            .iter()
            .find(|(name, _)| name == "CONVOKE_DATA_DIR")
            .expect("given")
            .1
            .clone();
        let moto = Moto::start().await;
        moto.make_bucket("files").await;
        Self {
            service,
            host,
            event,
            contents: Arc::new(contents),
            folder: Path::new(&data).join("files"),
            moto,
        }
    }

    /// From now on new files go to the bucket, and the old ones are read from the folder.
    async fn turn(&mut self) {
        let mut settings = self.moto.settings("files");
        settings.push((
            "CONVOKE_STORAGE_FALLBACK_URL".to_owned(),
            "file:files".to_owned(),
        ));
        self.service.reconfigure(&settings);
        self.service.restart().await;
    }

    fn migrate(&self, options: &[&str]) -> Output {
        run_within(
            LIMIT,
            &[&["files", "migrate"], options].concat(),
            self.service.settings(),
        )
    }

    async fn read_all(&self) {
        for (path, content) in self.contents.iter() {
            let answer = self.host.get(path).await.expect(200);
            assert!(answer.text.as_bytes() == content, "{path}");
        }
    }
}

/// The numbers of a report, by the words before them.
fn numbers(output: &Output) -> HashMap<String, u64> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().filter_map(|line| {
        let at = line.find(|c: char| c.is_ascii_digit())?;
        let number = line[at..].split_whitespace().next()?.parse().ok()?;
        Some((line[..at].trim().to_owned(), number))
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_move_to_a_bucket_while_they_are_read_though_the_move_is_killed() {
    let mut stage = Stage::set(FILES, &[]).await;
    stage.turn().await;
    let done = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..3)
        .map(|start| {
            let (done, reads) = (Arc::clone(&done), Arc::clone(&reads));
            let (host, contents) = (stage.host.clone(), Arc::clone(&stage.contents));
            tokio::spawn(async move {
                let mut n = start * 41;
                while !done.load(Ordering::SeqCst) {
                    n = (n + 53) % contents.len();
                    let (path, content) = &contents[n];
                    let answer = host.get(path).await.expect(200);
                    assert!(answer.text.as_bytes() == content, "{path}");
                    reads.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();

    let plan = stage.migrate(&["--dry-run"]);
    assert_eq!(numbers(&plan)["to be copied"], FILES as u64);
    assert!(
        stage.moto.keys("files").await.is_empty(),
        "a dry run writes nothing"
    );
    let mut child = convoke(
        &["files", "migrate", "--parallel", "1", "--delete-source"],
        stage.service.settings(),
    )
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let moto = &stage.moto;
    eventually("a third is moved", LIMIT, || async {
        (moto.keys("files").await.len() >= FILES / 3).then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let moved = stage.moto.keys("files").await.len();
    assert!(moved < FILES, "it was killed on its way");
    let left = files(&stage.folder).len();
    assert!(
        left >= FILES - moved,
        "{left} left of {FILES}, {moved} moved"
    );

    let output = stage.migrate(&["--delete-source"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found = numbers(&output);
    assert_eq!(found["in the source"], left as u64);
    assert_eq!(found["copied"] + found["there already"], left as u64);
    assert_eq!((found["failed"], found["gone meanwhile"]), (0, 0));
    assert!(files(&stage.folder).is_empty());
    assert_eq!(stage.moto.keys("files").await.len(), FILES);
    let metrics = stage.service.scrape().await;
    let from_before = metrics.value("storage_fallback_reads_total", &[("storage", "file")]);
    assert!(from_before > Some(0.0), "{from_before:?}");

    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.expect("no read fails");
    }
    assert!(reads.load(Ordering::SeqCst) > FILES / 3);
    stage.read_all().await;
    let after = stage
        .service
        .scrape()
        .await
        .value("storage_fallback_reads_total", &[("storage", "file")]);
    assert!(after >= from_before);
    // A look into a store that is being filled is no failure of it.
    let errors = stage.service.scrape().await.value(
        "storage_operation_errors_total",
        &[("storage", "s3"), ("error_type", "not_found")],
    );
    assert_eq!(errors, Some(0.0));
    stage
        .service
        .reconfigure(&[("CONVOKE_STORAGE_FALLBACK_URL".to_owned(), String::new())]);
    stage.service.restart().await;
    stage.read_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_in_the_target_is_told_and_nothing_of_it_deleted() {
    let mut stage = Stage::set(2, &[]).await;
    stage.turn().await;
    let not_empty = |file: &PathBuf| std::fs::metadata(file).unwrap().len() > 0;
    let file = files(&stage.folder).into_iter().find(not_empty).unwrap();
    let key = file
        .strip_prefix(&stage.folder)
        .unwrap()
        .display()
        .to_string();
    let before = std::fs::read(&file).unwrap();
    let there = stage.moto.url(&format!("/files/convoke/{key}"));
    let damaged = vec![b'x'; before.len()];
    let put = stage.service.http().put(&there).body(damaged);
    assert!(put.send().await.unwrap().status().is_success());
    // Its ETag, size and time.
    let about = |listed: String| {
        let rest = listed.split(&key).nth(1)?;
        Some(rest.split("</Contents>").next()?.to_owned())
    };
    let placed = about(stage.moto.ask("files", "list-type=2").await);
    assert!(placed.is_some());

    let output = stage.migrate(&["--delete-source"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains(&key) && said.contains("another file"),
        "{said}"
    );
    assert_eq!(numbers(&output)["failed"], 1);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(files(&stage.folder), [file]);
    let kept = about(stage.moto.ask("files", "list-type=2").await);
    assert_eq!(kept, placed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_file_goes_from_both_stores() {
    let settings = [
        ("CONVOKE_STORAGE_GRACE", "1s"),
        ("CONVOKE_STORAGE_COLLECT_EVERY", "1s"),
        ("CONVOKE_ATTACHMENTS_REDIRECT", "true"),
    ];
    let mut stage = Stage::set(2, &settings).await;
    stage.turn().await;
    let (path, _) = &stage.contents[0];
    // What cannot be signed for is sent.
    stage.host.get(path).await.expect(200);
    assert!(stage.migrate(&[]).status.success());
    stage.host.get(path).await.expect(307);
    let picture = stage
        .host
        .request(Method::PUT, "/users/me/avatar")
        .body(PNG);
    Answer::of(picture).await.unwrap().expect(200);
    assert_eq!(
        stage.moto.keys("files").await.len(),
        3,
        "new files go to the bucket"
    );
    assert_eq!(files(&stage.folder).len(), 2);
    stage
        .host
        .delete(&format!("/events/{}", id(&stage.event)))
        .await
        .expect(204);
    eventually("both are empty", LIMIT, || async {
        (files(&stage.folder).is_empty() && stage.moto.keys("files").await.len() == 1).then_some(())
    })
    .await;
}

/// A folder of data with this file among its files, and the settings of a command that works on it.
fn lone(content: &str) -> (tempfile::TempDir, Vec<(String, String)>) {
    let data = tempfile::tempdir().unwrap();
    let below = data.path().join("files/attachments");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(below.join("kept"), content).unwrap();
    let settings = [("CONVOKE_DATA_DIR", data.path().to_str().unwrap())];
    let settings = crate::support::commands::settings(&settings);
    (data, settings)
}

#[test]
fn one_store_by_two_names_is_refused_and_loses_nothing() {
    let (data, settings) = lone("precious");
    let path = data.path().display();
    for link in ["link", "linked"] {
        std::os::unix::fs::symlink("files", data.path().join(link)).unwrap();
    }
    for (from, to) in [
        (
            format!("file://{path}/files"),
            format!("file://{path}/files/"),
        ),
        (format!("file://{path}/files"), "file:link".to_owned()),
        ("file:link".to_owned(), "file:linked".to_owned()),
        ("file:files".to_owned(), "file:files/attachments".to_owned()),
        ("file:files/attachments".to_owned(), "file:files".to_owned()),
        ("s3://bucket/a/".to_owned(), "s3://bucket/a".to_owned()),
    ] {
        for options in [&["--delete-source"][..], &[], &["--dry-run"]] {
            let arguments = ["files", "migrate", "--from", &from, "--to", &to];
            let output = run_within(LIMIT, &[&arguments, options].concat(), &settings);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{from} {to}: {said}");
            assert!(said.contains("the same store"), "{said}");
        }
    }
    let left = std::fs::read_to_string(data.path().join("files/attachments/kept"));
    assert_eq!(left.unwrap(), "precious");
}

#[test]
fn settings_that_name_one_store_twice_are_refused() {
    let (data, settings) = lone("x");
    std::os::unix::fs::symlink("files", data.path().join("link")).unwrap();
    for fallback in ["file:files/", "file:link", "file:files/attachments"] {
        let fallback = (
            "CONVOKE_STORAGE_FALLBACK_URL".to_owned(),
            fallback.to_owned(),
        );
        let settings = [settings.clone(), vec![fallback]].concat();
        for command in [
            &["settings", "--check"][..],
            &["serve"],
            &["files", "migrate"],
        ] {
            let output = run_within(LIMIT, command, &settings);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
            assert!(
                said.contains("storage.fallback_url leads to the same store"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_source_that_is_not_there_is_an_error_and_an_empty_one_is_told() {
    let (data, settings) = lone("x");
    let run = |from: &str, option: &[&str]| {
        let arguments = ["files", "migrate", "--from", from, "--to", "file:new"];
        run_within(LIMIT, &[&arguments, option].concat(), &settings)
    };
    for option in [&["--dry-run"][..], &[]] {
        for from in ["file:not-there", "file:files/attachments/kept"] {
            let output = run(from, option);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains("does not exist"), "{said}");
        }
    }
    assert!(!data.path().join("new").exists());
    std::fs::create_dir(data.path().join("empty")).unwrap();
    let output = run("file:empty", &[]);
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("there is no file in the source") && !told.contains("agrees"),
        "{told}"
    );
}
