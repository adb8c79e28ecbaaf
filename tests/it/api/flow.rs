//! The way through the product that everybody takes.

use serde_json::json;

use crate::support::client::{Client, event_body, id};
use crate::support::service::Service;

on_both_engines! {
    async fn an_answer_to_an_invitation_reaches_the_organizer_exactly_once(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let guest = Client::register(&service, "guest").await;

        let event = organizer.create_event(json!({"title": "Lighthouse tour", "capacity": 10})).await;
        assert_eq!(event["organizer_id"], organizer.id.as_str());
        assert_eq!(event["start_utc"], "2031-03-04T17:00:00Z");

        organizer.invite(&event, &guest).await;
        guest.is_told(1, "participant.invited", &event).await;

        let participant = guest.answer(&event, "accepted").await.expect(200).body;
        assert_eq!(participant["status"], "accepted");
        assert_eq!(participant["admission"], "confirmed");
        assert_eq!(participant["user_id"], guest.id.as_str());

        organizer.is_told(1, "participant.status_changed", &event).await;
        let event = organizer.get(&format!("/events/{}", id(&event))).await.expect(200).body;
        assert_eq!(event["seats_taken"], 1);

        // What the guest is told last comes after everything the answer set off; by then a second copy
        // for the organizer would be there.
        organizer.post(&format!("/events/{}/cancel", id(&event)), json!({})).await.expect(200);
        guest.is_told(1, "event.cancelled", &event).await;
        assert_eq!(organizer.told("participant.status_changed", &event).await.len(), 1);
    }

    async fn an_event_is_made_found_changed_and_deleted(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let event = organizer.create_event(json!({})).await;
        let path = format!("/events/{}", id(&event));

        let found = organizer.get(&path).await.expect(200);
        assert_eq!(found.body, event);
        let tag = found.header("etag").expect("an ETag").to_owned();

        let stale = organizer.request(reqwest::Method::PATCH, &path).header("if-match", &tag);
        let change = json!({"title": "Pier walk"});
        let changed = organizer.patch(&path, change.clone()).await.expect(200);
        assert_eq!(changed.body["title"], "Pier walk");
        let refused = crate::support::answer::Answer::of(stale.json(&change)).await.unwrap();
        assert_eq!(refused.expect(412).body["status"], 412);

        let whole = event_body(json!({"title": "Dune walk", "tags": ["outdoors"]}));
        let replaced = organizer.put(&path, whole).await.expect(200).body;
        assert_eq!(replaced["title"], "Dune walk");
        assert!(replaced["version"].as_u64() > changed.body["version"].as_u64());

        organizer.delete(&path).await.expect(204);
        organizer.get(&path).await.expect(404);
    }

    async fn a_private_event_does_not_exist_for_strangers(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let stranger = Client::register(&service, "stranger").await;
        let event = organizer.create_event(json!({})).await;
        let path = format!("/events/{}", id(&event));

        stranger.get(&path).await.expect(404);
        stranger.answer(&event, "accepted").await.expect(404);
        organizer.anonymous().get(&path).await.expect(401);
        assert!(stranger.all("/events/").await.is_empty());
    }

    async fn many_are_invited_at_once_and_each_is_told_once(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let guests = Client::register_many(&service, "guest", 40).await;
        let event = organizer.create_event(json!({})).await;
        organizer.invite_many(&event, &guests).await;
        for guest in &guests {
            guest.is_told(1, "participant.invited", &event).await;
        }
        assert!(organizer.inbox().await.is_empty(), "who acts is not told of it");
    }
}
