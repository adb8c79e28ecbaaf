//! What events look like as JSON, kept by their state.
//!
//! A list comes from the database as marks: which events, each in which state. What a state looks like never changes, so it is
//! written once and kept; nothing has to be forgotten but what has not been asked for. Who may see what is decided by the
//! statement that lists, each time.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::event_wire::EventBody;
use crate::{
    domain::{
        actor::Actor,
        event::{EventMark, EventView},
    },
    store::{self, Store},
    telemetry::instruments::cache as instruments,
};

/// Bytes of bodies that are kept.
const BYTES_MAX: usize = 24 << 20;
/// What an entry takes beside its body, about.
const OVERHEAD: usize = 200;
/// About what an entry takes with its body.
const USUAL: usize = 1500;
/// In metrics.
const NAME: &str = "event_bodies";

/// An event's body.
#[derive(Clone, Debug)]
pub(super) struct Body(Arc<RawValue>);

impl Body {
    pub(super) fn of(view: EventView) -> Result<Self, store::Error> {
        let body = to_raw_value(&EventBody::from(view));
        Ok(Self(
            body.map_err(|failure| store::Error::Corrupt(failure.to_string()))?
                .into(),
        ))
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<EventMark, Body> for Bytes {
    fn weight(&self, _: &EventMark, body: &Body) -> u64 {
        (body.0.get().len() + OVERHEAD) as u64
    }
}

/// The bodies of those that were listed lately.
pub(super) struct Bodies {
    known: Cache<EventMark, Body, Bytes>,
}

impl Bodies {
    pub(super) fn new() -> Self {
        instruments::prime_caches(&[NAME]);
        Self {
            known: Cache::with_weighter(BYTES_MAX / USUAL, BYTES_MAX as u64, Bytes),
        }
    }

    /// Sets the gauge.
    pub(super) fn observe(&self) {
        instruments::entries(NAME, self.known.len() as u64);
    }

    /// The bodies of marks that were just listed for this caller.
    ///
    /// What has changed since then is as it is now, or left out when the caller does not see it any more.
    pub(super) async fn of(
        &self,
        store: &Store,
        actor: Actor,
        marks: &[EventMark],
    ) -> Result<Vec<Body>, store::Error> {
        let mut bodies: Vec<Option<Body>> = marks.iter().map(|mark| self.known.get(mark)).collect();
        let unknown: Vec<(usize, Uuid)> = bodies
            .iter()
            .zip(marks)
            .enumerate()
            .filter(|(_, (body, _))| body.is_none())
            .map(|(place, (_, mark))| (place, mark.id))
            .collect();
        instruments::asked_for(NAME, "hit", marks.len() - unknown.len());
        instruments::asked_for(NAME, "miss", unknown.len());
        if !unknown.is_empty() {
            let ids: Vec<Uuid> = unknown.iter().map(|(_, id)| *id).collect();
            let views = store.event_views(actor, &ids).await?;
            for ((place, _), view) in unknown.into_iter().zip(views) {
                let Some(view) = view else { continue };
                let mark = view.mark();
                let body = Body::of(view)?;
                self.known.insert(mark, body.clone());
                bodies[place] = Some(body);
            }
        }
        Ok(bodies.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::event_wire::EventInput,
        domain::{
            clock::Clock,
            event::{EventContent, Visibility},
            page::PageRequest,
            user::Role,
            version::Expected,
        },
        store::{EventQuery, NewUser, Receipt, Sort},
    };

    async fn open(folder: &tempfile::TempDir) -> Store {
        let url = format!("sqlite://{}/convoke.db", folder.path().display());
        Store::for_tests(&url, Clock::system()).await
    }

    async fn user(store: &Store, name: &str) -> Actor {
        let new = NewUser {
            email: format!("{name}@example.org"),
            display_name: name.into(),
            time_zone: "UTC".into(),
            password_hash: String::new(),
            role: Role::User,
        };
        Actor {
            user_id: store.create_user(&new).await.unwrap().id,
            role: Role::User,
        }
    }

    async fn listed(store: &Store, actor: Actor) -> Vec<EventMark> {
        let query = EventQuery {
            from: None,
            to: None,
            status: None,
            organizer_id: None,
            participating: false,
            visibility: None,
            tag: None,
            text: None,
            sort: Sort::Start,
            descending: false,
        };
        let page = PageRequest {
            limit: 50,
            after: None,
        };
        store.events(actor, &query, &page).await.unwrap().items
    }

    fn texts(bodies: &[Body]) -> Vec<&str> {
        bodies.iter().map(|body| body.0.get()).collect()
    }

    #[tokio::test]
    async fn what_changed_since_it_was_listed_is_as_it_is_now_or_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        let (host, guest) = (user(&store, "host").await, user(&store, "guest").await);
        let input: EventInput = serde_json::from_value(serde_json::json!({
            "title": "First", "visibility": "public",
            "start": {"date": "2031-03-04"}, "end": {"date": "2031-03-05"}
        }))
        .unwrap();
        let content = input.read().unwrap();
        let receipt = Receipt::new(None, &|_| Vec::new());
        let event = store.create_event(host, &content, &receipt).await.unwrap();
        let change = async |change: fn(&mut EventContent)| {
            let changed = |content: &EventContent| {
                let mut content = content.clone();
                change(&mut content);
                Ok(content)
            };
            let anything = Expected::Anything;
            store
                .update_event(host, event.id, &anything, changed)
                .await
                .unwrap();
        };
        let bodies = Bodies::new();

        let first = listed(&store, guest).await;
        change(|content| content.title = "Second".into()).await;
        for _ in 0..2 {
            let shown = bodies.of(&store, guest, &first).await.unwrap();
            assert!(
                texts(&shown)[0].contains(r#""title":"Second""#),
                "{shown:?}"
            );
        }
        let second = listed(&store, guest).await;
        assert!(
            bodies.known.get(&second[0]).is_some(),
            "kept by the state that it shows"
        );
        assert!(bodies.known.get(&first[0]).is_none(), "and by no other");

        let third = listed(&store, guest).await;
        change(|content| content.visibility = Visibility::Private).await;
        assert!(listed(&store, guest).await.is_empty());
        bodies.known.clear();
        assert!(bodies.of(&store, guest, &third).await.unwrap().is_empty());
        assert_eq!(bodies.of(&store, host, &third).await.unwrap().len(), 1);
    }
}
