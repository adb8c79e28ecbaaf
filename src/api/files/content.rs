//! Giving a file out: whole or a range of it, never as something that a browser would run.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{Files, digest, names, range};
use crate::{
    api::{
        conditional::fresh,
        problem::Problem,
        problem_types as types,
        reply::{Reply, http_date},
    },
    domain::file::Blob,
    storage::Presented,
    telemetry::instruments,
};

/// How a download ends, as far as its head tells.
pub(super) const OUTCOMES: [&str; 4] = ["partial", "redirected", "unchanged", "whole"];

/// Nothing in a file may run, whatever it turns out to be and wherever it is shown.
const SANDBOX: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

/// A file about to be given out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    /// `attachment` or `avatar`.
    pub kind: &'static str,
    /// Its bytes.
    pub blob: &'a Blob,
    /// When it was made.
    pub modified: jiff::Timestamp,
    /// What it is saved as.
    pub name: &'a str,
    /// `attachment`, or `inline` for a picture.
    pub disposition: &'static str,
}

/// The strong validator of a file: its checksum.
pub(crate) fn tag(blob: &Blob) -> String {
    digest::hex(&blob.sha256)
}

/// Answers GET and HEAD.
pub(crate) async fn give(
    files: &Files,
    method: &Method,
    headers: &HeaderMap,
    given: Given<'_>,
) -> Result<Response, Problem> {
    let blob = given.blob;
    let (tag, size) = (tag(blob), u64::try_from(blob.size).unwrap_or_default());
    let known = fresh(headers, &tag, given.modified, || {
        Reply::empty(StatusCode::OK)
    })?;
    if known.status() == StatusCode::NOT_MODIFIED {
        instruments::files::downloaded(given.kind, "unchanged");
        return Ok(known.into_response());
    }
    let disposition = names::disposition(given.disposition, given.name);
    let modified = http_date(given.modified);
    let read = *method != Method::HEAD;
    if read && files.attachments.redirect && given.kind == "attachment" {
        let presented = Presented {
            disposition: &disposition,
            media_type: &blob.media_type,
        };
        let ttl = files.attachments.redirect_ttl;
        if let Some(url) = files
            .storage
            .signed_url(&blob.storage_key, ttl, presented)
            .await?
        {
            instruments::files::downloaded(given.kind, "redirected");
            let reply = Reply::empty(StatusCode::TEMPORARY_REDIRECT)
                .with(header::LOCATION, url)
                .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return Ok(reply.into_response());
        }
    }
    // A HEAD has no range (RFC 9110 §14.2).
    let wanted = if read {
        range::wanted(headers, size, &tag, &modified)
    } else {
        range::Wanted::Whole
    };
    let (status, part) = match wanted {
        range::Wanted::Whole => (StatusCode::OK, 0..size),
        range::Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        range::Wanted::Nothing => {
            let detail = format!("The file has {size} bytes.");
            let mut response = Problem::new(&types::RANGE_NOT_SATISFIABLE, detail).into_response();
            let range = HeaderValue::try_from(format!("bytes */{size}"));
            response
                .headers_mut()
                .extend(range.ok().map(|range| (header::CONTENT_RANGE, range)));
            return Ok(response);
        }
    };
    let body = if read {
        body(files, given, part.clone()).await?
    } else {
        Body::empty()
    };
    let mut response = (status, body).into_response();
    let mut set = |name: header::HeaderName, value: &str| {
        let value = HeaderValue::try_from(value);
        response
            .headers_mut()
            .extend(value.ok().map(|value| (name, value)));
    };
    set(header::CONTENT_TYPE, &blob.media_type);
    set(header::CONTENT_DISPOSITION, &disposition);
    set(header::CONTENT_LENGTH, &(part.end - part.start).to_string());
    set(header::CONTENT_SECURITY_POLICY, SANDBOX);
    set(header::ACCEPT_RANGES, "bytes");
    set(header::ETAG, &format!("\"{tag}\""));
    set(header::LAST_MODIFIED, &modified);
    set(header::CACHE_CONTROL, "private, no-cache");
    set(
        header::HeaderName::from_static("repr-digest"),
        &digest::written(&blob.sha256),
    );
    if status == StatusCode::PARTIAL_CONTENT {
        set(
            header::CONTENT_RANGE,
            &format!("bytes {}-{}/{size}", part.start, part.end - 1),
        );
    }
    Ok(response)
}

/// The bytes as a stream. A store that fails in the middle cuts the connection, so that nobody takes a part for the whole.
async fn body(
    files: &Files,
    given: Given<'_>,
    part: std::ops::Range<u64>,
) -> Result<Body, Problem> {
    let place = files.download_place()?;
    let whole = part == (0..u64::try_from(given.blob.size).unwrap_or_default());
    instruments::files::downloaded(given.kind, if whole { "whole" } else { "partial" });
    if part.is_empty() {
        return Ok(Body::empty());
    }
    let range = (!whole).then_some(part);
    let download = files.storage.get(&given.blob.storage_key, range).await?;
    let pieces = download.into_stream().map(move |piece| {
        let _held = &place;
        piece.inspect_err(|failure| {
            tracing::warn!(error = %failure, "a download broke off");
        })
    });
    Ok(Body::from_stream(pieces))
}
