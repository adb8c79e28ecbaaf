//! What the service says of what it stands on, unasked: no test here probes before it has looked at the gauges.

use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::support::client::Client;
use crate::support::engines::Engine;
use crate::support::polling::eventually;
use crate::support::postgres::Cluster;
use crate::support::scrape::Metrics;
use crate::support::service::Service;

/// The checks run every 5 s, for 1 s at the most until the database is given up; the rest is a busy machine's.
const PROMPTLY: Duration = Duration::from_secs(9);

fn check(metrics: &Metrics, name: &str) -> f64 {
    metrics
        .value("readiness_check_status", &[("check", name)])
        .expect("a series for each check")
}

async fn within(what: &str, limit: Duration, service: &Service, holds: impl Fn(&Metrics) -> bool) {
    eventually(what, limit, || async {
        holds(&service.scrape().await).then_some(())
    })
    .await;
}

/// The status of `/readyz` and the checks that failed.
async fn readyz(service: &Service) -> (u16, Vec<String>) {
    let answer = service
        .http()
        .get(service.ops_url("/readyz"))
        .send()
        .await
        .expect("ops answers");
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    let checks = body["checks"].as_array().expect("a list").iter();
    let failed = checks.filter(|check| check["status"] != "ok");
    (
        status,
        failed
            .map(|check| check["name"].as_str().expect("a name").to_owned())
            .collect(),
    )
}

