//! `/notifications/`: the caller's inbox.

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    extract::{Caller, Id, NoBody, NoParams, Params},
    layers::idempotency::Once,
    listing::{PageBody, Pager},
    reply::{Answered, Reply},
};
use crate::{
    domain::change::ChangeKind,
    store::{Notification, Receipt},
};

/// One entry of an inbox.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
pub(crate) struct NotificationBody {
    /// UUIDv7; stable.
    id: Uuid,
    /// What happened.
    kind: ChangeKind,
    /// To which event.
    event_id: Uuid,
    /// What is told of it.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
    /// When it was read; null while unread.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    read_at: Option<jiff::Timestamp>,
    /// When it arrived.
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
}

impl From<Notification> for NotificationBody {
    fn from(notification: Notification) -> Self {
        Self {
            id: notification.id,
            kind: notification.kind,
            event_id: notification.event_id,
            data: notification.data,
            read_at: notification.read_at,
            created_at: notification.created_at,
        }
    }
}

fn done<T>(_: &T) -> Reply {
    Reply::empty(StatusCode::NO_CONTENT)
}

/// Read the inbox
///
/// Newest first.
#[utoipa::path(get, path = "/api/v1/notifications/", tag = "notifications", operation_id = "listNotifications",
    responses((status = 200, description = "A page of notifications", body = PageBody<NotificationBody>)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller, mut params: Params) -> Answered {
    let unread = params.parse("unread", "true or false", |text| text.parse::<bool>().ok());
    let (pager, page) = Pager::read::<Uuid>(
        &mut params,
        caller.actor.user_id,
        api.store.clock(),
        api.limits.cursor_ttl,
    )?;
    params.check(&["limit", "cursor", "unread"])?;
    let found = api
        .store
        .notifications(caller.actor.user_id, unread, &page)
        .await?;
    Ok(pager.reply(&params, found, NotificationBody::from))
}

/// Mark a notification as read
#[utoipa::path(post, path = "/api/v1/notifications/{notification_id}/read", tag = "notifications", operation_id = "readNotification",
    responses((status = 204, description = "It is read")))]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: NoParams,
    once: Once,
    _: NoBody,
) -> Answered<axum::response::Response> {
    let render = api.keeping(done::<()>);
    api.store
        .read_notification(caller.actor.user_id, id, &Receipt::new(once.0, &render))
        .await?;
    Ok(done(&()).kept())
}

/// Mark everything as read
#[utoipa::path(post, path = "/api/v1/notifications/read-all", tag = "notifications", operation_id = "readAllNotifications",
    responses((status = 204, description = "Everything is read")))]
pub(super) async fn read_all(
    State(api): State<Api>,
    caller: Caller,
    _: NoParams,
    once: Once,
    _: NoBody,
) -> Answered<axum::response::Response> {
    let render = api.keeping(done::<()>);
    api.store
        .read_all_notifications(caller.actor.user_id, &Receipt::new(once.0, &render))
        .await?;
    Ok(done(&()).kept())
}
