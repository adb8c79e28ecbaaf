//! Events: making, reading, changing, calling off, deleting.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use sqlx::query;
use uuid::Uuid;

use super::{
    Store,
    changes::{self, NewChange},
    columns::Timestamp,
    engine::{Session, Sql, statement, transaction},
    error::{Error, Refusal},
    event_row,
    idempotency::Receipt,
    seating::{self, Seated},
    writer::{Job, Reply},
    writes::Writes,
};
use crate::domain::{
    actor::Actor,
    change::{Audience, ChangeKind},
    event::{Event, EventContent, EventStatus, Visibility, when_json},
    new_id,
    version::Expected,
    when::When,
};

/// What every notification says of its event.
pub(super) fn summary(event: &Event) -> Map<String, Value> {
    about(&event.content.title, &event.content.period.start)
}

/// The same of an event with this title and beginning.
pub(super) fn about(title: &str, start: &When) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("title".into(), json!(title));
    data.insert("start".into(), when_json(start));
    data
}

/// Whether the caller may see the event; a participant is looked up only when nothing else decides.
async fn is_visible(session: &mut Session, actor: Actor, event: &Event) -> Result<bool, Error> {
    const SQL: Sql = Sql::same(
        "SELECT CAST(1 AS BIGINT) FROM participants WHERE event_id = $1 AND user_id = $2",
    );
    if actor.is_admin()
        || event.organizer_id == actor.user_id
        || event.content.visibility == Visibility::Public
    {
        return Ok(true);
    }
    let found = statement!(session, "participants.exists", SQL, |sql, link| {
        sqlx::query_scalar::<_, i64>(sql)
            .bind(event.id)
            .bind(actor.user_id)
            .fetch_optional(link)
    })?;
    Ok(found.is_some())
}

/// Locks an event that the caller may see.
pub(super) async fn lock_visible(
    session: &mut Session,
    actor: Actor,
    id: Uuid,
) -> Result<Event, Error> {
    let event = event_row::lock(session, id).await?;
    if is_visible(session, actor, &event).await? {
        Ok(event)
    } else {
        Err(Error::NotFound)
    }
}

/// Locks an event that the caller may write.
pub(super) async fn lock_own(
    session: &mut Session,
    actor: Actor,
    id: Uuid,
) -> Result<Event, Error> {
    let event = lock_visible(session, actor, id).await?;
    if may_write(actor, &event) {
        Ok(event)
    } else {
        Err(Error::Forbidden)
    }
}

pub(super) fn may_write(actor: Actor, event: &Event) -> bool {
    actor.is_admin() || event.organizer_id == actor.user_id
}

fn check(expected: &Expected, event: &Event) -> Result<(), Error> {
    if expected.allows(&event.tag()) {
        Ok(())
    } else {
        Err(Error::Stale)
    }
}

