//! Security headers on every answer, and the rules for other origins.

use std::time::Duration;

use axum::{extract::Request, response::Response};
use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::client::Client;
use crate::{api::Api, config::CorsOrigin};

/// Data may load nothing and be framed by nobody.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// The reference loads its own scripts and styles; the interface it is made of sets styles from script.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Two years.
const HSTS: &str = "max-age=63072000; includeSubDomains";

/// Adds the headers. HSTS only over TLS: elsewhere browsers must ignore it (RFC 6797 §7.2).
pub(crate) async fn secure<F: Future<Output = Response>>(
    api: &Api,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let docs = request.uri().path().starts_with("/docs");
    let tls = api.hsts
        && request
            .extensions()
            .get::<Client>()
            .is_some_and(|client| client.tls);
    let mut response = next(request).await;
    let headers = response.headers_mut();
    let policy = if docs { DOCS_POLICY } else { DATA_POLICY };
    // A file brings a stricter one.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(policy));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    if tls {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(HSTS),
        );
    }
    response
}

/// The rules for the configured origins; none configured, none allowed. Credentials in the browser's sense (cookies) are not
/// used: tokens travel in a header.
pub(crate) fn cors(origins: &[CorsOrigin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let names = |names: &'static [&'static str]| {
        names
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect::<Vec<_>>()
    };
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| origin.as_str().parse().ok())
        .collect();
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(names(&[
            "authorization",
            "content-digest",
            "content-disposition",
            "content-type",
            "idempotency-key",
            "if-match",
            "if-none-match",
            "if-range",
            "range",
            "repr-digest",
            "traceparent",
            "tracestate",
            "x-request-id",
        ]))
        .expose_headers(names(&[
            "accept-ranges",
            "content-disposition",
            "content-range",
            "etag",
            "idempotency-replayed",
            "last-modified",
            "link",
            "location",
            "ratelimit",
            "ratelimit-policy",
            "repr-digest",
            "retry-after",
            "traceresponse",
            "x-request-id",
        ]))
        .max_age(Duration::from_hours(1));
    Some(layer)
}
