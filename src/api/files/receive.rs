//! Taking in a file: its bytes go to the store as they come, and are judged, counted and hashed on the way.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::multipart::{Field, Multipart, MultipartError};
use futures_util::StreamExt as _;
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{digest, media, names};
use crate::{
    api::{extract::is_too_large, problem::Problem, problem_types as types},
    config::MediaRange,
    domain::file::Blob,
    storage::Storage,
    telemetry::scope,
};

/// Bytes that must come in each period of patience.
const PROGRESS: usize = 32 << 10;

/// Where the bytes of one file come from.
pub(crate) enum Source<'a> {
    /// The body itself.
    Raw(BodyDataStream),
    /// A part of a form.
    Part(Box<Field<'a>>),
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

/// What a client says of a file before it sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Cleaned.
    pub name: String,
    /// The media type, as it was written.
    pub media_type: Option<String>,
    /// SHA-256.
    pub digests: Vec<Vec<u8>>,
}

impl Announced {
    /// From the headers of a request, or of a part.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = |name: &http::HeaderName| {
            let value = headers.get(name)?;
            // Old clients send a name in UTF-8 as it is.
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let name = text(&header::CONTENT_DISPOSITION).and_then(|value| names::read(&value));
        let digests = digest::claimed(headers).map_err(|field| {
            let detail =
                format!("{field} is a dictionary such as `sha-256=:…:` with 32 bytes in base64.");
            Problem::new(&types::INVALID_HEADER, detail)
        })?;
        Ok(Self {
            name: names::clean(name.as_deref().unwrap_or_default()),
            media_type: text(&header::CONTENT_TYPE),
            digests,
        })
    }
}

/// What is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// Largest file.
    pub max: usize,
    /// Bytes left of the quota.
    pub room: usize,
    /// Media types.
    pub types: &'a [MediaRange],
    /// Time in which [`PROGRESS`] must be made.
    pub patience: Duration,
}

/// Asks for the next bytes, and no longer than the client makes progress.
struct Reader<'a> {
    source: Source<'a>,
    patience: Duration,
    deadline: Instant,
    since: usize,
}

impl Reader<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let _doing = scope::doing("body");
        let read = async {
            match &mut self.source {
                Source::Raw(body) => body
                    .next()
                    .await
                    .transpose()
                    .map_err(|failure| cut_off(&failure)),
                Source::Part(field) => field.chunk().await.map_err(|failure| malformed(&failure)),
            }
        };
        let Ok(read) = tokio::time::timeout_at(self.deadline, read).await else {
            return Err(too_slow());
        };
        let piece = read?;
        self.since += piece.as_ref().map_or(0, Bytes::len);
        if self.since >= PROGRESS {
            self.since = 0;
            self.deadline = Instant::now() + self.patience;
        }
        Ok(piece)
    }
}

/// Writes a file to the store under this key; it is there when this has answered, and not otherwise.
pub(crate) async fn receive(
    storage: &Storage,
    key: String,
    announced: &Announced,
    source: Source<'_>,
    rules: Rules<'_>,
) -> Result<Blob, Problem> {
    let mut reader = Reader {
        source,
        patience: rules.patience,
        deadline: Instant::now() + rules.patience,
        since: 0,
    };
    let mut head = Vec::new();
    let mut ended = false;
    while head.len() < media::HEAD && !ended {
        match reader.next().await? {
            Some(piece) => head.extend_from_slice(&piece),
            None => ended = true,
        }
        check_size(head.len(), rules)?;
    }
    let media_type = judged(announced.media_type.as_deref(), &head, |kind| {
        rules.types.iter().any(|range| range.holds(kind))
    })?;
    let mut upload = storage.upload(&key)?;
    let mut hash = Sha256::new();
    let mut size = head.len();
    hash.update(&head);
    upload.write(&head).await?;
    drop(head);
    while let Some(piece) = reader.next().await? {
        size += piece.len();
        check_size(size, rules)?;
        hash.update(&piece);
        let began = Instant::now();
        upload.write(&piece).await?;
        // What the store took is no time that the client wasted.
        reader.deadline += began.elapsed();
    }
    let sha256 = hash.finalize().to_vec();
    check_digests(announced, &sha256)?;
    upload.finish().await?;
    Ok(Blob {
        storage_key: key,
        media_type,
        size: i64::try_from(size).unwrap_or(i64::MAX),
        sha256,
    })
}

