//! Reading from the store before this one, while its files are being moved.

use std::future::Future;

use super::{Error, Reason, Storage};
use crate::telemetry::instruments;

/// Reads from the store, else from the one before it. A file may be moved between the two looks: then it is in the first by now.
pub(super) async fn read<'a, T, F>(
    storage: &'a Storage,
    look: impl Fn(&'a Storage) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let missing = |found: &Result<T, Error>| {
        found
            .as_ref()
            .is_err_and(|failure| failure.reason() == Reason::NotFound)
    };
    let found = look(storage).await;
    let Some(fallback) = &storage.0.fallback else {
        return found;
    };
    if !missing(&found) {
        return found;
    }
    let there = look(fallback).await;
    if missing(&there) {
        return look(storage).await;
    }
    if there.is_ok() {
        instruments::storage::fallback_read(fallback.kind());
    }
    there
}
