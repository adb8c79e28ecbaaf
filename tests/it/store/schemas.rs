//! The two schemas say the same.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection, PgConnection, Row, SqliteConnection};
use tempfile::TempDir;

use super::change_log::open;
use crate::support::engines::Engine;

/// Where they really differ; see migrations/README.md.
const ONLY_POSTGRES: &[&str] = &["events.search"];
const ONLY_SQLITE: &[&str] = &["events.row_id"];

type Columns = BTreeMap<String, (String, bool)>;

fn common_type(name: &str) -> String {
    match name.to_lowercase().as_str() {
        "uuid" | "bytea" | "blob" => "bytes",
        "text" | "jsonb" => "text",
        "bigint" | "integer" | "timestamp with time zone" | "boolean" => "integer",
        other => other,
    }
    .to_owned()
}

async fn postgres_schema(url: &str) -> (Columns, BTreeSet<String>) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = "SELECT table_name || '.' || column_name, data_type, is_nullable = 'YES' FROM information_schema.columns \
               WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    let columns = rows
        .iter()
        .map(|row| (row.get(0), (common_type(row.get(1)), row.get(2))))
        .collect();
    let sql = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%\\_pkey' \
               AND indexname NOT LIKE '%\\_key' AND indexname <> 'events_search'";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    (columns, rows.iter().map(|row| row.get(0)).collect())
}

async fn sqlite_schema(url: &str) -> (Columns, BTreeSet<String>) {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    let sql = "SELECT t.name || '.' || c.name, c.type, c.\"notnull\" = 0 FROM sqlite_schema t, pragma_table_info(t.name) c \
               WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%' \
               AND t.name NOT LIKE 'events\\_search%' ESCAPE '\\'";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    let columns = rows
        .iter()
        .map(|row| (row.get(0), (common_type(row.get(1)), row.get(2))))
        .collect();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite%'";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    (columns, rows.iter().map(|row| row.get(0)).collect())
}

#[tokio::test]
async fn both_engines_have_the_same_tables_columns_and_indexes() {
    let folder = TempDir::new().unwrap();
    let mut schemas = Vec::new();
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let url = engine.fresh_database(folder.path()).await;
        open_on(&url).await;
        schemas.push(match engine {
            Engine::Postgres => postgres_schema(&url).await,
            Engine::Sqlite => sqlite_schema(&url).await,
        });
    }
    let (mut sqlite, mut postgres) = (schemas.remove(1), schemas.remove(0));
    for name in ONLY_POSTGRES {
        assert!(
            postgres.0.remove(*name).is_some(),
            "{name} is listed for nothing"
        );
    }
    for name in ONLY_SQLITE {
        assert!(
            sqlite.0.remove(*name).is_some(),
            "{name} is listed for nothing"
        );
    }
    // SQLite has INTEGER PRIMARY KEYs, which are not null without saying so.
    for schema in [&mut sqlite.0, &mut postgres.0] {
        for name in ["changes.seq", "deliveries.id"] {
            schema
                .entry(name.to_owned())
                .and_modify(|(_, nullable)| *nullable = false);
        }
    }
    assert!(postgres.0.len() > 80, "the schema was read");
    assert_eq!(postgres, sqlite);
}

async fn open_on(url: &str) {
    super::change_log::open_url(url).await.close().await;
}

on_both_engines! {
    async fn migrating_twice_at_once_does_no_harm(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open(engine, &folder).await;
        let (first, second) = tokio::join!(store.migrate(), store.migrate());
        first.unwrap();
        second.unwrap();
        let version = store.schema_version().await.unwrap();
        assert_eq!(version.known, version.applied);
        store.close().await;
    }
}
