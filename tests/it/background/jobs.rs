//! What one replica is enough for, one replica does.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::support::engines::Engine;
use crate::support::polling::eventually;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_secs(30);

/// How often a replica has run this operation.
async fn runs(service: &Service, operation: &str) -> f64 {
    let name = "db_client_operation_duration_seconds_count";
    let labels = [("db_query_summary", operation)];
    service.scrape().await.value(name, &labels).unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_sweep_and_follow_the_zones_once_between_them() {
    let first = Service::start(Engine::Postgres, &[]).await;
    let second = first.start_replica().await;
    let both = [&first, &second];
    // Each has looked at both jobs, and somebody has done them.
    for replica in both {
        eventually("a replica looks", LIMIT, || async {
            (runs(replica, "leases.take").await > 1.5).then_some(())
        })
        .await;
    }
    for job in ["refresh_tokens.sweep", "meta.note_zone_rules"] {
        eventually("one does it", LIMIT, || async {
            let done = runs(&first, job).await + runs(&second, job).await;
            (done > 0.5).then_some(())
        })
        .await;
    }
    // The second came when the first had done them.
    for job in ["refresh_tokens.sweep", "meta.zone_rules"] {
        let done = runs(&first, job).await + runs(&second, job).await;
        assert!((done - 1.0).abs() < f64::EPSILON, "{job}: {done}");
    }
}

/// Who holds the lease of the sweeps.
async fn holder(url: &str) -> Option<String> {
    let mut link = PgConnection::connect(url).await.ok()?;
    let sql = "SELECT holder::text FROM leases WHERE name = 'retention' AND expires_at > now()";
    let found = sqlx::query_scalar(sql).fetch_optional(&mut link).await;
    found.expect("the database answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_takes_over_the_job_of_one_that_was_killed() {
    let patient = [("CONVOKE_DATABASE_STATEMENT_TIMEOUT", "10m")];
    let mut first = Service::start(Engine::Postgres, &patient).await;
    let url = first.setting("CONVOKE_DATABASE_URL").expect("set");
    let mut link = PgConnection::connect(&url).await.unwrap();
    // A new run of the job hangs in the hands of a replica that is then killed.
    first.terminate();
    first.wait();
    sqlx::raw_sql("UPDATE leases SET done_at = NULL, expires_at = now() WHERE name = 'retention'")
        .execute(&mut link)
        .await
        .unwrap();
    let mut lock = link.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    first.restart().await;
    let held = eventually("the lease is taken", LIMIT, || holder(&url)).await;
    first.kill();
    lock.rollback().await.unwrap();

    // Nobody takes it before its time…
    let second = first.start_replica().await;
    eventually("the second looks", LIMIT, || async {
        (runs(&second, "leases.take").await > 1.5).then_some(())
    })
    .await;
    assert_eq!(holder(&url).await, Some(held));
    assert!(runs(&second, "refresh_tokens.sweep").await < 0.5);
    drop(second);
    // …and when it is over, whoever looks does.
    sqlx::raw_sql("UPDATE leases SET expires_at = now() WHERE name = 'retention'")
        .execute(&mut link)
        .await
        .unwrap();
    let third = first.start_replica().await;
    eventually("the job is done", LIMIT, || async {
        (runs(&third, "refresh_tokens.sweep").await > 0.5).then_some(())
    })
    .await;
}
