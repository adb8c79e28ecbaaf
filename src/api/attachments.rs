//! `/events/{event_id}/attachments/`: files of an event.

use axum::{
    extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    conditional::{fresh, if_match},
    extract::{AttachedTo, Caller, Id, NoParams, Params},
    files::{
        Counted,
        content::{self, Given, tag},
        digest::hex,
        receive::{self, Announced, Rules, Source},
    },
    listing::{PageBody, page_of_event},
    problem::Problem,
    problem_types as types,
    reply::{Answered, Reply},
};
use crate::{
    domain::{
        file::{ATTACHMENTS, Attachment, storage_key},
        new_id,
    },
    store::{self, NewAttachment},
};

/// A file of an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attachment)]
pub(crate) struct AttachmentBody {
    /// UUIDv7.
    id: Uuid,
    /// The event.
    event_id: Uuid,
    /// Who brought it.
    uploaded_by: Uuid,
    /// What it is called.
    name: String,
    /// What it is, by its own bytes.
    #[schema(example = "application/pdf")]
    media_type: String,
    /// Bytes.
    #[schema(minimum = 0)]
    size: i64,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
}

impl From<&Attachment> for AttachmentBody {
    fn from(attachment: &Attachment) -> Self {
        Self {
            id: attachment.id,
            event_id: attachment.event_id,
            uploaded_by: attachment.uploaded_by,
            name: attachment.name.clone(),
            media_type: attachment.blob.media_type.clone(),
            size: attachment.blob.size,
            sha256: hex(&attachment.blob.sha256),
            created_at: attachment.created_at,
        }
    }
}

/// A form with one file.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what `add` reads")]
pub(crate) struct FileForm {
    /// The file, with its name and media type.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

fn reply(status: StatusCode, attachment: &Attachment) -> Reply {
    Reply::json(status, &AttachmentBody::from(attachment))
        .with_state(&tag(&attachment.blob), attachment.created_at)
}

/// Add a file
///
/// Organizer and admins only. Either a form whose one part is called `file`, or the bytes themselves with `Content-Type` and, for
/// the name, `Content-Disposition`. What a browser would run is refused, and so is what is not what it is sent as. An
/// `Idempotency-Key` has no effect here: the answer to a repeat could only be known after all of it is sent again.
#[utoipa::path(post, path = "/api/v1/events/{event_id}/attachments/", tag = "attachments", operation_id = "addAttachment",
    request_body(content((FileForm = "multipart/form-data"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 201, description = "The attachment", body = AttachmentBody)))]
pub(super) async fn add(
    State(api): State<Api>,
    caller: Caller,
    Id(event_id): Id,
    _: NoParams,
    request: Request,
) -> Answered {
    let counted = Counted::new("attachment");
    let added = counted.end(receive_one(&api, caller, event_id, request).await)?;
    let location = format!("/api/v1/events/{event_id}/attachments/{}", added.id);
    Ok(reply(StatusCode::CREATED, &added).with(header::LOCATION, location))
}

async fn receive_one(
    api: &Api,
    caller: Caller,
    event_id: Uuid,
    mut request: Request,
) -> Result<Attachment, Problem> {
    let files = &api.files;
    let _place = files.upload_place()?;
    let quota = files.quota();
    let room = api
        .store
        .attachment_room(caller.actor, event_id, quota)
        .await?;
    let rules = Rules {
        max: files.attachments.max_size.bytes(),
        room: usize::try_from(room).unwrap_or_default(),
        types: &files.attachments.types,
        patience: files.attachments.idle_timeout,
    };
    let id = new_id();
    let key = storage_key(ATTACHMENTS, id);
    let (name, blob) = if is_form(request.headers()) {
        DefaultBodyLimit::disable().apply(&mut request);
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|_| {
            Problem::new(
                &types::MALFORMED_MULTIPART,
                "multipart/form-data needs a boundary.",
            )
        })?;
        let part = receive::file_part(&mut form, rules.patience).await?;
        let announced = Announced::read(part.headers())?;
        let blob = receive::receive(
            &files.storage,
            key,
            &announced,
            Source::Part(Box::new(part)),
            rules,
        )
        .await?;
        if let Err(problem) = receive::no_more_parts(&mut form, rules.patience).await {
            api.discard(&blob.storage_key).await;
            return Err(problem);
        }
        (announced.name, blob)
    } else {
        let announced = Announced::read(request.headers())?;
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        receive::check_size(length.unwrap_or(0), rules)?;
        let source = Source::Raw(request.into_body().into_data_stream());
        let blob = receive::receive(&files.storage, key, &announced, source, rules).await?;
        (announced.name, blob)
    };
    let new = NewAttachment { id, name, blob };
    match api
        .store
        .add_attachment(caller.actor, event_id, &new, quota)
        .await
    {
        Ok(attachment) => Ok(attachment),
        Err(failure) => {
            // With an unknown outcome the row may be there: the collector will find out.
            if !matches!(failure, store::Error::OutcomeUnknown(_)) {
                api.discard(&new.blob.storage_key).await;
            }
            Err(failure.into())
        }
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("multipart/form-data")
}

