//! `/users/me`: what the caller says of themselves.

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    conditional::{fresh, if_match},
    extract::{Caller, Json, NoParams, Person, fit_json, refuse_unknown},
    reply::{Answered, Reply},
};
use crate::{
    domain::{
        fault::{Fault, Faults},
        patch::merge,
        user::{Role, User, check_profile},
    },
    store,
};

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    /// UUIDv7.
    id: Uuid,
    /// The address to log in with.
    email: String,
    /// What others see.
    display_name: String,
    /// IANA name.
    time_zone: String,
    /// What the user may do.
    role: Role,
    /// The path of the user's picture; null without one.
    #[schema(required = true)]
    avatar_url: Option<String>,
    /// Grows by one with each change.
    #[schema(minimum = 1)]
    version: i64,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: jiff::Timestamp,
}

impl From<&User> for UserBody {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            email: user.email.clone(),
            display_name: user.display_name.clone(),
            time_zone: user.time_zone.clone(),
            role: user.role,
            avatar_url: user
                .has_avatar
                .then(|| format!("/api/v1/users/{}/avatar", user.id)),
            version: user.version,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

pub(super) fn reply(user: &User) -> Reply {
    Reply::json(StatusCode::OK, &UserBody::from(user))
        .with_state(&user.version.to_string(), user.updated_at)
}

/// Fetch one's account
#[utoipa::path(get, path = "/api/v1/users/me", tag = "users", operation_id = "getMe",
    responses((status = 200, description = "The account", body = UserBody)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    _: NoParams,
    headers: HeaderMap,
) -> Answered {
    let user = api.store.user(caller.actor.user_id).await?;
    fresh(&headers, &user.version.to_string(), user.updated_at, || {
        reply(&user)
    })
}

/// What a person may change of their account: a JSON Merge Patch (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfilePatch {
    /// What others see.
    display_name: Option<String>,
    /// IANA name; null gives UTC.
    time_zone: Option<String>,
}

/// Change one's account
#[utoipa::path(patch, path = "/api/v1/users/me", tag = "users", operation_id = "changeMe",
    request_body = ProfilePatch, responses((status = 200, description = "The account", body = UserBody)))]
pub(super) async fn change(
    State(api): State<Api>,
    person: Person,
    _: NoParams,
    headers: HeaderMap,
    Json(patch): Json<Value>,
) -> Answered {
    let expected = if_match(&headers)?;
    let change = |user: &User| patched(user, &patch).map_err(store::Error::Invalid);
    let user = api
        .store
        .update_profile(person.actor.user_id, &expected, change)
        .await?;
    Ok(reply(&user))
}

fn patched(user: &User, patch: &Value) -> Result<User, Vec<Fault>> {
    let mut faults = Faults::default();
    if !patch.is_object() {
        faults.add("", "invalid_type", "an object");
        return Err(faults.into_vec());
    }
    let mut value = json!({ "display_name": user.display_name, "time_zone": user.time_zone });
    refuse_unknown(&mut faults, "", &value, patch);
    merge(&mut value, patch);
    if !faults.is_empty() {
        return Err(faults.into_vec());
    }
    let profile: ProfilePatch = fit_json(value)?;
    let Some(display_name) = profile.display_name else {
        faults.add("/display_name", "required", "a name");
        return Err(faults.into_vec());
    };
    let time_zone = profile.time_zone.unwrap_or_else(|| "UTC".into());
    check_profile(&mut faults, &display_name, &time_zone);
    faults.or(User {
        display_name,
        time_zone,
        ..user.clone()
    })
}
