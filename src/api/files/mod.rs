//! Files in and out of the API: attachments and avatars share what is here.

pub(super) mod content;
pub(super) mod digest;
mod image;
pub(super) mod media;
pub(super) mod names;
mod range;
pub(super) mod receive;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) use self::image::dimensions;
use super::{
    problem::{Problem, TYPES},
    problem_types as types,
};
use crate::{
    config::{Attachments, Avatars, Config},
    domain::file::Quota,
    storage::{self, Storage},
    telemetry::instruments,
};

/// What a file is, as the label `file` of the metrics.
pub(super) const KINDS: [&str; 2] = ["attachment", "avatar"];
/// How an upload ends that no problem document tells of.
const STORED: &str = "stored";
const CLIENT_GONE: &str = "client_gone";

/// The store of files, and what may be asked of it at once.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) storage: Storage,
    pub(super) attachments: Attachments,
    pub(super) avatars: Avatars,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

impl Files {
    pub(super) fn new(config: &Config, storage: Storage) -> Self {
        let codes = || {
            TYPES
                .iter()
                .map(|one| one.code)
                .filter(|code| REFUSALS.contains(code))
        };
        instruments::files::prime(
            &KINDS,
            &codes().chain([STORED, CLIENT_GONE]).collect::<Vec<_>>(),
            &content::OUTCOMES,
        );
        Self {
            storage,
            uploads: Arc::new(Semaphore::new(config.attachments.uploads_at_once)),
            downloads: Arc::new(Semaphore::new(config.attachments.downloads_at_once)),
            attachments: config.attachments.clone(),
            avatars: config.avatars.clone(),
        }
    }

    /// Most bytes that a request may bring, by its path; multipart has its boundaries and heads on top.
    pub(super) fn body_limit(&self, matched: &str) -> usize {
        if matched.ends_with("avatar") {
            self.avatars.max_size.bytes()
        } else {
            self.attachments.max_size.bytes().saturating_add(64 << 10)
        }
    }

    pub(super) fn quota(&self) -> Quota {
        let number = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        Quota {
            event_files: self.attachments.max_per_event.into(),
            event_bytes: number(self.attachments.event_quota.bytes()),
            user_bytes: number(self.attachments.user_quota.bytes()),
        }
    }

    /// A place among the uploads, each of which holds a part of its file in memory.
    pub(super) fn upload_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.uploads, "Too many files are being uploaded.")
    }

    /// A place among the downloads, which go on after the request is answered.
    pub(super) fn download_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.downloads, "Too many files are being downloaded.")
    }
}

fn place(places: &Arc<Semaphore>, detail: &'static str) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(places)
        .try_acquire_owned()
        .map_err(|_| Problem::new(&types::OVERLOADED, detail))
}

/// The problems that an upload can end in.
const REFUSALS: [&str; 18] = [
    "active_content",
    "body_timeout",
    "body_too_large",
    "database_unavailable",
    "digest_mismatch",
    "forbidden",
    "internal_error",
    "invalid_header",
    "malformed_multipart",
    "media_type_mismatch",
    "not_found",
    "overloaded",
    "quota_exceeded",
    "stale_version",
    "storage_unavailable",
    "too_many_attachments",
    "unsupported_media_type",
    "validation_failed",
];

/// Counts how an upload ends, also when its client goes away.
#[derive(Debug)]
pub(super) struct Counted {
    kind: &'static str,
    done: bool,
}

impl Counted {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, done: false }
    }

    pub(super) fn end<T>(mut self, result: Result<T, Problem>) -> Result<T, Problem> {
        self.done = true;
        let outcome = match &result {
            Ok(_) => STORED,
            Err(problem) => problem.code(),
        };
        instruments::files::uploaded(self.kind, outcome);
        result
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.done {
            instruments::files::uploaded(self.kind, CLIENT_GONE);
        }
    }
}

impl From<storage::Error> for Problem {
    fn from(failure: storage::Error) -> Self {
        tracing::warn!(error = %failure, "the store of files failed");
        Self::new(
            &types::STORAGE_UNAVAILABLE,
            "The store of files does not answer as it should; nothing was changed.",
        )
    }
}
