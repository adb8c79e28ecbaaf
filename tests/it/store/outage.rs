//! PostgreSQL goes away and comes back; the service stays, says so, and recovers by itself.

use std::env;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::answer::Answer;
use crate::support::client::{Client, event_body};
use crate::support::load::{Load, Outcome};
use crate::support::polling::eventually;
use crate::support::postgres::Cluster;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_secs(30);

/// Time after which the outbox's gauges have been set anew, statements given up included.
const GAUGES: Duration = Duration::from_secs(10);

fn outage() -> Duration {
    Duration::from_secs(
        env::var("OUTAGE_SECONDS")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or(10),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_postgresql_is_answered_503_and_survived() {
    Box::pin(survives(Cluster::stop, outage())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_postgresql_is_answered_503_and_survived() {
    Box::pin(survives(Cluster::kill, Duration::from_secs(2))).await;
}

async fn survives(end: fn(&Cluster), outage: Duration) {
    let cluster = Cluster::start("");
    let database = cluster.create_database().await;
    let mut service = Service::start_on(&database, &[]).await;
    let organizer = Client::register(&service, "organizer").await;
    let guest = Client::register(&service, "guest").await;
    let event = organizer.create_event(json!({})).await;

    let client = organizer.clone();
    let load = Load::start(50, move |number| request(client.clone(), number));
    load.wait_for(50).await;
    end(&cluster);
    expect_probe(&service, "/readyz", 503).await;
    expect_probe(&service, "/livez", 200).await;
    // The length of the outage is what is tested; nothing is waited for.
    tokio::time::sleep(outage).await;
    expect_probe(&service, "/readyz", 503).await;
    expect_probe(&service, "/livez", 200).await;
    let meanwhile = service.scrape().await;
    for gauge in ["outbox_pending", "outbox_dead", "outbox_oldest_age_seconds"] {
        let value = meanwhile.value(gauge, &[]).expect("exposed");
        assert!(
            value.is_nan() || outage < GAUGES,
            "{gauge}: {value} of before"
        );
    }
    cluster.start_again();
    expect_probe(&service, "/readyz", 200).await;
    let outcomes = load.stop().await;

    let mut unavailable = 0;
    for outcome in &outcomes {
        match outcome {
            Outcome::Answered(answer) if answer.status == 503 => {
                unavailable += 1;
                assert!(!answer.problem().is_empty());
                let retry_after = answer
                    .header("retry-after")
                    .and_then(|s| s.parse::<u32>().ok());
                assert!(
                    retry_after.is_some(),
                    "503 without Retry-After: {answer:#?}"
                );
            }
            Outcome::Answered(answer) => {
                assert!((200..300).contains(&answer.status), "{answer:#?}");
            }
            Outcome::NotAccepted | Outcome::Broken(_) => panic!("no answer: {outcome:?}"),
        }
    }
    assert!(
        unavailable > 0,
        "none of {} requests saw the outage",
        outcomes.len()
    );

    // The same process, and all is well again, deliveries included.
    organizer.invite(&event, &guest).await;
    guest.is_told(1, "participant.invited", &event).await;
    let acknowledged = outcomes.iter().filter_map(Outcome::acknowledged);
    let made = acknowledged.filter(|answer| answer.status == 201).count();
    let there = organizer.all("/events/").await.len();
    // A commit may have been lost on its way to us: such an event is there and was not acknowledged.
    assert!(
        there > made,
        "{made} were acknowledged, and the first; {there} are there"
    );
    service.terminate();
    assert!(service.wait().success());
}

/// Every second request writes.
async fn request(client: Client, number: usize) -> Outcome {
    let body = event_body(json!({"title": format!("Event {number}")}));
    let sent: reqwest::Result<Answer> = if number.is_multiple_of(2) {
        client.send(Method::POST, "/events/", Some(&body)).await
    } else {
        client.send(Method::GET, "/events/", None).await
    };
    Outcome::of(sent)
}

async fn expect_probe(service: &Service, path: &str, status: u16) {
    let (http, url) = (service.http(), service.ops_url(path));
    eventually(&format!("{path} answers {status}"), LIMIT, || async {
        let answer = http.get(&url).send().await.ok()?;
        (answer.status() == status).then_some(())
    })
    .await;
}
