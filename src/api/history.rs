//! `/events/{event_id}/history`: who changed what, when.

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    extract::{Caller, Id, Params},
    listing::{PageBody, page_of_event},
    reply::Answered,
};
use crate::domain::change::{Change, ChangeKind, Position};

/// One entry of the change log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Change)]
pub(crate) struct ChangeBody {
    /// UUIDv7; the same in every notification of it.
    id: Uuid,
    /// What happened.
    kind: ChangeKind,
    /// To which event.
    event_id: Uuid,
    /// To which participant, if it is about one.
    #[schema(required = true)]
    user_id: Option<Uuid>,
    /// The event's version after it, or the participant's if it is about one.
    version: i64,
    /// Who did it; null when it follows from another change.
    #[schema(required = true)]
    actor_id: Option<Uuid>,
    /// What changed.
    #[schema(value_type = Object)]
    data: Value,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
}

impl From<Change> for ChangeBody {
    fn from(change: Change) -> Self {
        Self {
            id: change.id,
            kind: change.kind,
            event_id: change.event_id,
            user_id: change.user_id,
            version: change.version,
            actor_id: change.actor_id,
            data: change.data,
            created_at: change.created_at,
        }
    }
}

/// Read an event's history
///
/// Oldest first.
#[utoipa::path(get, path = "/api/v1/events/{event_id}/history", tag = "events", operation_id = "getHistory",
    responses((status = 200, description = "A page of changes", body = PageBody<ChangeBody>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Id(event_id): Id,
    mut params: Params,
) -> Answered {
    let (pager, page) = page_of_event::<(i64, i64)>(&api, caller, event_id, &mut params).await?;
    let page = crate::domain::page::PageRequest {
        limit: page.limit,
        after: page.after.map(|(transaction, sequence)| Position {
            transaction,
            sequence,
        }),
    };
    let found = api.store.event_history(event_id, &page).await?;
    let found = crate::domain::page::Page {
        items: found.items,
        next: found
            .next
            .map(|position| (position.transaction, position.sequence)),
    };
    Ok(pager.reply(&params, found, ChangeBody::from))
}
