//! Seats under a rush: never oversold, never left empty, and handed on in the order of waiting.

use std::collections::HashMap;
use std::env;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, for_each, id};
use crate::support::history::{count, history, replay_admissions};
use crate::support::polling::eventually;
use crate::support::service::Service;

const USERS: usize = 300;
const CAPACITY: usize = 100;

/// Few where every change is tested: `ROUNDS` asks for more.
fn rounds() -> usize {
    env::var("ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(6)
}

on_both_engines! {
    async fn three_hundred_rush_for_a_hundred_seats_and_half_change_their_minds(engine: Engine) {
        // All of them are in flight at once; how long each may take is another test's business.
        let settings = [("CONVOKE_REQUEST_TIMEOUT", "5m"), ("CONVOKE_DATABASE_ACQUIRE_TIMEOUT", "60s"), ("CONVOKE_LOG", "warn,convoke=info")];
        let service = Service::start(engine, &settings).await;
        let organizer = Client::register(&service, "organizer").await;
        let users = Client::register_many(&service, "user", USERS).await;
        let mut changes_by_user: HashMap<String, usize> = HashMap::new();
        let mut answers = 0;

        for round in 0..rounds() {
            let title = format!("Round {round}");
            let body = json!({"title": title, "capacity": CAPACITY, "visibility": "public"});
            let event = organizer.create_event(body).await;
            rush(&users, &event).await;

            seats_add_up(&organizer, &event).await;
            let entries = history(&organizer, &event).await;
            let changes = replay_admissions(&entries, CAPACITY);
            assert_eq!(changes.values().sum::<usize>(), count(&entries, "participant.admission_changed"));
            for (user, changes) in changes {
                *changes_by_user.entry(user).or_default() += changes;
            }
            answers += count(&entries, "participant.status_changed");
        }
        everybody_is_told_once_of_each_change(&users, &changes_by_user).await;
        the_organizer_is_told_once_of_each_answer(&organizer, answers).await;
    }
}

/// Everybody accepts at the same moment; every second one then declines and accepts again. Meanwhile the
/// number of seats taken is watched.
async fn rush(users: &[Client], event: &Value) {
    let path = format!("/events/{}", id(event));
    let everybody = for_each(users, USERS, |n, user| {
        let event = event.clone();
        async move {
            user.answer(&event, "accepted").await.expect(200);
            if n % 2 == 0 {
                user.answer(&event, "declined").await.expect(200);
                user.answer(&event, "accepted").await.expect(200);
            }
            Ok::<(), ()>(())
        }
    });
    tokio::pin!(everybody);
    loop {
        tokio::select! {
            _ = &mut everybody => break,
            seen = users[0].get(&path) => {
                let taken = seen.expect(200).body["seats_taken"].as_u64();
                assert!(taken.is_some_and(|taken| taken <= CAPACITY as u64), "{taken:?} seats taken");
            }
        }
    }
}

/// All accepted in the end, so every seat is taken and everybody else waits.
async fn seats_add_up(organizer: &Client, event: &Value) {
    let participants = organizer
        .all(&format!("/events/{}/participants/", id(event)))
        .await;
    let admitted = |admission: &str| {
        participants
            .iter()
            .filter(|p| p["admission"] == admission)
            .count()
    };
    assert_eq!(admitted("confirmed"), CAPACITY);
    assert_eq!(admitted("waitlisted"), USERS - CAPACITY);
    let event = organizer
        .get(&format!("/events/{}", id(event)))
        .await
        .expect(200)
        .body;
    assert_eq!(event["seats_taken"], CAPACITY);
}

async fn everybody_is_told_once_of_each_change(users: &[Client], changes: &HashMap<String, usize>) {
    let told = for_each(users, 8, |_, user| {
        let expected = changes.get(&user.id).copied().unwrap_or(0);
        async move {
            let what = format!("{expected} admission changes reach {}", user.email);
            let inbox = eventually(&what, Duration::from_mins(2), || async {
                let mut inbox = user.inbox().await;
                inbox.retain(|entry| entry["kind"] == "participant.admission_changed");
                (inbox.len() >= expected).then_some(inbox)
            })
            .await;
            if inbox.len() == expected {
                Ok(())
            } else {
                Err(format!("{what}, not {}", inbox.len()))
            }
        }
    });
    assert_eq!(told.await, Ok(()));
}

async fn the_organizer_is_told_once_of_each_answer(organizer: &Client, answers: usize) {
    let told = eventually("the organizer is told", Duration::from_mins(2), || async {
        let mut inbox = organizer.inbox().await;
        inbox.retain(|entry| entry["kind"] == "participant.status_changed");
        (inbox.len() >= answers).then_some(inbox.len())
    });
    assert_eq!(told.await, answers);
}
