//! Backups: made under load, restored, damaged, killed and scheduled.

mod damage;
mod files;
mod keeping;
mod placing;
mod postgres;
mod refusal;
mod round_trip;
mod schedule;

use std::path::{Path, PathBuf};
use std::process::Output;

use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::support::commands;
use crate::support::engines::Engine;
use crate::support::service::SECRET_KEY;

/// A convoke command without a service: its data folder, and the database it works on.
pub(super) struct Site {
    pub(super) folder: tempfile::TempDir,
    pub(super) url: String,
    pub(super) settings: Vec<(String, String)>,
}

impl Site {
    /// A place with an empty database that has no schema yet.
    pub(super) async fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = engine.fresh_database(folder.path()).await;
        Self::on(folder, &url)
    }

    fn on(folder: tempfile::TempDir, url: &str) -> Self {
        let settings = commands::settings(&[
            ("CONVOKE_DATA_DIR", &folder.path().display().to_string()),
            ("CONVOKE_DATABASE_URL", url),
            ("CONVOKE_SECRET_KEY", SECRET_KEY),
        ]);
        Self {
            folder,
            url: url.to_owned(),
            settings,
        }
    }

    /// The same with this much in it, in rows that cannot be compressed well.
    pub(super) async fn filled(engine: Engine, mebibytes: u32) -> Self {
        let site = Self::new(engine).await;
        site.must(&["migrate"]);
        let rows = mebibytes * 256;
        // 4,096 characters a row.
        let (postgres, sqlite) = (
            format!(
                "INSERT INTO meta SELECT 'fill-' || n, (SELECT string_agg(md5(random()::text || n || m), '') \
                 FROM generate_series(1, 128) AS m) FROM generate_series(1, {rows}) AS n"
            ),
            format!(
                "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) \
                 INSERT INTO meta SELECT 'fill-' || n, hex(randomblob(2048)) FROM c"
            ),
        );
        match engine {
            Engine::Postgres => execute(&site.url, &postgres).await,
            Engine::Sqlite => execute(&site.url, &sqlite).await,
        }
        site
    }

    pub(super) fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        commands::run(arguments, &self.settings)
    }

    /// Runs a command that must succeed; its output.
    pub(super) fn must(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail; its complaint.
    pub(super) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", said(&output));
        let said = said(&output);
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// Makes a backup; the path that it answers with.
    pub(super) fn backup(&self, more: &[&str]) -> PathBuf {
        let to = self.backups().display().to_string();
        let arguments = [&["backup", "--to", &to], more].concat();
        last_line(&self.must(&arguments)).into()
    }

    pub(super) fn restore(&self, file: &Path) -> String {
        self.must(&["restore", file.to_str().unwrap()])
    }

    /// The number of rows that this finds.
    pub(super) async fn count(&self, from: &str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT CAST(COUNT(*) AS BIGINT) FROM {from}"));
        if self.url.starts_with("sqlite") {
            let mut link = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut link).await.unwrap()
        } else {
            let mut link = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut link).await.unwrap()
        }
    }
}

pub(super) async fn execute(url: &str, sql: &str) {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    if url.starts_with("sqlite") {
        let mut link = SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut link).await.unwrap();
        link.close().await.unwrap();
    } else {
        let mut link = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut link).await.unwrap();
        link.close().await.unwrap();
    }
}

pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(super) fn last_line(text: &str) -> String {
    text.lines().last().unwrap().to_owned()
}

/// The names in a folder, in order.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
