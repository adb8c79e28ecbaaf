//! What events look like as JSON, kept by their state.
//!
//! A list comes from the database as marks: which events, each in which state. What a state looks like never changes, so it is
//! written once and kept; nothing has to be forgotten but what has not been asked for. Who may see what is decided by the
//! statement that lists, each time.

use std::sync::Arc;

use moka::sync::Cache;
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
const BYTES_MAX: u64 = 16 << 20;
/// What an entry takes beside its body, about.
const OVERHEAD: usize = 200;
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

/// The bodies of those that were listed lately.
pub(super) struct Bodies {
    known: Cache<EventMark, Body>,
}

impl Bodies {
    pub(super) fn new() -> Self {
        instruments::prime_caches(&[NAME]);
        let weigh = |_: &EventMark, body: &Body| {
            u32::try_from(body.0.get().len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        Self {
            known: Cache::builder()
                .weigher(weigh)
                .max_capacity(BYTES_MAX)
                .build(),
        }
    }

    /// Sets the gauge.
    pub(super) fn observe(&self) {
        instruments::entries(NAME, self.known.entry_count());
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
