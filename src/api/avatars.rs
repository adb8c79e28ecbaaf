//! `/users/me/avatar`, `/users/{user_id}/avatar`: pictures of users.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    Api,
    conditional::if_match,
    extract::{Caller, Id, NoParams, Person},
    files::{
        Counted,
        content::{self, Given, tag},
        dimensions, media,
        receive::{self, Announced},
    },
    problem::Problem,
    reply::{Answered, Reply},
    users::{self, UserBody},
};
use crate::{
    domain::{
        fault::Faults,
        file::{AVATARS, Avatar, Blob, storage_key},
        new_id,
        user::User,
        version::Expected,
    },
    store,
};

/// What a picture can be, and what it is saved as.
const TYPES: [(&str, &str); 4] = [
    ("image/gif", "avatar.gif"),
    ("image/jpeg", "avatar.jpg"),
    ("image/png", "avatar.png"),
    ("image/webp", "avatar.webp"),
];

/// Set one's picture
///
/// PNG, JPEG, WebP or GIF.
#[utoipa::path(put, path = "/api/v1/users/me/avatar", tag = "users", operation_id = "setAvatar",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "The account", body = UserBody)))]
pub(super) async fn set(
    State(api): State<Api>,
    person: Person,
    _: NoParams,
    request: Request,
) -> Answered {
    let counted = Counted::new("avatar");
    let user = counted.end(receive_one(&api, person.actor.user_id, request).await)?;
    Ok(users::reply(&user))
}

async fn receive_one(api: &Api, user_id: Uuid, request: Request) -> Result<User, Problem> {
    let files = &api.files;
    let _place = files.upload_place()?;
    let expected = if_match(request.headers())?;
    let announced = Announced::read(request.headers())?;
    let (max, patience) = (
        files.avatars.max_size.bytes(),
        files.attachments.idle_timeout,
    );
    let bytes = receive::read_small(request.into_body(), max, patience).await?;
    let head = bytes
        .get(..bytes.len().min(media::HEAD))
        .unwrap_or_default();
    let media_type = receive::judged(announced.media_type.as_deref(), head, |kind| {
        TYPES.iter().any(|(known, _)| *known == kind)
    })?;
    check_pixels(&media_type, &bytes, files.avatars.max_pixels)?;
    let sha256 = Sha256::digest(&bytes).to_vec();
    receive::check_digests(&announced, &sha256)?;
    let blob = Blob {
        storage_key: storage_key(AVATARS, new_id()),
        media_type,
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        sha256,
    };
    files.storage.put(&blob.storage_key, bytes.into()).await?;
    match api
        .store
        .change_avatar(user_id, &expected, state, Some(&blob))
        .await
    {
        Ok(user) => Ok(user),
        Err(failure) => {
            if !matches!(failure, store::Error::OutcomeUnknown(_)) {
                api.discard(&blob.storage_key).await;
            }
            Err(failure.into())
        }
    }
}

fn state(avatar: &Avatar) -> String {
    tag(&avatar.blob)
}

fn check_pixels(media_type: &str, bytes: &[u8], max: u32) -> Result<(), Problem> {
    let mut faults = Faults::default();
    match dimensions(media_type, bytes) {
        Some((width, height)) if (1..=max).contains(&width) && (1..=max).contains(&height) => {}
        Some(_) => faults.add(
            "",
            "out_of_range",
            format!("1 to {max} pixels wide and high"),
        ),
        None => faults.add("", "invalid_picture", "a whole picture"),
    }
    faults.or(()).map_err(Problem::invalid)
}

/// Take one's picture away
#[utoipa::path(delete, path = "/api/v1/users/me/avatar", tag = "users", operation_id = "removeAvatar",
    responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(
    State(api): State<Api>,
    person: Person,
    _: NoParams,
    headers: HeaderMap,
) -> Answered {
    let expected: Expected = if_match(&headers)?;
    api.store
        .change_avatar(person.actor.user_id, &expected, state, None)
        .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Fetch one's picture
#[utoipa::path(get, path = "/api/v1/users/me/avatar", tag = "users", operation_id = "getMyAvatar",
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/*"),
        (status = 206, description = "A range of it", body = Vec<u8>, content_type = "image/*")))]
pub(super) async fn get_own(
    State(api): State<Api>,
    caller: Caller,
    _: NoParams,
    method: Method,
    headers: HeaderMap,
) -> Answered<Response> {
    give(&api, caller.actor.user_id, &method, &headers).await
}

/// Fetch somebody's picture
///
/// Everybody with an account may.
#[utoipa::path(get, path = "/api/v1/users/{user_id}/avatar", tag = "users", operation_id = "getAvatar",
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/*"),
        (status = 206, description = "A range of it", body = Vec<u8>, content_type = "image/*")))]
pub(super) async fn get(
    State(api): State<Api>,
    _: Caller,
    Id(user_id): Id,
    _: NoParams,
    method: Method,
    headers: HeaderMap,
) -> Answered<Response> {
    give(&api, user_id, &method, &headers).await
}

async fn give(
    api: &Api,
    user_id: Uuid,
    method: &Method,
    headers: &HeaderMap,
) -> Answered<Response> {
    let avatar = api.store.avatar(user_id).await?;
    let name = TYPES
        .iter()
        .find(|(kind, _)| *kind == avatar.blob.media_type);
    let given = Given {
        kind: "avatar",
        blob: &avatar.blob,
        modified: avatar.updated_at,
        name: name.map_or("avatar", |(_, name)| name),
        disposition: "inline",
    };
    content::give(&api.files, method, headers, given).await
}
