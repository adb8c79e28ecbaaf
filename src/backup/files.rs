//! The uploaded files that a snapshot names, one after the other.
//!
//! A file is deleted only a good while after its last row, so those that the snapshot names are still there when they are
//! copied after it.

use std::collections::VecDeque;
use std::io::{self, Read};

use axum::body::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::runtime::Handle;

use super::Error;
use crate::storage::{self, Reason, Storage};
use crate::store::{Aside, FileRow};

/// The files of a snapshot, read from a thread that may block.
pub(super) struct Blobs {
    runtime: Handle,
    rows: Aside,
    storage: Storage,
    page: VecDeque<FileRow>,
    after: String,
    ended: bool,
}

/// One of them, or what is left of it.
pub(super) enum Blob {
    /// It is there.
    Found(FileRow, Content),
    /// The storage does not have it.
    Missing(FileRow),
}

impl Blobs {
    /// Those that these rows name, in this storage.
    pub(super) fn new(rows: Aside, storage: Storage) -> Self {
        Self {
            runtime: Handle::current(),
            rows,
            storage,
            page: VecDeque::new(),
            after: String::new(),
            ended: false,
        }
    }

    /// The next one, in the order of the keys.
    pub(super) fn next(&mut self) -> Result<Option<Blob>, Error> {
        if self.page.is_empty() && !self.ended {
            let page = self.rows.files_after(&self.after);
            self.page = self.runtime.block_on(page)?.into();
            self.ended = self.page.is_empty();
        }
        let Some(row) = self.page.pop_front() else {
            return Ok(None);
        };
        self.after.clone_from(&row.key);
        match self.runtime.block_on(self.storage.get(&row.key, None)) {
            Ok(download) => Ok(Some(Blob::Found(
                row,
                Content {
                    size: download.size(),
                    runtime: self.runtime.clone(),
                    stream: download.into_stream().boxed(),
                    piece: Bytes::new(),
                },
            ))),
            Err(failure) if failure.reason() == Reason::NotFound => Ok(Some(Blob::Missing(row))),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// The content of a stored file, read from a thread that may block.
pub(super) struct Content {
    /// Its size in bytes.
    pub(super) size: u64,
    runtime: Handle,
    stream: BoxStream<'static, Result<Bytes, storage::Error>>,
    piece: Bytes,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
            }
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
