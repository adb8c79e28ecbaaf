//! A copy that is killed or overtaken by writes, and says so.

use std::process::Stdio;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::copy::{EVENTS, Link, command_settings, copy, empty_postgres, file_in, filled, sums};
use crate::support::commands::{convoke, run, settings};
use crate::support::polling::eventually;

on_both_engines! {
    async fn a_copy_that_was_killed_goes_on(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let origin = filled(EVENTS).await;
        let (source, target) = match engine {
            Engine::Sqlite => (origin.clone(), file_in(&folder, "target.db")),
            Engine::Postgres => (file_in(&folder, "source.db"), empty_postgres().await),
        };
        if engine == Engine::Postgres {
            copy(&origin, &source).unwrap();
        }
        let mut child = begin(&source, &target, &folder);
        let mut link = stop_at(&target, "participants").await;
        assert!(child.try_wait().unwrap().is_none(), "it waits for the test");
        child.kill().unwrap();
        child.wait().unwrap();
        link.run("ROLLBACK").await;
        assert!(link.is_unfinished().await);

        let refused = run(&["serve"], &{
            let mut all = command_settings(folder.path());
            all.extend(settings(&[("CONVOKE_DATABASE_URL", &target), ("CONVOKE_LISTEN", "127.0.0.1:0"), ("CONVOKE_OPS_LISTEN", "127.0.0.1:0")]));
            all
        });
        assert!(!refused.status.success());
        let said = String::from_utf8(refused.stdout).unwrap();
        assert!(said.contains("has not been finished"), "{said}");
        let other = copy(&filled(1).await, &target).unwrap_err();
        assert!(other.contains("unfinished copy of another database"), "{other}");

        let report = copy(&source, &target).unwrap();
        assert!(report.contains("from an earlier run"), "{report}");
        assert_eq!(sums(&report)["participants"].0, 3 * EVENTS as u64);
        assert!(!link.is_unfinished().await);
        assert_eq!(sums(&report), sums(&copy(&source, &empty_postgres().await).unwrap()));
    }

    async fn what_is_written_to_the_source_meanwhile_is_noticed(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let origin = filled(300).await;
        let source = match engine {
            Engine::Sqlite => file_in(&folder, "source.db"),
            Engine::Postgres => origin.clone(),
        };
        if engine == Engine::Sqlite {
            copy(&origin, &source).unwrap();
        }
        let target = empty_postgres().await;
        let child = begin(&source, &target, &folder);
        let mut link = stop_at(&target, "participants").await;
        Link::open(&source).await.run("UPDATE users SET display_name = 'Late' WHERE email_key = 'user1@example.org'").await;
        link.run("ROLLBACK").await;
        let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.contains("users has 25 rows on both sides, but not the same"), "{said}");
        assert!(link.is_unfinished().await, "it must not be served");
    }
}

/// Begins a copy in small commits.
fn begin(source: &str, target: &str, folder: &TempDir) -> std::process::Child {
    convoke(
        &["copy", "--from", source, "--to", target, "--batch", "50"],
        &command_settings(folder.path()),
    )
    .stdin(Stdio::null())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap()
}

/// Waits until a part of the copy is in the target, and stops it there by a lock.
async fn stop_at(target: &str, table: &str) -> Link {
    const BEGUN: &str = "SELECT value FROM meta WHERE name = 'copy' AND value LIKE '%\"events\"%'";
    eventually("the target is there", Duration::from_mins(1), || async {
        if let Some(file) = target.strip_prefix("sqlite://") {
            return std::fs::exists(file).unwrap().then_some(());
        }
        let mut link = PgConnection::connect(target).await.ok()?;
        sqlx::query("SELECT 1 FROM participants LIMIT 1")
            .execute(&mut link)
            .await
            .ok()
            .map(drop)
    })
    .await;
    let mut link = Link::open(target).await;
    match &mut link {
        // Nothing is copied into it yet: its turn comes after events.
        Link::Postgres(_) => {
            link.run(&format!("BEGIN; LOCK TABLE {table} IN SHARE MODE"))
                .await;
        }
        Link::Sqlite(link) => {
            eventually_sqlite(link, BEGUN).await;
            sqlx::raw_sql("BEGIN IMMEDIATE")
                .execute(&mut *link)
                .await
                .unwrap();
        }
    }
    let mut reader = Link::open(target).await;
    let what = "some of it is copied";
    let start = std::time::Instant::now();
    while reader.texts(BEGUN).await.is_empty() {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    link
}

/// Waits until the statement finds something; before the schema is there it fails.
async fn eventually_sqlite(link: &mut SqliteConnection, sql: &'static str) {
    let start = std::time::Instant::now();
    loop {
        let found = sqlx::query_scalar::<_, String>(sql)
            .fetch_optional(&mut *link)
            .await;
        if let Ok(Some(_)) = found {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "nothing is copied: {found:?}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
