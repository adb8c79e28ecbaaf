//! Inboxes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{FromRow, Row as _, postgres::PgRow, query, query_as, types::Json};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Sql, statement, transaction},
    error::Error,
    idempotency::Receipt,
    one_value::{self, Given, corrupt, instant},
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
    /// What is told of it, as JSON.
    pub data: Box<RawValue>,
    /// When its owner read it.
    pub read_at: Option<jiff::Timestamp>,
    /// When it arrived.
    pub created_at: jiff::Timestamp,
}

impl FromRow<'_, PgRow> for Notification {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            kind: row.try_get(1)?,
            event_id: row.try_get(2)?,
            data: row.try_get::<Json<_>, _>(3)?.0,
            read_at: row.try_get::<Option<Timestamp>, _>(4)?.map(|at| at.0),
            created_at: row.try_get::<Timestamp, _>(5)?.0,
        })
    }
}

/// What `list!` makes on SQLite, in its order.
#[derive(Deserialize)]
struct Cells<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    Box<RawValue>,
    Option<i64>,
    i64,
);

impl TryFrom<Cells<'_>> for Notification {
    type Error = Error;

    fn try_from(cells: Cells<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: one_value::id(&cells.0)?,
            kind: ChangeKind::parse(&cells.1).unwrap_or(ChangeKind::Other),
            event_id: one_value::id(&cells.2)?,
            data: cells.3,
            read_at: cells.4.map(instant).transpose()?,
            created_at: instant(cells.5)?,
        })
    }
}

fn read(text: &str) -> Result<Vec<Notification>, Error> {
    let all: Vec<Cells<'_>> = serde_json::from_str(text).map_err(corrupt)?;
    all.into_iter().map(Notification::try_from).collect()
}

/// A page of an inbox, of those that satisfy a condition.
macro_rules! list {
    ($condition:literal) => {
        Sql::each(
            concat!(
                "SELECT id, kind, event_id, data, read_at, created_at FROM notifications \
                 WHERE recipient_id = $1 AND id < $2",
                $condition,
                " ORDER BY id DESC LIMIT $3"
            ),
            concat!(
                "SELECT json_group_array(json_array(hex(id), kind, hex(event_id), json(data), read_at, created_at)) \
                 FROM (SELECT id, kind, event_id, data, read_at, created_at FROM notifications \
                 WHERE recipient_id = $1 AND id < $2",
                $condition,
                " ORDER BY id DESC LIMIT $3)"
            ),
        )
    };
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
        const ALL: Sql = list!("");
        const UNREAD: Sql = list!(" AND read_at IS NULL");
        const READ: Sql = list!(" AND read_at IS NOT NULL");
        let (name, sql) = match unread {
            None => ("notifications.list", ALL),
            Some(true) => ("notifications.list_unread", UNREAD),
            Some(false) => ("notifications.list_read", READ),
        };
        let given: Vec<Given<Notification>> = listing!(self, |session| {
            statement!(session, name, sql, |sql, link| {
                query_as(sql)
                    .bind(recipient)
                    .bind(page.after.unwrap_or(Uuid::max()))
                    .bind(page.limit + 1)
                    .fetch_all(link)
            })
        })?;
        let items = one_value::all(given, read)?;
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
