//! `/auth/`: accounts are made and logged into here.

use axum::extract::State;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    extract::{Json, NoParams},
    layers::rate_limit::LimitKey,
    problem::Problem,
    problem_types as types,
    reply::{Answered, Reply},
    tokens::{hash_token, random_token},
    users::UserBody,
};
use crate::{
    domain::{
        fault::Faults,
        text::{self, normal_email},
        user::{PASSWORD_MAX, PASSWORD_MIN, Role, check_profile},
    },
    store::{NewUser, Refreshed},
    telemetry::instruments::{product, protection},
};

/// How somebody tries to get in, as `auth_attempts_total` names it.
pub(crate) const METHODS: &[&str] = &["password", "refresh_token", "access_token", "api_key"];
/// What comes of it.
pub(crate) const OUTCOMES: &[&str] = &["success", "failure", "limited", "reused"];

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterInput {
    /// Unique without regard to case.
    #[schema(example = "ada@example.org")]
    email: String,
    /// 8 to 256 characters, any.
    #[schema(example = "correct horse battery staple", format = Password)]
    password: String,
    /// What others see.
    #[schema(example = "Ada Lovelace")]
    display_name: String,
    /// IANA name; UTC unless said otherwise.
    #[serde(default)]
    time_zone: Option<String>,
}

/// An address and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginInput {
    /// As registered.
    #[schema(example = "ada@example.org")]
    email: String,
    /// As registered.
    #[schema(example = "correct horse battery staple", format = Password)]
    password: String,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshInput {
    /// As given by the last login or refresh.
    refresh_token: String,
}

/// Tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensBody {
    /// A JWT, sent as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// For how many seconds the access token is good.
    expires_in: u64,
    /// Good for one refresh.
    refresh_token: String,
}

fn tokens_reply(api: &Api, user_id: Uuid, refresh_token: String) -> Answered {
    let (access_token, expires_in) = api.tokens.issue(user_id).map_err(|failure| {
        tracing::error!(error = %failure, "an access token cannot be signed");
        Problem::new(&types::INTERNAL_ERROR, "No token could be made.")
    })?;
    let body = TokensBody {
        access_token,
        token_type: "Bearer",
        expires_in,
        refresh_token,
    };
    Ok(Reply::json(StatusCode::OK, &body)
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

fn hashing_failed(failure: &super::passwords::HashError) -> Problem {
    tracing::error!(error = %failure, "a password could not be hashed");
    Problem::new(
        &types::INTERNAL_ERROR,
        "This is a fault of the service; it has been logged.",
    )
}

/// Make an account
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", operation_id = "register", security(()),
    request_body = RegisterInput, responses((status = 201, description = "The account", body = UserBody)))]
pub(super) async fn register(
    State(api): State<Api>,
    _: NoParams,
    Json(input): Json<RegisterInput>,
) -> Answered {
    let mut faults = Faults::default();
    let time_zone = input.time_zone.unwrap_or_else(|| "UTC".into());
    text::email(&mut faults, "/email", &input.email);
    text::prose(
        &mut faults,
        "/password",
        &input.password,
        PASSWORD_MIN,
        PASSWORD_MAX,
    );
    check_profile(&mut faults, &input.display_name, &time_zone);
    faults.or(()).map_err(Problem::invalid)?;
    let password_hash = api
        .passwords
        .hash(input.password)
        .await
        .map_err(|failure| hashing_failed(&failure))?;
    let new = NewUser {
        email: input.email,
        display_name: input.display_name,
        time_zone,
        password_hash,
        role: Role::User,
    };
    let user = api.store.create_user(&new).await?;
    product::user_registered();
    let reply = Reply::json(StatusCode::CREATED, &UserBody::from(&user))
        .with_state(&user.version.to_string(), user.updated_at);
    Ok(reply.with(
        header::LOCATION,
        HeaderValue::from_static("/api/v1/users/me"),
    ))
}

/// Log in
///
/// An unknown address and a wrong password are answered alike, in the same time.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", operation_id = "login", security(()),
    request_body = LoginInput, responses((status = 200, description = "Tokens", body = TokensBody)))]
pub(super) async fn login(
    State(api): State<Api>,
    _: NoParams,
    Json(input): Json<LoginInput>,
) -> Answered {
    limit_account(&api, &input.email)?;
    // No stored password is longer: hashing work is bounded whatever is sent.
    let plausible = input.password.chars().count() <= PASSWORD_MAX && !input.email.contains('\0');
    let known = if plausible {
        api.store.credentials(&input.email).await?
    } else {
        None
    };
    let (user, hash) = known.map(|known| (known.user, known.password_hash)).unzip();
    let password = if plausible {
        input.password
    } else {
        String::new()
    };
    let right = api
        .passwords
        .verify(password, hash)
        .await
        .map_err(|failure| hashing_failed(&failure))?;
    let Some(user) = user.filter(|user| right && user.disabled_at.is_none()) else {
        protection::auth_attempted("password", "failure");
        return Err(Problem::new(
            &types::INVALID_CREDENTIALS,
            "No account has this address and this password.",
        ));
    };
    let (token, hash) = random_token("");
    api.store
        .open_session(user.id, &hash, api.refresh_ttl)
        .await?;
    protection::auth_attempted("password", "success");
    tokens_reply(&api, user.id, token)
}

fn limit_account(api: &Api, email: &str) -> Result<(), Problem> {
    let decision = api
        .limits
        .rates
        .login_account(LimitKey::account(&normal_email(email)));
    match decision {
        Some(decision) if !decision.allowed => {
            protection::auth_attempted("password", "limited");
            let problem = Problem::new(
                &types::RATE_LIMITED,
                "Too many attempts to log in to this account.",
            );
            Err(problem.retry_after(decision.retry_after))
        }
        _ => Ok(()),
    }
}

/// Refresh a login
///
/// A refresh token serves once; a second use revokes every token that descends from the same login.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refresh", security(()),
    request_body = RefreshInput, responses((status = 200, description = "New tokens", body = TokensBody)))]
pub(super) async fn refresh(
    State(api): State<Api>,
    _: NoParams,
    Json(input): Json<RefreshInput>,
) -> Answered {
    let (token, hash) = random_token("");
    let refreshed = api
        .store
        .refresh_session(&hash_token(&input.refresh_token), &hash, api.refresh_ttl)
        .await?;
    let outcome = match refreshed {
        Refreshed::Renewed { .. } => "success",
        Refreshed::Reused => "reused",
        Refreshed::Refused => "failure",
    };
    protection::auth_attempted("refresh_token", outcome);
    match refreshed {
        Refreshed::Renewed { user_id } => tokens_reply(&api, user_id, token),
        Refreshed::Reused | Refreshed::Refused => Err(Problem::new(
            &types::INVALID_TOKEN,
            "The refresh token is unknown, expired, revoked or used.",
        )),
    }
}

/// Log out
///
/// Ends the login that the refresh token belongs to. Access tokens already given out run to their end.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", operation_id = "logout", security(()),
    request_body = RefreshInput, responses((status = 204, description = "The login has ended")))]
pub(super) async fn logout(
    State(api): State<Api>,
    _: NoParams,
    Json(input): Json<RefreshInput>,
) -> Answered {
    api.store
        .close_session(&hash_token(&input.refresh_token))
        .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