/// A small file as a whole, in memory.
pub(crate) async fn read_small(
    body: Body,
    max: usize,
    patience: Duration,
) -> Result<Vec<u8>, Problem> {
    let mut reader = Reader {
        source: Source::Raw(body.into_data_stream()),
        patience,
        deadline: Instant::now() + patience,
        since: 0,
    };
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await? {
        if all.len() + piece.len() > max {
            return Err(too_large(max));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// The media type that a file is kept under, if it is taken.
pub(crate) fn judged(
    declared: Option<&str>,
    head: &[u8],
    allowed: impl Fn(&str) -> bool,
) -> Result<String, Problem> {
    let kept = media::judge(declared, &head[..head.len().min(media::HEAD)]).map_err(|refused| {
        match refused {
            _ if is_form(declared) => a_form(),
            media::Refused::Malformed => Problem::new(
                &types::INVALID_HEADER,
                "Content-Type is a media type such as image/png.",
            ),
            media::Refused::Active => Problem::new(
                &types::ACTIVE_CONTENT,
                "A browser would run this file: HTML, SVG, XML and scripts are not taken.",
            ),
            media::Refused::Mismatch => Problem::new(
                &types::MEDIA_TYPE_MISMATCH,
                "The file is not of the media type that it is sent as.",
            ),
        }
    })?;
    if allowed(&kept) {
        Ok(kept)
    } else if is_form(declared) {
        Err(a_form())
    } else {
        Err(Problem::new(
            &types::UNSUPPORTED_MEDIA_TYPE,
            format!("Files of type {kept} are not taken here."),
        ))
    }
}

/// Whether it came as the form that `curl -F` sends, or as what `curl --data-binary` says when it is told nothing.
fn is_form(declared: Option<&str>) -> bool {
    let declared = declared
        .unwrap_or_default()
        .trim_start()
        .to_ascii_lowercase();
    declared.starts_with("multipart/form-data")
        || declared.starts_with("application/x-www-form-urlencoded")
}

fn a_form() -> Problem {
    Problem::new(
        &types::UNSUPPORTED_MEDIA_TYPE,
        "A form is not taken here: send the bytes of the file themselves, with the Content-Type that it has, such as image/png.",
    )
}

pub(crate) fn check_digests(announced: &Announced, sha256: &[u8]) -> Result<(), Problem> {
    if announced.digests.iter().all(|claim| claim == sha256) {
        return Ok(());
    }
    Err(Problem::new(
        &types::DIGEST_MISMATCH,
        "What arrived does not have the SHA-256 that was announced.",
    ))
}

/// Refuses what is too large as soon as that is known.
pub(crate) fn check_size(size: usize, rules: Rules<'_>) -> Result<(), Problem> {
    if size > rules.max {
        return Err(too_large(rules.max));
    }
    if size > rules.room {
        return Err(Problem::new(
            &types::QUOTA_EXCEEDED,
            format!("{} bytes are left for files.", rules.room),
        ));
    }
    Ok(())
}

fn too_large(max: usize) -> Problem {
    Problem::new(
        &types::BODY_TOO_LARGE,
        format!("A file may have {max} bytes."),
    )
}

fn too_slow() -> Problem {
    Problem::new(&types::BODY_TIMEOUT, "The file comes too slowly.")
}

fn cut_off(failure: &axum::Error) -> Problem {
    if is_too_large(failure) {
        return Problem::new(
            &types::BODY_TOO_LARGE,
            "The file is larger than the service accepts.",
        );
    }
    Problem::new(&types::MALFORMED_MULTIPART, "The body ended early.")
}

fn malformed(failure: &MultipartError) -> Problem {
    if failure.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(
            &types::BODY_TOO_LARGE,
            "The file is larger than the service accepts.",
        );
    }
    Problem::new(
        &types::MALFORMED_MULTIPART,
        "The form is not well-formed, or ended early.",
    )
}

/// The part `file` of a form, which has to come first.
pub(crate) async fn file_part(
    form: &mut Multipart,
    patience: Duration,
) -> Result<Field<'_>, Problem> {
    let part = tokio::time::timeout(patience, form.next_field()).await;
    let part = part
        .map_err(|_| too_slow())?
        .map_err(|failure| malformed(&failure))?;
    part.filter(|part| part.name() == Some("file"))
        .ok_or_else(|| {
            Problem::new(
                &types::MALFORMED_MULTIPART,
                "The form has one part, whose name is `file`.",
            )
        })
}

/// Makes sure that the form is over.
pub(crate) async fn no_more_parts(form: &mut Multipart, patience: Duration) -> Result<(), Problem> {
    let part = tokio::time::timeout(patience, form.next_field()).await;
    match part
        .map_err(|_| too_slow())?
        .map_err(|failure| malformed(&failure))?
    {
        None => Ok(()),
        Some(_) => Err(Problem::new(
            &types::MALFORMED_MULTIPART,
            "The form has one part, whose name is `file`.",
        )),
    }
}
