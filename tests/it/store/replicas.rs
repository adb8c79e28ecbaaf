//! Replicas that share nothing but PostgreSQL behave as one.

use serde_json::json;

use crate::support::client::{Client, for_each, id};
use crate::support::engines::Engine;
use crate::support::history::{history, replay_admissions};
use crate::support::service::Service;

const USERS: usize = 90;
const CAPACITY: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_never_oversell_and_tell_everybody_once() {
    let settings = [("CONVOKE_REQUEST_TIMEOUT", "60s")];
    let first = Service::start(Engine::Postgres, &settings).await;
    let replicas = [first.start_replica().await, first.start_replica().await];
    let organizer = Client::register(&first, "organizer").await;
    let users = Client::register_many(&first, "user", USERS).await;
    let body = json!({"capacity": CAPACITY, "visibility": "public"});
    let event = organizer.create_event(body).await;

    let rush = for_each(&users, USERS, |n, user| {
        let user = match n % 3 {
            0 => user,
            1 => user.at(&replicas[0]),
            _ => user.at(&replicas[1]),
        };
        let event = event.clone();
        async move {
            for status in ["accepted", "declined", "accepted"] {
                user.answer(&event, status).await.expect(200);
            }
            Ok::<(), ()>(())
        }
    });
    assert_eq!(rush.await, Ok(()));

    let path = format!("/events/{}", id(&event));
    for replica in &replicas {
        let seen = organizer.at(replica).get(&path).await.expect(200);
        assert_eq!(seen.body["seats_taken"], CAPACITY);
    }
    let changes = replay_admissions(&history(&organizer, &event).await, CAPACITY);
    for user in &users {
        let changes = changes.get(&user.id).copied().unwrap_or(0);
        user.is_told(changes, "participant.admission_changed", &event)
            .await;
    }
    organizer
        .is_told(3 * USERS, "participant.status_changed", &event)
        .await;
}
