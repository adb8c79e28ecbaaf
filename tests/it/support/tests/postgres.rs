//! Throwaway clusters.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};

use crate::support::polling::eventually_blocking;
use crate::support::postgres::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_has_an_empty_database_of_its_own() {
    let first = Cluster::shared().create_database().await;
    let second = Cluster::shared().create_database().await;
    assert_ne!(first, second);
    let mut connection = PgConnection::connect(&first).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (n int)")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut other = PgConnection::connect(&second).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (n int)")
        .execute(&mut other)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_its_data_through_a_stop_and_through_a_kill() {
    let cluster = Cluster::start("");
    let url = cluster.create_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let sql = "CREATE TABLE t (n int); INSERT INTO t VALUES (7)";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();

    cluster.stop();
    PgConnection::connect(&url)
        .await
        .expect_err("it is stopped");
    cluster.start_again();
    cluster.kill();
    PgConnection::connect(&url).await.expect_err("it is killed");
    cluster.start_again();

    let mut connection = PgConnection::connect(&url).await.unwrap();
    let row = sqlx::query("SELECT n FROM t")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(row.get::<i32, _>(0), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_ones_own_explains_its_plans() {
    let cluster = Cluster::start(
        "shared_preload_libraries = 'auto_explain'
         auto_explain.log_min_duration = 0",
    );
    let mut connection = PgConnection::connect(&cluster.create_database().await)
        .await
        .unwrap();
    sqlx::raw_sql("SELECT count(*) FROM pg_class")
        .execute(&mut connection)
        .await
        .unwrap();
    let log = cluster.log();
    assert!(log.contains("Aggregate"), "no plan in {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_cluster_that_is_dropped() {
    let cluster = Cluster::start("");
    let mut connection = PgConnection::connect(&cluster.create_database().await)
        .await
        .unwrap();
    let row = sqlx::query("SHOW data_directory")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let folder = PathBuf::from(row.get::<String, _>(0));
    let folder = folder.parent().map(Path::to_owned).unwrap();
    assert!(folder.exists());

    drop(cluster);
    eventually_blocking("its folder is gone", Duration::from_secs(10), || {
        (!folder.exists()).then_some(())
    });
}
