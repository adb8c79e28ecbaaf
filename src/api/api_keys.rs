//! `/api-keys/`: credentials for machines, shown once.

use axum::extract::State;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    extract::{Id, Json, NoParams, Params, Person},
    layers::idempotency::Once,
    listing::{PageBody, Pager},
    problem::Problem,
    reply::{Answered, Reply},
    tokens::{KEY_PREFIX, random_token},
};
use crate::{
    domain::{
        clock::truncate,
        fault::Faults,
        text,
        user::{ApiKey, NAME_MAX, Scope},
        when::parse_instant,
    },
    store::{NewApiKey, Receipt},
    telemetry::instruments::product,
};

/// Characters of a key that are kept to recognise it by.
const SHOWN: usize = KEY_PREFIX.len() + 6;

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyInput {
    /// What its user calls it.
    #[schema(example = "nightly import")]
    name: String,
    /// What it may do.
    scope: Scope,
    /// When it stops working; null for never.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyBody {
    /// UUIDv7.
    id: Uuid,
    /// What its user calls it.
    name: String,
    /// What it may do.
    scope: Scope,
    /// Its first characters.
    #[schema(example = "cvk_Zk3v9Q")]
    prefix: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
    /// When it stops working; null for never.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    expires_at: Option<jiff::Timestamp>,
}

/// A key with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApiKey)]
pub(crate) struct NewApiKeyBody {
    #[serde(flatten)]
    record: ApiKeyBody,
    /// Sent as `Authorization: Bearer …`.
    key: String,
}

impl From<&ApiKey> for ApiKeyBody {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            scope: key.scope,
            prefix: key.prefix.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
        }
    }
}

/// Make a key
///
/// It is shown this once and stored as a hash.
#[utoipa::path(post, path = "/api/v1/api-keys/", tag = "api keys", operation_id = "createApiKey",
    request_body = ApiKeyInput, responses((status = 201, description = "The key", body = NewApiKeyBody)))]
pub(super) async fn create(
    State(api): State<Api>,
    person: Person,
    _: NoParams,
    once: Once,
    Json(input): Json<ApiKeyInput>,
) -> Answered<axum::response::Response> {
    let mut faults = Faults::default();
    text::line(&mut faults, "/name", &input.name, NAME_MAX);
    let expires_at = input.expires_at.as_deref().map(parse_instant);
    match expires_at {
        Some(None) => faults.add(
            "/expires_at",
            "invalid_instant",
            "an RFC 3339 instant such as 2026-12-01T17:00:00Z",
        ),
        Some(Some(at)) if at <= api.store.clock().now() => {
            faults.add("/expires_at", "out_of_range", "an instant to come");
        }
        Some(Some(_)) | None => {}
    }
    let expires_at = expires_at.flatten().map(truncate);
    faults.or(()).map_err(Problem::invalid)?;
    let (secret, hash) = random_token(KEY_PREFIX);
    let new = NewApiKey {
        name: input.name,
        scope: input.scope,
        prefix: secret[..SHOWN].to_owned(),
        hash,
        expires_at,
    };
    let answer = |key: &ApiKey| {
        let body = NewApiKeyBody {
            record: key.into(),
            key: secret.clone(),
        };
        Reply::json(StatusCode::CREATED, &body)
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with(header::LOCATION, format!("/api/v1/api-keys/{}", key.id))
    };
    let render = api.keeping(&answer);
    let key = api
        .store
        .create_api_key(person.actor.user_id, &new, &Receipt::new(once.0, &render))
        .await?;
    product::api_key_created();
    Ok(answer(&key).kept())
}

/// List one's keys
#[utoipa::path(get, path = "/api/v1/api-keys/", tag = "api keys", operation_id = "listApiKeys",
    responses((status = 200, description = "A page of keys", body = PageBody<ApiKeyBody>)))]
pub(super) async fn list(State(api): State<Api>, person: Person, mut params: Params) -> Answered {
    let (pager, page) = Pager::read::<Uuid>(
        &mut params,
        person.actor.user_id,
        api.store.clock(),
        api.limits.cursor_ttl,
    )?;
    params.check(&["limit", "cursor"])?;
    let found = api.store.api_keys(person.actor.user_id, &page).await?;
    Ok(pager.reply(&params, found, |key| ApiKeyBody::from(&key)))
}

/// Revoke a key
#[utoipa::path(delete, path = "/api/v1/api-keys/{key_id}", tag = "api keys", operation_id = "revokeApiKey",
    responses((status = 204, description = "It works no longer")))]
pub(super) async fn revoke(
    State(api): State<Api>,
    person: Person,
    Id(id): Id,
    _: NoParams,
) -> Answered {
    api.store.revoke_api_key(person.actor.user_id, id).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
