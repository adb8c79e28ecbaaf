//! Lists from a real streaming replica are never older than what was acknowledged, and never fail for its sake.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::support::answer::Answer;
use crate::support::client::{Client, id};
use crate::support::commands;
use crate::support::load::Load;
use crate::support::polling::eventually;
use crate::support::postgres::Cluster;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_mins(1);

/// A primary, its replica, and two replicas of the service that know both.
struct Fixture {
    first: Service,
    second: Service,
    replica: Cluster,
    name: String,
    _primary: Cluster,
}

impl Fixture {
    async fn start() -> Self {
        let primary = Cluster::start("");
        let url = primary.create_database().await;
        let replica = primary.start_replica();
        let name = url.rsplit('/').next().unwrap().to_owned();
        let read = replica.url(&name);
        let settings = [("CONVOKE_DATABASE_READ_URL", read.as_str())];
        let first = Service::start_on(&url, &settings).await;
        let second = first.start_replica().await;
        for service in [&first, &second] {
            is_up(service, true).await;
        }
        Self {
            first,
            second,
            replica,
            name,
            _primary: primary,
        }
    }

    /// Runs a statement on the replica.
    async fn on_replica(&self, sql: &'static str) -> sqlx::postgres::PgRow {
        let mut link = PgConnection::connect(&self.replica.url(&self.name))
            .await
            .unwrap();
        sqlx::query(sql).fetch_one(&mut link).await.unwrap()
    }
}

async fn is_up(service: &Service, up: bool) {
    eventually("the replica is seen", LIMIT, || async {
        let seen = service.scrape().await.value("db_replica_up", &[])?;
        ((seen > 0.5) == up).then_some(())
    })
    .await;
}

async fn reads(service: &Service, target: &str) -> f64 {
    let labels = [("target", target)];
    let value = service.scrape().await.value("db_list_reads_total", &labels);
    value.expect("primed")
}

async fn fallbacks(service: &Service, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    let value = service
        .scrape()
        .await
        .value("db_replica_fallbacks_total", &labels);
    value.expect("primed")
}

/// Writes through one replica of the service, and lists through the other at once: each write must be there.
async fn every_write_is_listed(writer: &Client, reader: &Client, count: usize, known: &mut usize) {
    for _ in 0..count {
        let event = writer.create_event(json!({})).await;
        *known += 1;
        let listed = reader.all("/events/?sort=created").await;
        assert!(listed.iter().any(|one| id(one) == id(&event)));
        assert_eq!(listed.len(), *known);
        let path = format!("/events/{}/participants/", id(&event));
        reader.get(&path).await.expect(200);
        let history = reader.all(&format!("/events/{}/history", id(&event))).await;
        assert_eq!(history.len(), 1, "the history tells of its creation");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_through_one_replica_is_in_every_list_of_another_whatever_the_database_replica_does()
 {
    let fixture = Fixture::start().await;
    let writer = Client::register(&fixture.first, "writer").await;
    let reader = writer.at(&fixture.second);
    let mut known = 0;
    every_write_is_listed(&writer, &reader, 20, &mut known).await;
    eventually("the replica is read", LIMIT, || async {
        reader.get("/events/").await.expect(200);
        (reads(&fixture.second, "replica").await > 5.0).then_some(())
    })
    .await;

    // It stands still: what is written from now on is not on it, and nobody must notice.
    fixture
        .on_replica("SELECT pg_wal_replay_pause()::text")
        .await;
    eventually("replay stands still", LIMIT, || async {
        let row = fixture
            .on_replica("SELECT pg_get_wal_replay_pause_state()")
            .await;
        (row.get::<String, _>(0) == "paused").then_some(())
    })
    .await;
    let behind = fallbacks(&fixture.second, "behind").await;
    every_write_is_listed(&writer, &reader, 5, &mut known).await;
    assert!(fallbacks(&fixture.second, "behind").await >= behind + 5.0);
    let there: i64 = fixture
        .on_replica("SELECT count(*) FROM events")
        .await
        .get(0);
    assert!(
        usize::try_from(there).unwrap() <= known - 5,
        "the replica does not have them: {there} of {known}"
    );
    eventually("the lag is told", LIMIT, || async {
        let lag = fixture.second.scrape().await;
        (lag.value("db_replica_lag_seconds", &[])? > 1.0).then_some(())
    })
    .await;

    fixture
        .on_replica("SELECT pg_wal_replay_resume()::text")
        .await;
    let before = reads(&fixture.second, "replica").await;
    eventually("the replica is read again", LIMIT, || async {
        reader.get("/events/").await.expect(200);
        (reads(&fixture.second, "replica").await > before).then_some(())
    })
    .await;
    every_write_is_listed(&writer, &reader, 5, &mut known).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_goes_comes_and_is_promoted_fails_no_list() {
    let fixture = Fixture::start().await;
    let user = Client::register(&fixture.first, "user").await;
    user.create_event(json!({})).await;
    let load: Load<Answer> = {
        let user = user.clone();
        Load::start(40, move |_| {
            let user = user.clone();
            async move { user.get("/events/?q=harbour").await }
        })
    };
    load.wait_for_more(40).await;
    fixture.replica.kill();
    is_up(&fixture.first, false).await;
    load.wait_for_more(40).await;
    fixture.replica.start_again();
    is_up(&fixture.first, true).await;
    let before = reads(&fixture.first, "replica").await;
    eventually("it is read again", LIMIT, || async {
        (reads(&fixture.first, "replica").await > before).then_some(())
    })
    .await;

    // Promoted it is a database of its own, of which nobody may read.
    let row = fixture.on_replica("SELECT pg_promote()").await;
    assert!(row.get::<bool, _>(0));
    is_up(&fixture.first, false).await;
    let event = user.create_event(json!({})).await;
    let listed = user.all("/events/").await;
    assert!(listed.iter().any(|one| id(one) == id(&event)));
    load.wait_for_more(40).await;

    for answer in load.stop().await {
        assert_eq!(answer.expect(200).items().len().min(1), 1);
    }
    assert!(fallbacks(&fixture.first, "down").await > 0.5);
    let said = commands::run(&["doctor"], fixture.first.settings());
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("it is no replica"), "{said}");
}
