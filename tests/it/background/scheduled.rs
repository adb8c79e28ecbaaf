//! Leases, and jobs that one replica runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use convoke::background::scheduled::{self, Job, Turn};
use convoke::store::LeaseEnd;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::store::change_log::open_url;
use crate::support::engines::Engine;
use crate::support::polling::eventually;

const LIMIT: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_hours(1);

/// Gives every lease to somebody else.
async fn steal(engine: Engine, url: &str) {
    match engine {
        Engine::Postgres => {
            let mut link = PgConnection::connect(url).await.unwrap();
            let sql = "UPDATE leases SET holder = gen_random_uuid()";
            sqlx::query(sql).execute(&mut link).await.unwrap();
        }
        Engine::Sqlite => {
            let mut link = SqliteConnection::connect(url).await.unwrap();
            let sql = "UPDATE leases SET holder = randomblob(16)";
            sqlx::query(sql).execute(&mut link).await.unwrap();
        }
    }
}

on_both_engines! {
    async fn a_lease_has_one_holder_at_a_time(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open_url(&engine.fresh_database(folder.path()).await).await;
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(store.take_lease("a", first, LONG, Duration::ZERO).await.unwrap());
        assert!(!store.take_lease("a", second, LONG, Duration::ZERO).await.unwrap());
        assert!(store.take_lease("b", second, LONG, Duration::ZERO).await.unwrap(), "another name");
        assert!(store.renew_lease("a", first, LONG).await.unwrap());
        assert!(!store.renew_lease("a", second, LONG).await.unwrap());
        // Not the holder: nothing happens.
        store.give_back_lease("a", second, LeaseEnd::Done).await.unwrap();
        assert!(!store.take_lease("a", second, LONG, Duration::ZERO).await.unwrap());
        store.give_back_lease("a", first, LeaseEnd::Done).await.unwrap();
        assert!(!store.take_lease("a", second, LONG, LONG).await.unwrap(), "done less than its period ago");
        assert!(store.take_lease("a", second, LONG, Duration::ZERO).await.unwrap());
        store.give_back_lease("a", second, LeaseEnd::RetryAfter(LONG)).await.unwrap();
        assert!(!store.take_lease("a", first, LONG, Duration::ZERO).await.unwrap(), "too soon after a failure");
        store.close().await;
    }

    async fn a_lease_that_runs_out_is_taken_over_and_lost(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open_url(&engine.fresh_database(folder.path()).await).await;
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(store.take_lease("a", first, Duration::from_millis(1), Duration::ZERO).await.unwrap());
        eventually("the lease runs out", LIMIT, || async {
            store.take_lease("a", second, LONG, Duration::ZERO).await.unwrap().then_some(())
        })
        .await;
        assert!(!store.renew_lease("a", first, LONG).await.unwrap());
        store.give_back_lease("a", first, LeaseEnd::Done).await.unwrap();
        assert!(store.renew_lease("a", second, LONG).await.unwrap(), "the first gave nothing back");
        store.close().await;
    }

    async fn of_many_that_look_at_once_one_runs_the_job(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let url = engine.fresh_database(folder.path()).await;
        let stores = [open_url(&url).await, open_url(&url).await];
        let runs = Arc::new(AtomicUsize::new(0));
        let job = Job::new("count", LONG);
        let looks = (0..20).map(|n| {
            let (store, runs) = (stores[n % 2].clone(), Arc::clone(&runs));
            tokio::spawn(async move {
                scheduled::once(&store, job, || async {
                    runs.fetch_add(1, Ordering::SeqCst);
                    true
                })
                .await
                .unwrap()
            })
        });
        let mut ran = 0;
        for look in looks.collect::<Vec<_>>() {
            ran += usize::from(look.await.unwrap() == Turn::Ran(true));
        }
        assert_eq!((ran, runs.load(Ordering::SeqCst)), (1, 1));
        for store in stores {
            store.close().await;
        }
    }

    async fn a_job_that_outlasts_its_lease_keeps_it_and_one_that_loses_it_is_broken_off(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let url = engine.fresh_database(folder.path()).await;
        let store = open_url(&url).await;
        let mut job = Job::new("slow", LONG);
        // Long beside a stall of a busy machine, short beside the test.
        job.hold = Duration::from_secs(3);
        let slow = || async {
            tokio::time::sleep(2 * job.hold).await;
            true
        };
        assert_eq!(scheduled::once(&store, job, slow).await.unwrap(), Turn::Ran(true));

        job = Job { name: "lost", hold: Duration::from_millis(300), ..job };
        let stolen = || async {
            // As after a pause of the whole process: another has the lease by now.
            steal(engine, &url).await;
            std::future::pending::<bool>().await
        };
        assert_eq!(Box::pin(scheduled::once(&store, job, stolen)).await.unwrap(), Turn::Lost);
        store.close().await;
    }
}
