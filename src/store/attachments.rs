//! Files of events: what the database knows of them.

use serde_json::json;
use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store,
    changes::{self, NewChange},
    columns::Timestamp,
    engine::{Session, Sql, reading, statement, transaction},
    error::{Error, Refusal},
    events, files,
};
use crate::domain::{
    actor::Actor,
    change::{Audience, ChangeKind},
    event::Event,
    file::{Attachment, Blob, Quota},
    page::{Page, PageRequest},
    version::Expected,
};

/// A file whose bytes are in the store, about to be known.
#[derive(Clone, Debug)]
pub struct NewAttachment {
    /// UUIDv7.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Its bytes.
    pub blob: Blob,
}

#[derive(FromRow)]
struct AttachmentRow {
    id: Uuid,
    event_id: Uuid,
    uploaded_by: Uuid,
    name: String,
    media_type: String,
    size: i64,
    sha256: Vec<u8>,
    storage_key: String,
    created_at: Timestamp,
}

impl From<AttachmentRow> for Attachment {
    fn from(row: AttachmentRow) -> Self {
        Self {
            id: row.id,
            event_id: row.event_id,
            uploaded_by: row.uploaded_by,
            name: row.name,
            blob: Blob {
                storage_key: row.storage_key,
                media_type: row.media_type,
                size: row.size,
                sha256: row.sha256,
            },
            created_at: row.created_at.0,
        }
    }
}

/// What is there already.
#[derive(FromRow)]
struct Used {
    files: i64,
    bytes: i64,
}

async fn used_by_event(session: &mut Session, event_id: Uuid) -> Result<Used, Error> {
    const SQL: Sql = Sql::same(
        "SELECT COUNT(*) AS files, CAST(COALESCE(SUM(size), 0) AS BIGINT) AS bytes FROM attachments WHERE event_id = $1",
    );
    let used = statement!(session, "attachments.of_event", SQL, |sql, link| {
        query_as::<_, Used>(sql).bind(event_id).fetch_optional(link)
    })?;
    Ok(used.unwrap_or(Used { files: 0, bytes: 0 }))
}

async fn used_by_user(session: &mut Session, user_id: Uuid) -> Result<i64, Error> {
    const SQL: Sql = Sql::same(
        "SELECT CAST(COALESCE(SUM(a.size), 0) AS BIGINT) FROM attachments a JOIN events e ON e.id = a.event_id \
         WHERE a.uploaded_by = $1 AND e.deleted_at IS NULL",
    );
    let used = statement!(session, "attachments.of_user", SQL, |sql, link| {
        sqlx::query_scalar::<_, i64>(sql)
            .bind(user_id)
            .fetch_optional(link)
    })?;
    Ok(used.unwrap_or(0))
}

/// The bytes that may still come; none is a refusal.
async fn room(
    session: &mut Session,
    actor: Actor,
    event_id: Uuid,
    quota: Quota,
) -> Result<i64, Error> {
    let event = used_by_event(session, event_id).await?;
    if event.files >= quota.event_files {
        return Err(Error::Refused(Refusal::TooManyAttachments));
    }
    let user = used_by_user(session, actor.user_id).await?;
    let left = (quota.event_bytes - event.bytes).min(quota.user_bytes - user);
    if left <= 0 {
        return Err(Error::Refused(Refusal::QuotaExceeded));
    }
    Ok(left)
}

fn change(
    kind: ChangeKind,
    event: &Event,
    actor: Actor,
    attachment: &Attachment,
    at: jiff::Timestamp,
) -> NewChange {
    let mut data = events::summary(event);
    data.insert(
        "attachment".into(),
        json!({
            "id": attachment.id,
            "name": attachment.name,
            "media_type": attachment.blob.media_type,
            "size": attachment.blob.size,
        }),
    );
    NewChange {
        kind,
        event_id: event.id,
        user_id: None,
        version: event.version,
        actor_id: Some(actor.user_id),
        data: data.into(),
        at,
        // A new file is something to look at; one that is gone is not.
        audience: match kind {
            ChangeKind::AttachmentAdded => Audience::Participants,
            _ => Audience::Nobody,
        },
    }
}

impl Store {
    /// The bytes that the caller may still add to an event, before any is read.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], and [`Error::Refused`] when there is no room.
    pub async fn attachment_room(
        &self,
        actor: Actor,
        event_id: Uuid,
        quota: Quota,
    ) -> Result<i64, Error> {
        let event = self.event(actor, event_id).await?;
        if !actor.is_admin() && event.organizer_id != actor.user_id {
            return Err(Error::Forbidden);
        }
        reading!(self, |session| room(session, actor, event_id, quota).await)
    }

