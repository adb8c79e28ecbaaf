//! A service that starts on a copy answers as the one before it, and goes on with what that one left undone.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::copy::{Link, copy, empty_postgres, file_in};
use crate::support::answer::Answer;
use crate::support::client::{Client, event_body, id};
use crate::support::polling::eventually;
use crate::support::service::Service;

/// What a client sees of an answer.
fn seen(answer: &Answer) -> (u16, Value, Vec<Option<String>>) {
    let header = |name: &&str| {
        answer
            .headers
            .get(*name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    // A problem also says which request it was.
    let body = if answer.status < 400 {
        answer.body.clone()
    } else {
        answer.body["code"].clone()
    };
    (
        answer.status,
        body,
        ["etag", "last-modified", "link"]
            .iter()
            .map(header)
            .collect(),
    )
}

async fn create(organizer: &Client, title: &str) -> Answer {
    let body = event_body(json!({
        "title": title, "visibility": "public", "tags": ["grün", title], "capacity": 3,
        "metadata": {"z": [1, 2.5, null], "a": {"é": "😀"}},
    }));
    let request = organizer
        .request(Method::POST, "/events/")
        .header("idempotency-key", title);
    Answer::of(request.json(&body)).await.unwrap()
}

on_both_engines! {
    async fn a_copy_is_served_as_its_source_was(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let (from, target) = match engine {
            Engine::Postgres => (Engine::Sqlite, empty_postgres().await),
            Engine::Sqlite => (Engine::Postgres, file_in(&folder, "copy.db")),
        };
        let mut before = Service::start(from, &[]).await;
        let mut organizer = Client::register(&before, "organizer").await;
        let guest = Client::register(&before, "guest").await;
        let mut events = Vec::new();
        for title in ["one", "two", "three", "four", "five"] {
            events.push(create(&organizer, title).await.expect(201).body);
            organizer.invite(events.last().unwrap(), &guest).await;
        }
        let path = |n: usize| format!("/events/{}", id(&events[n]));
        guest.answer(&events[0], "accepted").await.expect(200);
        organizer.patch(&path(0), json!({"location": "Pier 1"})).await.expect(200);
        organizer.post(&format!("{}/cancel", path(1)), json!({})).await.expect(200);
        organizer.delete(&path(2)).await.expect(204);
        for (kind, n) in [("event.updated", 0), ("event.cancelled", 1), ("event.deleted", 2)] {
            guest.is_told(1, kind, &events[n]).await;
        }
        organizer.is_told(1, "participant.status_changed", &events[0]).await;

        let mut paths: Vec<String> = ["/users/me", "/events/?limit=2", "/events/?q=fou", "/events/?tag=gr%C3%BCn&sort=-start", "/notifications/?limit=2"]
            .map(str::to_owned).to_vec();
        paths.extend((0..5).map(path));
        paths.push(format!("{}/participants/", path(0)));
        paths.push(format!("{}/history?limit=2", path(0)));
        // And the pages after the first, by the cursors that the source gave.
        for n in 0..paths.len() {
            let answer = organizer.get(&paths[n]).await;
            if let Some(cursor) = answer.body["next_cursor"].as_str() {
                paths.push(format!("{}&cursor={cursor}", paths[n]));
            }
        }
        assert!(paths.len() > 13, "{paths:?}");

        before.terminate();
        assert!(before.wait().success());
        let settings = before.settings().iter();
        let source = settings.clone().find(|(name, _)| name == "CONVOKE_DATABASE_URL").unwrap().1.clone();
        let mut link = Link::open(&source).await;
        // As if the service had ended just before it delivered this.
        link.run("DELETE FROM notifications WHERE kind = 'event.updated'").await;
        link.run(
            "UPDATE deliveries SET state = 'pending', finished_at = NULL \
             WHERE change_id = (SELECT id FROM changes WHERE kind = 'event.updated')",
        )
        .await;
        copy(&source, &target).unwrap();
        before.restart().await;
        let after = Service::start_on(&target, &[]).await;
        let organizer_there = organizer.at(&after);
        for path in &paths {
            let (here, there) = (organizer.get(path).await, organizer_there.get(path).await);
            if path.contains("/history") {
                // The page's end is another position in the log; the one that the source gave is among the paths.
                assert_eq!(here.body["items"], there.body["items"], "{path}");
            } else {
                assert_eq!(seen(&here), seen(&there), "{path}");
            }
        }
        let guest_there = guest.at(&after);
        guest_there.is_told(1, "event.updated", &events[0]).await;
        guest_there.is_told(1, "participant.invited", &events[0]).await;

        let again = create(&organizer_there, "one").await;
        assert_eq!((again.status, &again.body), (201, &events[0]), "its key was used before");
        organizer_there.patch(&path(0), json!({"location": "Pier 2"})).await.expect(200);
        guest_there.is_told(2, "event.updated", &events[0]).await;
        let history = organizer_there.all(&format!("{}/history", path(0))).await;
        assert_eq!(history.last().unwrap()["kind"], "event.updated");
        assert_eq!(history.len(), 6, "{history:#?}");
        let body = json!({"refresh_token": organizer.refresh_token});
        organizer.token.clear();
        organizer.at(&after).post("/auth/refresh", body).await.expect(200);
        eventually("nothing is left", Duration::from_mins(1), || async {
            let mut link = Link::open(&target).await;
            link.texts("SELECT state FROM deliveries WHERE state = 'pending'").await.is_empty().then_some(())
        })
        .await;
    }
}
