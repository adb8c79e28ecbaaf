//! The page and its parts, compiled in: nothing is loaded from anywhere else.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::OpsState;

/// Only what the page itself serves, nothing inline, and nobody frames it (Content Security Policy Level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Asset {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: &[Asset] = &[
    Asset {
        path: "/",
        media_type: "text/html; charset=utf-8",
        text: include_str!("page/index.html"),
    },
    Asset {
        path: "/console/console.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("page/console.css"),
    },
    Asset {
        path: "/console/main.js",
        media_type: SCRIPT,
        text: include_str!("page/main.js"),
    },
    Asset {
        path: "/console/charts.js",
        media_type: SCRIPT,
        text: include_str!("page/charts.js"),
    },
    Asset {
        path: "/console/panels.js",
        media_type: SCRIPT,
        text: include_str!("page/panels.js"),
    },
    Asset {
        path: "/console/traces.js",
        media_type: SCRIPT,
        text: include_str!("page/traces.js"),
    },
    Asset {
        path: "/console/format.js",
        media_type: SCRIPT,
        text: include_str!("page/format.js"),
    },
    Asset {
        path: "/console/icon.svg",
        media_type: "image/svg+xml",
        text: include_str!("page/icon.svg"),
    },
];

/// One tag for all: they only work together.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for asset in ASSETS {
        digest.update(asset.text);
    }
    let mut tag = String::from("\"");
    for byte in digest.finalize().iter().take(12) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
});

pub(super) fn routes() -> Router<OpsState> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(
            asset.path,
            get(move |headers: HeaderMap| async move { serve(asset, &headers) }),
        )
    })
}

/// Asked again each time, because a new build has a new page, and answered without a body when nothing has changed.
fn serve(asset: &Asset, asked: &HeaderMap) -> Response {
    let known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|tag| tag.to_str().ok());
    let mut response = if known.is_some_and(|known| known.contains(TAG.as_str())) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.media_type)], asset.text).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&TAG) {
        headers.insert(header::ETAG, tag);
    }
    response
}