impl Store {
    /// Makes an event.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_event(
        &self,
        actor: Actor,
        content: &EventContent,
        receipt: &Receipt<'_, Event>,
    ) -> Result<Event, Error> {
        let now = self.clock().now();
        let id = new_id();
        let event = Arc::new(Event {
            id,
            uid: format!("{id}@convoke"),
            organizer_id: actor.user_id,
            content: content.clone(),
            seats_taken: 0,
            next_place: 1,
            version: 1,
            created_at: now,
            updated_at: now,
        });
        let write = || {
            let (about, nobody) = (summary(&event), Audience::Nobody);
            let mut writes = Writes::new();
            writes.event(Arc::clone(&event));
            let kind = ChangeKind::EventCreated;
            writes.change(event_change(kind, &event, actor, about, nobody));
            receipt.add_to(&mut writes, &event);
            writes
        };
        let job = || Job::Write(write());
        if matches!(self.together("events.create", job).await?, Reply::Alone) {
            let writes = write();
            if self.writes_alone() && writes.may_be_repeated() {
                self.write_alone("events.create", writes).await?;
            } else {
                transaction!(self, "events.create", |tx| {
                    write().write_as(tx, "events.create").await
                })?;
            }
        }
        Ok(Arc::unwrap_or_clone(event))
    }

    /// Changes an event: `change` is given what is stored and returns what is wanted.
    ///
    /// # Errors
    /// What `change` returns, and [`Error::Stale`], [`Error::Forbidden`], [`Error::NotFound`], [`Error::Refused`].
    pub async fn update_event(
        &self,
        actor: Actor,
        id: Uuid,
        expected: &Expected,
        change: impl Fn(&EventContent) -> Result<EventContent, Error>,
    ) -> Result<Event, Error> {
        let event = transaction!(self, "events.change", |tx| {
            let event = lock_own(tx, actor, id).await?;
            check(expected, &event)?;
            let content = change(&event.content)?;
            write_content(tx, actor, event, content, self.clock().now()).await
        })?;
        self.wake_outbox();
        Ok(event)
    }

    /// Calls an event off. Doing so twice changes nothing.
    ///
    /// # Errors
    /// As [`Self::update_event`].
    pub async fn cancel_event(
        &self,
        actor: Actor,
        id: Uuid,
        expected: &Expected,
        receipt: &Receipt<'_, Event>,
    ) -> Result<Event, Error> {
        let event = transaction!(self, "events.cancel", |tx| {
            let event = lock_own(tx, actor, id).await?;
            check(expected, &event)?;
            let content = EventContent {
                status: EventStatus::Cancelled,
                ..event.content.clone()
            };
            let event = write_content(tx, actor, event, content, self.clock().now()).await?;
            receipt.keep(tx, &event).await?;
            Ok(event)
        })?;
        self.wake_outbox();
        Ok(event)
    }

    /// Deletes an event: leaves a tombstone and tells the participants.
    ///
    /// # Errors
    /// As [`Self::update_event`].
    pub async fn delete_event(
        &self,
        actor: Actor,
        id: Uuid,
        expected: &Expected,
    ) -> Result<(), Error> {
        const SQL: Sql = Sql::same(
            "UPDATE events SET deleted_at = $2, updated_at = $2, version = $3, search_words = '' WHERE id = $1",
        );
        transaction!(self, "events.delete", |tx| {
            let mut event = lock_own(tx, actor, id).await?;
            check(expected, &event)?;
            event.version += 1;
            event.updated_at = self.clock().now();
            let now = Timestamp(event.updated_at);
            statement!(tx, "events.tombstone", SQL, |sql, link| {
                query(sql)
                    .bind(event.id)
                    .bind(now)
                    .bind(event.version)
                    .execute(link)
            })?;
            let change = event_change(
                ChangeKind::EventDeleted,
                &event,
                actor,
                summary(&event),
                Audience::Participants,
            );
            changes::append(tx, change).await
        })?;
        self.wake_outbox();
        Ok(())
    }
}

fn event_change(
    kind: ChangeKind,
    event: &Event,
    actor: Actor,
    data: Map<String, Value>,
    audience: Audience,
) -> NewChange {
    NewChange {
        kind,
        event_id: event.id,
        user_id: None,
        version: event.version,
        actor_id: Some(actor.user_id),
        data: Value::Object(data),
        at: event.updated_at,
        audience,
    }
}

/// Writes new content, says what changed, and gives out seats that it made free.
async fn write_content(
    tx: &mut Session,
    actor: Actor,
    mut event: Event,
    content: EventContent,
    now: jiff::Timestamp,
) -> Result<Event, Error> {
    let differences = content.changes_since(&event.content);
    if differences.is_empty() {
        return Ok(event);
    }
    if content
        .capacity
        .is_some_and(|capacity| capacity < event.seats_taken)
    {
        return Err(Error::Refused(Refusal::CapacityBelowSeats));
    }
    let called_off = differences.contains_key("status") && content.status == EventStatus::Cancelled;
    let kind = if called_off {
        ChangeKind::EventCancelled
    } else {
        ChangeKind::EventUpdated
    };
    event.content = content;
    event.version += 1;
    event.updated_at = now;
    let mut data = summary(&event);
    let tags_changed = differences.contains_key("tags");
    let capacity_changed = differences.contains_key("capacity");
    data.insert("changes".into(), Value::Object(differences));
    let mut writes = Writes::new();
    let told = Audience::Participants;
    writes.change(event_change(kind, &event, actor, data, told));
    if capacity_changed {
        let mut seated = Seated::from(&event);
        seating::promote(tx, &mut seated, now, &mut writes).await?;
        event.seats_taken = seated.seats.taken;
    }
    writes.write_as(tx, "changes.append").await?;
    event_row::update(tx, &event).await?;
    if tags_changed {
        event_row::replace_tags(tx, &event).await?;
    }
    Ok(event)
}