    /// Makes a file known whose bytes are in the store, with its entry in the change log.
    ///
    /// # Errors
    /// As [`Self::attachment_room`]; the bytes are nobody's then.
    pub async fn add_attachment(
        &self,
        actor: Actor,
        event_id: Uuid,
        new: &NewAttachment,
        quota: Quota,
    ) -> Result<Attachment, Error> {
        const SQL: Sql = Sql::same(
            "INSERT INTO attachments (id, event_id, uploaded_by, name, media_type, size, sha256, storage_key, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        );
        const LOCK: Sql = Sql::each(
            "SELECT id FROM users WHERE id = $1 FOR UPDATE",
            "SELECT id FROM users WHERE id = $1",
        );
        let added = transaction!(self, "attachments.add", |tx| {
            let event = events::lock_own(tx, actor, event_id).await?;
            // The user's files of other events count, and nothing else holds those together.
            statement!(tx, "users.lock_id", LOCK, |sql, link| {
                sqlx::query_scalar::<_, Uuid>(sql)
                    .bind(actor.user_id)
                    .fetch_optional(link)
            })?;
            if room(tx, actor, event_id, quota).await? < new.blob.size {
                return Err(Error::Refused(Refusal::QuotaExceeded));
            }
            let attachment = Attachment {
                id: new.id,
                event_id,
                uploaded_by: actor.user_id,
                name: new.name.clone(),
                blob: new.blob.clone(),
                created_at: self.clock().now(),
            };
            statement!(tx, "attachments.insert", SQL, |sql, link| {
                query(sql)
                    .bind(attachment.id)
                    .bind(event_id)
                    .bind(attachment.uploaded_by)
                    .bind(&attachment.name)
                    .bind(&attachment.blob.media_type)
                    .bind(attachment.blob.size)
                    .bind(&attachment.blob.sha256)
                    .bind(&attachment.blob.storage_key)
                    .bind(Timestamp(attachment.created_at))
                    .execute(link)
            })?;
            let added = change(
                ChangeKind::AttachmentAdded,
                &event,
                actor,
                &attachment,
                attachment.created_at,
            );
            changes::append(tx, added).await?;
            Ok(attachment)
        })?;
        self.wake_outbox();
        Ok(added)
    }

    /// An event's files, in the order in which they came. The caller must have been shown the event.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attachments(
        &self,
        event_id: Uuid,
        page: &PageRequest<Uuid>,
    ) -> Result<Page<Attachment, Uuid>, Error> {
        const SQL: Sql = Sql::same(
            "SELECT id, event_id, uploaded_by, name, media_type, size, sha256, storage_key, created_at FROM attachments \
             WHERE event_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        );
        let rows = reading!(self, |session| {
            statement!(session, "attachments.list", SQL, |sql, link| {
                query_as::<_, AttachmentRow>(sql)
                    .bind(event_id)
                    .bind(page.after.unwrap_or(Uuid::nil()))
                    .bind(page.limit + 1)
                    .fetch_all(link)
            })
        })?;
        let items = rows.into_iter().map(Attachment::from).collect();
        Ok(Page::from_items(items, page.limit, |one: &Attachment| {
            one.id
        }))
    }

    /// One file of an event. The caller must have been shown the event.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn attachment(&self, event_id: Uuid, id: Uuid) -> Result<Attachment, Error> {
        let found = reading!(self, |session| find(session, event_id, id).await)?;
        found.ok_or(Error::NotFound)
    }

    /// Removes a file of an event; its bytes are deleted after a grace.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`].
    pub async fn remove_attachment(
        &self,
        actor: Actor,
        event_id: Uuid,
        id: Uuid,
        expected: &Expected,
        tag: impl Fn(&Attachment) -> String,
    ) -> Result<(), Error> {
        const SQL: Sql = Sql::same("DELETE FROM attachments WHERE id = $1");
        transaction!(self, "attachments.remove", |tx| {
            let event = events::lock_own(tx, actor, event_id).await?;
            let attachment = find(tx, event_id, id).await?.ok_or(Error::NotFound)?;
            if !expected.allows(&tag(&attachment)) {
                return Err(Error::Stale);
            }
            let now = self.clock().now();
            statement!(tx, "attachments.delete", SQL, |sql, link| {
                query(sql).bind(id).execute(link)
            })?;
            files::retire(tx, &attachment.blob.storage_key, now).await?;
            let removed = change(
                ChangeKind::AttachmentRemoved,
                &event,
                actor,
                &attachment,
                now,
            );
            changes::append(tx, removed).await
        })
    }
}

async fn find(
    session: &mut Session,
    event_id: Uuid,
    id: Uuid,
) -> Result<Option<Attachment>, Error> {
    const SQL: Sql = Sql::same(
        "SELECT id, event_id, uploaded_by, name, media_type, size, sha256, storage_key, created_at FROM attachments \
         WHERE id = $1 AND event_id = $2",
    );
    let row = statement!(session, "attachments.find", SQL, |sql, link| {
        query_as::<_, AttachmentRow>(sql)
            .bind(id)
            .bind(event_id)
            .fetch_optional(link)
    })?;
    Ok(row.map(Attachment::from))
}
