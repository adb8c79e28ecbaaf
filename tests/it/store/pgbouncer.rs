//! Behind PgBouncer in transaction mode every statement works, whichever server connection it is given.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::support::client::{Client, for_each, id};
use crate::support::commands;
use crate::support::history::{history, replay_admissions};
use crate::support::pgbouncer::SERVERS;
use crate::support::polling::eventually;
use crate::support::postgres::Cluster;
use crate::support::service::Service;

const USERS: usize = 40;
const CAPACITY: usize = 15;

/// Reads of every kind of list between the writes: statements of different shapes that would be taken for each other.
async fn look_around(user: &Client, event: &str) {
    for path in [
        "/users/me".to_owned(),
        "/events/?q=harbour&limit=3".to_owned(),
        "/events/?sort=created&limit=2".to_owned(),
        "/notifications/?unread=true".to_owned(),
        format!("/events/{event}"),
        format!("/events/{event}/participants/?limit=5"),
    ] {
        user.get(&path).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_through_pgbouncer_is_served_by_several_server_connections() {
    let database = Cluster::shared().create_database().await;
    let service = Service::start_pooled(&database, &[("CONVOKE_REQUEST_TIMEOUT", "60s")]).await;
    let replica = service.start_replica().await;
    let organizer = Client::register(&service, "organizer").await;
    let users = Client::register_many(&service, "user", USERS).await;
    let event = organizer
        .create_event(json!({"capacity": CAPACITY, "visibility": "public"}))
        .await;

    let rush = for_each(&users, USERS, |n, user| {
        let user = if n % 2 == 0 { user } else { user.at(&replica) };
        let event = event.clone();
        async move {
            for status in ["accepted", "declined", "accepted"] {
                user.answer(&event, status).await.expect(200);
                look_around(&user, id(&event)).await;
            }
            Ok::<(), ()>(())
        }
    });
    assert_eq!(rush.await, Ok(()));

    let changes = replay_admissions(&history(&organizer, &event).await, CAPACITY);
    for user in &users {
        let changes = changes.get(&user.id).copied().unwrap_or(0);
        user.is_told(changes, "participant.admission_changed", &event)
            .await;
    }
    let mut direct = PgConnection::connect(&database).await.unwrap();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
               AND application_name <> 'convoke listener'";
    let servers: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut direct)
        .await
        .unwrap();
    assert!(
        servers >= 2 && servers <= i64::try_from(SERVERS).unwrap(),
        "{servers}"
    );
    for service in [&service, &replica] {
        let errors = service
            .scrape()
            .await
            .value("db_client_operation_errors_total", &[])
            .unwrap_or(0.0);
        assert!(errors < 0.5, "{errors} statements failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_a_statement_holds_through_pgbouncer() {
    let database = Cluster::shared().create_database().await;
    let settings = [("CONVOKE_DATABASE_STATEMENT_TIMEOUT", "300ms")];
    let service = Service::start_pooled(&database, &settings).await;
    let user = Client::register(&service, "user").await;
    let mut direct = PgConnection::connect(&database).await.unwrap();
    let mut lock = direct.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let (read, write) = tokio::join!(
        user.get("/events/"),
        user.post("/events/", crate::support::client::event_body(json!({})))
    );
    assert_eq!((read.status, write.status), (503, 503));
    lock.rollback().await.unwrap();
    eventually("it is served again", Duration::from_secs(30), || async {
        (user.get("/events/").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_take_the_direct_way() {
    let database = Cluster::shared().create_database().await;
    let pooler = crate::support::pgbouncer::PgBouncer::before(&database).await;
    let url = pooler.url();
    let with = |more: &[(&'static str, &str)]| {
        let mut all = vec![
            ("CONVOKE_DATABASE_URL", url.as_str()),
            ("CONVOKE_DATABASE_PGBOUNCER", "true"),
        ];
        all.extend(more);
        commands::settings(&all)
    };
    for (more, wanted) in [
        (&[][..], "database.direct_url"),
        (
            &[("CONVOKE_MIGRATE_ON_START", "false")],
            "CONVOKE_DATABASE_DIRECT_URL",
        ),
    ] {
        let refused = commands::run(&["migrate"], &with(more));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(wanted), "{said}");
    }
    let direct = ("CONVOKE_DATABASE_DIRECT_URL", database.as_str());
    let done = commands::run(&["migrate"], &with(&[direct]));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success() && said.contains("now at version"),
        "{said}"
    );
}
