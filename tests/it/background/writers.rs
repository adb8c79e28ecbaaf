//! An organizer who makes events and invites a guest to each, under a service that is about to be stopped.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Client, event_body, id};
use crate::support::history::{count, history};
use crate::support::load::Outcome;
use crate::support::polling::eventually;

/// One event and one invitation: what came back of each.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) event: Outcome,
    /// Not sent unless the event was acknowledged.
    pub(crate) invitation: Option<Outcome>,
}

impl Written {
    /// The event, when its creation was acknowledged.
    pub(crate) fn acknowledged_event(&self) -> Option<&Value> {
        Some(&self.event.acknowledged()?.body)
    }

    /// The event, when the invitation to it was acknowledged.
    pub(crate) fn acknowledged_invitation(&self) -> Option<&Value> {
        self.invitation.as_ref()?.acknowledged()?;
        self.acknowledged_event()
    }

    pub(crate) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        [Some(&self.event), self.invitation.as_ref()]
            .into_iter()
            .flatten()
    }
}

/// Makes one event and invites the guest.
pub(crate) async fn write(organizer: Client, guest_id: String, number: usize) -> Written {
    let body = event_body(json!({"title": format!("Event {number}")}));
    let event = Outcome::of(organizer.send(Method::POST, "/events/", Some(&body)).await);
    let invitation = match event.acknowledged() {
        None => None,
        Some(answer) => {
            let path = format!("/events/{}/participants/", id(&answer.body));
            let body = json!({"user_id": guest_id});
            Some(Outcome::of(
                organizer.send(Method::POST, &path, Some(&body)).await,
            ))
        }
    };
    Written { event, invitation }
}

/// What was acknowledged is there, with its entries in the change log.
pub(crate) async fn nothing_acknowledged_is_lost(
    organizer: &Client,
    guest: &Client,
    all: &[Written],
) {
    for written in all {
        let Some(event) = written.acknowledged_event() else {
            continue;
        };
        let path = format!("/events/{}", id(event));
        assert_eq!(
            organizer.get(&path).await.expect(200).body["title"],
            event["title"]
        );
        let entries = history(organizer, event).await;
        assert_eq!(count(&entries, "event.created"), 1, "{entries:#?}");
        if written.acknowledged_invitation().is_some() {
            organizer
                .get(&format!("{path}/participants/{}", guest.id))
                .await
                .expect(200);
            assert_eq!(count(&entries, "participant.invited"), 1, "{entries:#?}");
        }
    }
}

/// Each event that exists, acknowledged or not, is whole: it has its entry in the change log, and so has the
/// guest's place at it.
pub(crate) async fn nothing_is_half_done(organizer: &Client, guest: &Client) -> usize {
    let events = organizer.all("/events/").await;
    let mut invited = 0;
    for event in &events {
        let entries = history(organizer, event).await;
        assert_eq!(count(&entries, "event.created"), 1, "{entries:#?}");
        let participants = organizer
            .all(&format!("/events/{}/participants/", id(event)))
            .await;
        let there = participants
            .iter()
            .filter(|p| p["user_id"] == guest.id.as_str())
            .count();
        assert_eq!(
            count(&entries, "participant.invited"),
            there,
            "{entries:#?}"
        );
        invited += there;
    }
    invited
}

/// The guest hears of every invitation once, in the end.
pub(crate) async fn every_invitation_is_delivered_once(guest: &Client, invited: usize) {
    let told = eventually(
        "every invitation is delivered",
        Duration::from_mins(2),
        || async {
            let mut inbox = guest.inbox().await;
            inbox.retain(|entry| entry["kind"] == "participant.invited");
            (inbox.len() >= invited).then_some(inbox)
        },
    )
    .await;
    assert_eq!(told.len(), invited, "each invitation is told once");
    let mut events: Vec<&str> = told
        .iter()
        .filter_map(|entry| entry["event_id"].as_str())
        .collect();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), invited, "of each event once");
}
