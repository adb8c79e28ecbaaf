//! The HTTP surface: the state handlers share, the route table, and the order of the layers.

mod api_keys;
mod attachments;
mod auth;
mod avatars;
mod bodies;
mod conditional;
mod docs;
mod event_wire;
mod events;
mod extract;
mod files;
mod history;
mod keyring;
mod layers;
mod listing;
mod notifications;
mod openapi;
mod participants;
#[doc(hidden)]
pub mod parts;
pub mod passwords;
mod principal;
mod problem;
mod problem_types;
mod reply;
mod routes;
mod tokens;
mod users;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use tokio::sync::Semaphore;
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, Predicate},
    },
};

pub use self::openapi::openapi_json;
use self::{
    bodies::Bodies,
    files::Files,
    layers::{client, guard, headers, idempotency, observe, rate_limit},
    passwords::{HashError, Passwords},
    principal::{Authentication, Principals},
    problem::Problem,
    reply::Reply,
    routes::Routes,
    tokens::Tokens,
};
use crate::{
    cache::Caches,
    config::{Config, CorsOrigin},
    lifecycle::Lifecycle,
    storage::Storage,
    store::Store,
    telemetry::{
        in_flight::InFlight,
        instruments::{protection, requests::Requests},
        scope,
    },
};

/// What handlers and layers share. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

/// See [`Api`].
pub struct Shared {
    store: Store,
    bodies: Bodies,
    files: Files,
    lifecycle: Lifecycle,
    tokens: Tokens,
    passwords: Passwords,
    principals: Principals,
    limits: Limits,
    routes: Routes,
    requests: Requests,
    in_flight: InFlight,
    running: idempotency::Running,
    trusted_proxies: Vec<ipnet::IpNet>,
    cors_origins: Vec<CorsOrigin>,
    hsts: bool,
    refresh_ttl: Duration,
}

struct Limits {
    in_flight: Semaphore,
    request_timeout: Duration,
    body: usize,
    cursor_ttl: Duration,
    idempotency_ttl: Duration,
    rates: rate_limit::Rates,
}

impl Api {
    /// By the settings. `in_flight` is told of each request.
    ///
    /// # Errors
    /// When the password hash does not accept its parameters.
    pub fn new(
        config: &Config,
        store: Store,
        storage: Storage,
        lifecycle: &Lifecycle,
        in_flight: InFlight,
    ) -> Result<Self, HashError> {
        let tokens = Tokens::new(
            &config.server.secret_key,
            &config.server.secret_key_previous,
            store.clock().clone(),
            config.auth.access_token_ttl,
        );
        let routes = Routes::new(&openapi::document());
        let limits = Limits {
            in_flight: Semaphore::new(config.limits.max_in_flight),
            request_timeout: config.limits.request_timeout,
            body: config.limits.body_limit.bytes(),
            cursor_ttl: config.limits.cursor_ttl,
            idempotency_ttl: config.limits.idempotency_ttl,
            rates: rate_limit::Rates::new(&config.rate_limit),
        };
        prime();
        let caches = Caches::new(config, &store);
        caches.start(lifecycle);
        Ok(Self(Arc::new(Shared {
            principals: Principals::new(store.clone(), tokens.clone(), caches),
            passwords: Passwords::new(&config.auth)?,
            requests: Requests::new(routes.series()),
            in_flight,
            lifecycle: lifecycle.clone(),
            running: idempotency::Running::default(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            cors_origins: config.server.cors_origins.clone(),
            hsts: config.server.hsts,
            refresh_ttl: config.auth.refresh_token_ttl,
            bodies: Bodies::new(),
            files: Files::new(config, storage),
            store,
            tokens,
            limits,
            routes,
        })))
    }

    /// Sets the gauges of what the API holds in memory, each second, for as long as it is polled.
    pub async fn observe_always(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.principals.observe();
            self.bodies.observe();
            self.limits.rates.observe();
        }
    }

    /// How the answer to a write is kept for its `Idempotency-Key`: rendered, then sealed.
    fn keeping<'a, T>(
        &'a self,
        answer: impl Fn(&T) -> Reply + Send + Sync + 'a,
    ) -> impl Fn(&T) -> Vec<u8> + Send + Sync + 'a {
        move |value| self.tokens.seal(&answer(value).to_bytes())
    }
}