impl Api {
    /// Deletes bytes that turned out to be nobody's. If that fails, the collector does it later.
    pub(super) async fn discard(&self, storage_key: &str) {
        if let Err(failure) = self.files.storage.delete(storage_key).await {
            tracing::debug!(error = %failure, "a file could not be discarded yet");
        }
    }
}

/// List the files of an event
#[utoipa::path(get, path = "/api/v1/events/{event_id}/attachments/", tag = "attachments", operation_id = "listAttachments",
    responses((status = 200, description = "A page of attachments", body = PageBody<AttachmentBody>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Id(event_id): Id,
    mut params: Params,
) -> Answered {
    let (pager, page) = page_of_event::<Uuid>(&api, caller, event_id, &mut params).await?;
    let found = api.store.attachments(event_id, &page).await?;
    Ok(pager.reply(&params, found, |one| AttachmentBody::from(&one)))
}

/// Fetch what is known of a file
#[utoipa::path(get, path = "/api/v1/events/{event_id}/attachments/{attachment_id}", tag = "attachments", operation_id = "getAttachment",
    responses((status = 200, description = "The attachment", body = AttachmentBody)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    AttachedTo {
        event_id,
        attachment_id,
    }: AttachedTo,
    _: NoParams,
    headers: HeaderMap,
) -> Answered {
    let attachment = visible(&api, caller, event_id, attachment_id).await?;
    fresh(
        &headers,
        &tag(&attachment.blob),
        attachment.created_at,
        || reply(StatusCode::OK, &attachment),
    )
}

async fn visible(
    api: &Api,
    caller: Caller,
    event_id: Uuid,
    id: Uuid,
) -> Result<Attachment, Problem> {
    api.store.event(caller.actor, event_id).await?;
    Ok(api.store.attachment(event_id, id).await?)
}

/// Download a file
///
/// Whole, or one range of it. With `attachments.redirect` the answer is a redirect to a URL of the store's that serves for a short time.
#[utoipa::path(get, path = "/api/v1/events/{event_id}/attachments/{attachment_id}/content", tag = "attachments", operation_id = "downloadAttachment",
    responses((status = 200, description = "The bytes", body = Vec<u8>, content_type = "*/*"),
        (status = 206, description = "A range of them", body = Vec<u8>, content_type = "*/*"),
        (status = 307, description = "Where the store gives them out")))]
pub(super) async fn download(
    State(api): State<Api>,
    caller: Caller,
    AttachedTo {
        event_id,
        attachment_id,
    }: AttachedTo,
    _: NoParams,
    method: Method,
    headers: HeaderMap,
) -> Answered<Response> {
    let attachment = visible(&api, caller, event_id, attachment_id).await?;
    let given = Given {
        kind: "attachment",
        blob: &attachment.blob,
        modified: attachment.created_at,
        name: &attachment.name,
        disposition: "attachment",
    };
    content::give(&api.files, &method, &headers, given).await
}

/// Remove a file
///
/// Organizer and admins only.
#[utoipa::path(delete, path = "/api/v1/events/{event_id}/attachments/{attachment_id}", tag = "attachments", operation_id = "removeAttachment",
    responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    AttachedTo {
        event_id,
        attachment_id,
    }: AttachedTo,
    _: NoParams,
    headers: HeaderMap,
) -> Answered {
    let expected = if_match(&headers)?;
    let tag = |attachment: &Attachment| tag(&attachment.blob);
    api.store
        .remove_attachment(caller.actor, event_id, attachment_id, &expected, tag)
        .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
