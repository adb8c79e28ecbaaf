//! A database copied to the other engine and back: the same rows, whatever they hold, also after a kill, and the same answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use convoke::domain::change::Position;
use convoke::store::{COLUMNS_LEFT_OUT, TABLES_LEFT_OUT};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::change_log::open_url;
use crate::support::commands::{run_within, settings};
use crate::support::engines::Engine;

/// The data that `python -m kit copy_bench` uses too.
const DATA: &str = include_str!("../../copy_data.sql");
pub(super) const EVENTS: usize = 2000;

/// A connection to either engine.
pub(super) enum Link {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Link {
    pub(super) async fn open(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            Self::Sqlite(SqliteConnection::connect(url).await.unwrap())
        } else {
            Self::Postgres(PgConnection::connect(url).await.unwrap())
        }
    }

    pub(super) async fn run(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Postgres(link) => drop(sqlx::raw_sql(sql).execute(link).await.unwrap()),
            Self::Sqlite(link) => drop(sqlx::raw_sql(sql).execute(link).await.unwrap()),
        }
    }

    /// The texts of a statement with one column.
    pub(super) async fn texts(&mut self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Postgres(link) => sqlx::query_scalar(sql).fetch_all(link).await.unwrap(),
            Self::Sqlite(link) => sqlx::query_scalar(sql).fetch_all(link).await.unwrap(),
        }
    }

    pub(super) async fn is_unfinished(&mut self) -> bool {
        !self
            .texts("SELECT name FROM meta WHERE name = 'copy'")
            .await
            .is_empty()
    }
}

/// The settings of a command that runs in this folder.
pub(super) fn command_settings(folder: &Path) -> Vec<(String, String)> {
    settings(&[
        ("CONVOKE_DATA_DIR", folder.to_str().unwrap()),
        ("CONVOKE_SECRET_KEY", crate::support::service::SECRET_KEY),
    ])
}