/// Runs a statement on the service's database, beside it.
async fn run(service: &Service, engine: Engine, sql: &str) {
    let mut settings = service.settings().iter();
    let (_, url) = settings
        .find(|(name, _)| name == "CONVOKE_DATABASE_URL")
        .expect("set");
    let sql = AssertSqlSafe(sql.to_owned());
    match engine {
        Engine::Postgres => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
        Engine::Sqlite => {
            let mut connection = SqliteConnection::connect(url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }
}

on_both_engines! {
    async fn a_schema_that_falls_behind_is_told_by_gauge_and_probe(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let metrics = service.scrape().await;
        assert_eq!(metrics.value("db_schema_pending_migrations", &[]), Some(0.0));
        assert!(["lifecycle", "database", "schema"].iter().all(|name| check(&metrics, name) > 0.5));

        // As after a restored backup.
        run(&service, engine, "UPDATE _sqlx_migrations SET version = -version").await;
        within("the schema's check fails", PROMPTLY, &service, |metrics| {
            check(metrics, "schema") < 0.5
                && metrics.value("db_schema_pending_migrations", &[]) > Some(0.5)
        }).await;
        assert_eq!(readyz(&service).await, (503, vec!["schema".to_owned()]));
        assert!(check(&service.scrape().await, "database") > 0.5);

        run(&service, engine, "UPDATE _sqlx_migrations SET version = -version").await;
        within("all is well again", PROMPTLY, &service, |metrics| {
            check(metrics, "schema") > 0.5
                && metrics.value("db_schema_pending_migrations", &[]) < Some(0.5)
        }).await;
        assert_eq!(readyz(&service).await.0, 200);
    }

    async fn disk_clock_and_memory_are_the_machines(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let value = |metrics: &Metrics, name: &str| metrics.value(name, &[]).expect(name);
        let metrics = service.scrape().await;
        let size = value(&metrics, "system_filesystem_size_bytes");
        let available = value(&metrics, "system_filesystem_available_bytes");
        assert!(available > 0.0 && available <= size, "{available} of {size}");
        let resident = value(&metrics, "process_resident_memory_bytes");
        assert!(value(&metrics, "process_memory_limit_bytes") > resident);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let apart = now - value(&metrics, "system_clock_time_seconds");
        assert!((0.0..5.0).contains(&apart), "{apart}");
    }

    async fn the_end_is_told_before_the_listener_goes(engine: Engine) {
        let settings = [("CONVOKE_SHUTDOWN_GRACE", "3s")];
        let mut service = Service::start(engine, &settings).await;
        service.terminate();
        // At once, and not with the next round of the checks.
        within("the lifecycle's check fails", Duration::from_secs(2), &service, |metrics| {
            check(metrics, "lifecycle") < 0.5 && check(metrics, "database") > 0.5
        }).await;
        assert!(service.wait().success());
    }

    async fn a_failed_operation_is_one_error(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        run(&service, engine, "ALTER TABLE events RENAME TO events_away").await;
        let errors = |metrics: &Metrics| metrics.value("db_client_operation_errors_total", &[]).unwrap();
        let before = service.scrape().await;
        user.get("/events/").await.expect(500);
        let after = service.scrape().await;
        assert!((errors(&after) - errors(&before) - 1.0).abs() < 0.1, "{} more", errors(&after) - errors(&before));
        let kind = [("error_type", if engine == Engine::Sqlite { "SQLITE_ERROR" } else { "42P01" })];
        assert_eq!(after.value("db_client_operation_errors_total", &kind), Some(1.0));
        // The histogram says which operation it was.
        let count = after.value("db_client_operation_duration_seconds_count", &[("db_query_summary", "events.list"), kind[0]]);
        assert_eq!(count, Some(1.0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_database_is_told_within_seconds_and_counted() {
    let cluster = Cluster::start("");
    let database = cluster.create_database().await;
    let service = Service::start_on(&database, &[]).await;
    assert!(check(&service.scrape().await, "database") > 0.5);
    let errors = |metrics: &Metrics| {
        let of = |kind| metrics.value("db_client_operation_errors_total", &[("error_type", kind)]);
        of("io").unwrap() + of("08000").unwrap() + of("57P01").unwrap() + of("57P03").unwrap()
    };
    cluster.stop();
    let began = Instant::now();
    within(
        "the database's check fails",
        PROMPTLY,
        &service,
        |metrics| check(metrics, "database") < 0.5,
    )
    .await;
    assert!(began.elapsed() < PROMPTLY);
    // An outage is told once: nothing is known against the schema.
    assert_eq!(readyz(&service).await, (503, vec!["database".to_owned()]));
    assert!(check(&service.scrape().await, "schema") > 0.5);
    within("errors are counted", PROMPTLY, &service, |metrics| {
        errors(metrics) > 0.5
    })
    .await;
    cluster.start_again();
    within("the database answers", PROMPTLY * 3, &service, |metrics| {
        check(metrics, "database") > 0.5
    })
    .await;
}

/// A lock keeps every connection waiting: the database is there, and no load balancer should be told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_waits_for_a_lock_is_no_database_that_is_away() {
    let cluster = Cluster::start("");
    let database = cluster.create_database().await;
    let settings = [("CONVOKE_DATABASE_MAX_CONNECTIONS", "2")];
    let service = Service::start_on(&database, &settings).await;
    let client = Client::register(&service, "somebody").await;
    let mut other = PgConnection::connect(&database).await.unwrap();
    let lock = "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let client = client.clone();
        waiting.push(tokio::spawn(async move {
            client.get("/events/").await;
        }));
    }
    let used = [("pool_name", "main"), ("state", "used")];
    within("all are in use", PROMPTLY, &service, |metrics| {
        metrics.value("db_client_connection_count", &used) == Some(2.0)
    })
    .await;
    assert_eq!(readyz(&service).await, (200, vec![]));
    let metrics = service.scrape().await;
    assert!(check(&metrics, "database") > 0.5 && check(&metrics, "schema") > 0.5);
    other.close().await.unwrap();
    for one in waiting {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_share_a_commit_are_counted_in_its_size() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let size = |metrics: &Metrics, part: &str| {
        metrics
            .value(&format!("db_client_write_batch_size_{part}"), &[])
            .unwrap()
    };
    let before = service.scrape().await;
    let users = Client::register_many(&service, "user", 32).await;
    let after = service.scrape().await;
    let (commits, writes) = (
        size(&after, "count") - size(&before, "count"),
        size(&after, "sum") - size(&before, "sum"),
    );
    assert!(
        writes >= 2.0 * 32.0,
        "a registration and a login each: {writes}"
    );
    assert!(
        commits > 0.0 && commits <= writes,
        "{commits} commits for {writes} writes"
    );
    drop(users);
}
