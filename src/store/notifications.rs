//! Inboxes.

use serde_json::Value;
use sqlx::{FromRow, query, query_as, types::Json};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Sql, statement, transaction},
    error::Error,
    idempotency::Receipt,
    replica::listing,
};
use crate::domain::{
    change::ChangeKind,
    page::{Page, PageRequest},
};

/// One entry of an inbox.
#[derive(Clone, Debug)]
pub struct Notification {
    /// UUIDv7; stable.
    pub id: Uuid,
    /// What happened.
    pub kind: ChangeKind,
    /// To which event.
    pub event_id: Uuid,
    /// What is told of it.
    pub data: Value,
    /// When its owner read it.
    pub read_at: Option<jiff::Timestamp>,
    /// When it arrived.
    pub created_at: jiff::Timestamp,
}

#[derive(FromRow)]
struct NotificationRow {
    id: Uuid,
    kind: ChangeKind,
    event_id: Uuid,
    data: Json<Value>,
    read_at: Option<Timestamp>,
    created_at: Timestamp,
}

impl From<NotificationRow> for Notification {
    fn from(row: NotificationRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            event_id: row.event_id,
            data: row.data.0,
            read_at: row.read_at.map(|at| at.0),
            created_at: row.created_at.0,
        }
    }
}

impl Store {
    /// A person's inbox, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notifications(
        &self,
        recipient: Uuid,
        unread: Option<bool>,
        page: &PageRequest<Uuid>,
    ) -> Result<Page<Notification, Uuid>, Error> {
        const ALL: Sql = Sql::same(
            "SELECT id, kind, event_id, data, read_at, created_at FROM notifications \
             WHERE recipient_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        );
        const UNREAD: Sql = Sql::same(
            "SELECT id, kind, event_id, data, read_at, created_at FROM notifications \
             WHERE recipient_id = $1 AND id < $2 AND read_at IS NULL ORDER BY id DESC LIMIT $3",
        );
        const READ: Sql = Sql::same(
            "SELECT id, kind, event_id, data, read_at, created_at FROM notifications \
             WHERE recipient_id = $1 AND id < $2 AND read_at IS NOT NULL ORDER BY id DESC LIMIT $3",
        );
        let (name, sql) = match unread {
            None => ("notifications.list", ALL),
            Some(true) => ("notifications.list_unread", UNREAD),
            Some(false) => ("notifications.list_read", READ),
        };
        let rows = listing!(self, |session| {
            statement!(session, name, sql, |sql, link| {
                query_as::<_, NotificationRow>(sql)
                    .bind(recipient)
                    .bind(page.after.unwrap_or(Uuid::max()))
                    .bind(page.limit + 1)
                    .fetch_all(link)
            })
        })?;
        let items = rows.into_iter().map(Notification::from).collect();
        Ok(Page::from_items(
            items,
            page.limit,
            |notification: &Notification| notification.id,
        ))
    }

    /// Marks a notification as read; the first time counts.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the recipient has no such notification.
    pub async fn read_notification(
        &self,
        recipient: Uuid,
        id: Uuid,
        receipt: &Receipt<'_, ()>,
    ) -> Result<(), Error> {
        const SQL: Sql = Sql::same(
            "UPDATE notifications SET read_at = COALESCE(read_at, $3) WHERE id = $1 AND recipient_id = $2",
        );
        transaction!(self, "notifications.read", |tx| {
            let now = Timestamp(self.clock().now());
            let found = statement!(tx, "notifications.mark_read", SQL, |sql, link| {
                query(sql).bind(id).bind(recipient).bind(now).execute(link)
            })?;
            if found == 0 {
                return Err(Error::NotFound);
            }
            receipt.keep(tx, &()).await
        })
    }

    /// Marks everything in an inbox as read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read_all_notifications(
        &self,
        recipient: Uuid,
        receipt: &Receipt<'_, ()>,
    ) -> Result<(), Error> {
        const SQL: Sql = Sql::same(
            "UPDATE notifications SET read_at = $2 WHERE recipient_id = $1 AND read_at IS NULL",
        );
        transaction!(self, "notifications.read_all", |tx| {
            let now = Timestamp(self.clock().now());
            statement!(tx, "notifications.mark_all_read", SQL, |sql, link| {
                query(sql).bind(recipient).bind(now).execute(link)
            })?;
            receipt.keep(tx, &()).await
        })
    }
}