/// Runs `convoke copy`; its report on success, else what it said on stderr.
pub(super) fn copy(from: &str, to: &str) -> Result<String, String> {
    let folder = TempDir::new().unwrap();
    let output = run_within(
        Duration::from_mins(3),
        &["copy", "--from", from, "--to", to],
        &command_settings(folder.path()),
    );
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

/// The rows and checksum of each table in a report.
pub(super) fn sums(report: &str) -> BTreeMap<String, (u64, String)> {
    let lines = report
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let tables = lines.filter(|words| words.len() == 5 && words[2].len() == 64);
    tables
        .map(|words| {
            (
                words[0].to_owned(),
                (words[1].parse().unwrap(), words[2].to_owned()),
            )
        })
        .collect()
}

/// Every table of a SQLite file, every row as SQL literals.
pub(super) async fn dump(url: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut link = Link::open(url).await;
    let tables = link
        .texts(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
             AND name NOT IN ('sqlite_schema', '_sqlx_migrations', 'leases', 'backups')",
        )
        .await;
    let mut all = BTreeMap::new();
    for table in tables {
        let columns = link
            .texts(&format!(
                "SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"
            ))
            .await;
        let rows = link
            .texts(&format!("SELECT {} FROM {table}", columns.join("||','||")))
            .await;
        all.insert(table, rows.into_iter().collect());
    }
    all
}

pub(super) async fn filled(events: usize) -> String {
    let url = Engine::Postgres.fresh_database(Path::new("")).await;
    open_url(&url).await.close().await;
    Link::open(&url)
        .await
        .run(&DATA.replace(":events", &events.to_string()))
        .await;
    url
}

pub(super) async fn empty_postgres() -> String {
    Engine::Postgres.fresh_database(Path::new("")).await
}

pub(super) fn file_in(folder: &TempDir, name: &str) -> String {
    format!("sqlite://{}", folder.path().join(name).display())
}

/// The ids of the log in its order, as a reader of it sees them.
async fn log(url: &str) -> Vec<uuid::Uuid> {
    let store = open_url(url).await;
    let from = Position {
        transaction: -1,
        sequence: -1,
    };
    let changes = store.changes_after(from, i64::MAX).await.unwrap();
    store.close().await;
    changes.into_iter().map(|change| change.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_trip_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (origin, a, b) = (
        filled(EVENTS).await,
        file_in(&folder, "a.db"),
        file_in(&folder, "b.db"),
    );
    let there = empty_postgres().await;
    let reports = [copy(&origin, &a), copy(&a, &there), copy(&there, &b)].map(Result::unwrap);
    let first = sums(&reports[0]);
    assert_eq!(first["events"].0, EVENTS as u64);
    assert_eq!(first["participants"].0, 3 * EVENTS as u64);
    for report in &reports[1..] {
        assert_eq!(sums(report), first);
    }
    let (before, after) = (dump(&a).await, dump(&b).await);
    assert!(before.values().map(BTreeSet::len).sum::<usize>() > 10 * EVENTS);
    for (table, rows) in &before {
        assert!(rows == &after[table], "{table} differs");
    }
    assert_eq!(before.len(), after.len());
    let words =
        "SELECT CAST(COUNT(*) AS TEXT) FROM events_search WHERE events_search MATCH 'harbour'";
    assert_eq!(
        Link::open(&b).await.texts(words).await,
        [EVENTS.to_string()]
    );
    let ordered = log(&a).await;
    assert_eq!(ordered.len(), 2 * EVENTS);
    assert_eq!(ordered, log(&there).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_server_that_has_counted_further_is_readable_in_its_order() {
    let folder = TempDir::new().unwrap();
    let origin = filled(200).await;
    let mut link = Link::open(&origin).await;
    let wanted = link
        .texts("SELECT id::text FROM changes ORDER BY xid, seq")
        .await;
    assert_ne!(
        wanted,
        link.texts("SELECT id::text FROM changes ORDER BY seq")
            .await
    );
    link.run("UPDATE changes SET xid = xid + 9000000000000")
        .await;
    for target in [empty_postgres().await, file_in(&folder, "far.db")] {
        copy(&origin, &target).unwrap();
        let found: Vec<String> = log(&target).await.iter().map(ToString::to_string).collect();
        assert_eq!(found, wanted, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_young_server_counts_on_until_the_log_lies_behind_it() {
    let cluster = crate::support::postgres::Cluster::start("");
    let (origin, target) = (filled(100).await, cluster.create_database().await);
    let mut link = Link::open(&origin).await;
    // Each step of the log backwards needs a transaction's number: more than a young server has given.
    link.run("UPDATE changes SET xid = -seq").await;
    link.run(
        "INSERT INTO changes (xid, id, kind, event_id, version, data, created_at) \
         SELECT -1000 - n, gen_random_uuid(), 'event.updated', (SELECT min(id::text)::uuid FROM events), 1, '{}', now() \
         FROM generate_series(1, 3000) n",
    )
    .await;
    copy(&origin, &target).unwrap();
    assert_eq!(log(&target).await.len(), 3200);
    let mut link = Link::open(&target).await;
    let next = "SELECT (pg_current_xact_id()::text::bigint > (SELECT max(xid) FROM changes))::text";
    assert_eq!(link.texts(next).await, ["true"]);
    assert_eq!(
        link.texts("SELECT max(xid)::text FROM changes").await,
        ["3199"]
    );
}

on_both_engines! {
    async fn a_copy_goes_into_an_empty_database_only(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let (source, target) = (filled(1).await, engine.fresh_database(folder.path()).await);
        copy(&source, &target).unwrap();
        let said = copy(&source, &target).unwrap_err();
        assert!(said.contains("the target is not empty"), "{said}");
        let said = copy(&target, &target).unwrap_err();
        assert!(said.contains("the same database"), "{said}");
    }

    async fn the_numbers_of_rows_deleted_since_are_not_given_again(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let (origin, between) = (filled(100).await, file_in(&folder, "between.db"));
        Link::open(&origin).await.run("DELETE FROM deliveries WHERE id > 50").await;
        copy(&origin, &between).unwrap();
        let target = match engine {
            Engine::Sqlite => between,
            Engine::Postgres => {
                let target = empty_postgres().await;
                copy(&between, &target).unwrap();
                target
            }
        };
        let mut link = Link::open(&target).await;
        link.run(
            "INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at) \
             SELECT change_id, event_id, event_id, channel, state, attempts, due_at, created_at FROM deliveries WHERE id = 1",
        )
        .await;
        assert_eq!(link.texts("SELECT CAST(MAX(id) AS TEXT) FROM deliveries").await, ["101"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_not_there_is_not_made() {
    let folder = TempDir::new().unwrap();
    let (source, target) = (
        file_in(&folder, "misspelt.db"),
        file_in(&folder, "target.db"),
    );
    assert!(copy(&source, &target).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_and_column_is_copied_or_left_out_for_a_reason() {
    let folder = TempDir::new().unwrap();
    let origin = filled(1).await;
    let target = file_in(&folder, "target.db");
    let copied: BTreeSet<String> = sums(&copy(&origin, &target).unwrap()).into_keys().collect();
    let postgres = Link::open(&origin)
        .await
        .texts(
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
        )
        .await;
    let sqlite = Link::open(&target)
        .await
        .texts(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'",
        )
        .await;
    let left_out: BTreeSet<String> = TABLES_LEFT_OUT
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let known: BTreeSet<String> = copied.union(&left_out).cloned().collect();
    assert_eq!(postgres.into_iter().collect::<BTreeSet<_>>(), known);
    // What stands behind the full-text index besides.
    let sqlite = sqlite
        .into_iter()
        .filter(|name| !name.starts_with("events_search"));
    assert_eq!(sqlite.collect::<BTreeSet<_>>(), known);
    for (name, reason) in TABLES_LEFT_OUT.iter().chain(COLUMNS_LEFT_OUT) {
        assert!(reason.len() > 10, "{name}");
    }
}