/// Makes every series that can be known at start.
fn prime() {
    protection::prime_rate_limits(rate_limit::POLICIES, rate_limit::OUTCOMES);
    protection::prime_requests(auth::METHODS, auth::OUTCOMES);
    protection::prime_secret_keys();
}

/// The whole public surface.
pub fn router(api: Api) -> Router {
    let (router, _) = routes::table();
    let router = router.merge(docs::routes()).fallback(not_found);
    layered(router, &api).with_state(api)
}

/// The layers, numbered from the outside. Each layer of axum's copies all that lie within it for each request, so those of our own
/// are two: one outside of compression and one inside, of plain functions that call one another.
fn layered(router: Router<Api>, api: &Api) -> Router<Api> {
    let router = router.layer(from_fn_with_state(api.clone(), inner));
    // 5. gzip, br or zstd. Answers with a strong ETag are left alone: a strong validator may not stand for two encodings
    //    (RFC 9110 §8.8.3.3), and a weak one would be no good for If-Match.
    let plain = DefaultPredicate::new().and(
        |_: StatusCode, _, headers: &http::HeaderMap, _: &http::Extensions| {
            !headers.contains_key(header::ETAG)
        },
    );
    let router = router.layer(
        CompressionLayer::new()
            .quality(CompressionLevel::Fastest)
            .compress_when(plain),
    );
    // 4. Other origins, if any are configured. Preflights end here.
    let router = match headers::cors(&api.cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(from_fn_with_state(api.clone(), outer))
}

/// 1. Ids, span, metrics, the log line; panics and clients that go away.
/// 2. Who is at the other end.
/// 3. Security headers, on refusals from further in as well.
async fn outer(State(api): State<Api>, request: Request, next: Next) -> Response {
    let api = &api;
    observe::observe(api, request, |request| {
        client::identify(api, request, |request| {
            headers::secure(api, request, |request| next.run(request))
        })
    })
    .await
}

/// 6. How many may be at it. Outside the deadline, so that a refusal costs nothing.
/// 7. How long it may take, waiting for the database included.
/// 8. How much may be sent.
/// 9. Who is asking. A bad token is refused by the handler that needs one, so that a login with a stale one still works.
/// 10. How often one caller may ask; after authentication, whose result is the key.
/// 11. The same POST twice is done once. Innermost, because it needs the caller and counts as a request.
/// 12. Problem documents for what axum itself refuses.
async fn inner(State(api): State<Api>, request: Request, next: Next) -> Response {
    let api = &api;
    guard::bound_in_flight(api, request, |request| {
        guard::bound_time(api, request, |request| {
            guard::bound_body(api, request, |request| {
                authenticate(api, request, |request| {
                    rate_limit::limit(api, request, |request| {
                        idempotency::once(api, request, |request| async {
                            #[cfg(feature = "drills")]
                            crate::drills::obey(request.headers());
                            explain(next.run(request).await).await
                        })
                    })
                })
            })
        })
    })
    .await
}

async fn authenticate<F: Future<Output = Response>>(
    api: &Api,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let asked = Box::pin(api.principals.authenticate(request.headers()));
    let authentication = match asked.await {
        Ok(authentication) => authentication,
        Err(failure) => return Problem::of(&failure).into_response(),
    };
    let kind = match authentication {
        Authentication::Known(principal) => {
            protection::auth_attempted(principal.method(), "success");
            principal.kind()
        }
        Authentication::Refused(method) => {
            protection::auth_attempted(method, "failure");
            "anonymous"
        }
        Authentication::Anonymous => "anonymous",
    };
    scope::with_current(|scope| scope.set_principal(kind));
    request.extensions_mut().insert(authentication);
    next(request).await
}

async fn not_found() -> Problem {
    Problem::new(&problem_types::NOT_FOUND, "There is no such path.")
}

/// axum answers a wrong method, and the reference an unknown asset, without a word.
async fn explain(response: Response) -> Response {
    if response.headers().contains_key(header::CONTENT_TYPE) {
        return response;
    }
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers().get(header::ALLOW).cloned();
            let detail = "The path does not know this method.";
            Problem::new(&problem_types::METHOD_NOT_ALLOWED, detail)
                .allow(allow)
                .into_response()
        }
        StatusCode::NOT_FOUND => not_found().await.into_response(),
        _ => response,
    }
}
