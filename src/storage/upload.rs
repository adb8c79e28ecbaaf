//! Writing a file in parts, so that only one is in memory.

use std::mem;

use axum::body::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};

use super::error::Error;
use super::observed::Call;
use super::{Duration, Storage};
use crate::telemetry::instruments;

/// A file being written. It holds one part in memory, sends it when it is full, and waits for that before it takes more: a store
/// that is slower than the client slows the client down.
#[derive(Debug)]
#[must_use = "nothing is written until it is finished"]
pub struct Upload {
    storage: Storage,
    path: Path,
    part: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
    size: u64,
}

impl Upload {
    pub(super) const fn new(storage: Storage, path: Path) -> Self {
        Self {
            storage,
            path,
            part: Vec::new(),
            parts: None,
            size: 0,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the store does not take a part; the upload is lost then.
    pub async fn write(&mut self, mut content: &[u8]) -> Result<(), Error> {
        let full = self.storage.0.part_bytes;
        while !content.is_empty() {
            // The last part may go without the ceremony if it is the only one, so a full one waits for what follows it.
            if self.part.len() == full {
                self.send_part().await?;
            }
            let room = full - self.part.len();
            let (now, later) = content.split_at(room.min(content.len()));
            self.part.extend_from_slice(now);
            self.size += now.len() as u64;
            content = later;
        }
        Ok(())
    }

    /// Makes the file appear, and answers its size in bytes.
    ///
    /// # Errors
    /// When the store does not take it; there is no file then.
    pub async fn finish(mut self) -> Result<u64, Error> {
        if self.parts.is_some() {
            self.send_part().await?;
            // Taken back when it fails, so that it is aborted.
            if let Some(mut parts) = self.parts.take() {
                let done = Call::start(&self.storage, "complete")
                    .run(parts.complete())
                    .await;
                if let Err(failure) = done {
                    self.parts = Some(parts);
                    return Err(failure);
                }
            }
        } else {
            let content = PutPayload::from(Bytes::from(mem::take(&mut self.part)));
            let call = Call::start(&self.storage, "put");
            call.run(self.storage.0.store.put(&self.path, content))
                .await?;
        }
        instruments::storage::transferred(self.storage.kind(), "written", self.size);
        Ok(self.size)
    }

    async fn send_part(&mut self) -> Result<(), Error> {
        if self.parts.is_none() {
            let call = Call::start(&self.storage, "begin_parts");
            let begun = call
                .run(self.storage.0.store.put_multipart(&self.path))
                .await?;
            self.parts = Some(begun);
        }
        let empty = Vec::with_capacity(self.storage.0.part_bytes);
        let part = Bytes::from(mem::replace(&mut self.part, empty));
        if let Some(parts) = &mut self.parts {
            let call = Call::start(&self.storage, "put_part");
            call.run(parts.put_part(PutPayload::from(part))).await?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else {
            return;
        };
        // Whoever writes may be gone, with its future: the parts are given up beside it. When the process ends first, a folder
        // is swept by `sweep_unfinished`, a bucket by its lifecycle rule.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let storage = self.storage.clone();
        let limit = storage.0.timeout.min(Duration::from_secs(30));
        drop(runtime.spawn(async move {
            let abort = Call::start(&storage, "abort").run(parts.abort());
            // Observed by the call; there is nobody left to tell.
            let _ = tokio::time::timeout(limit, abort).await;
        }));
    }
}
