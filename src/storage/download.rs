//! Reading a file as a stream, so that only a piece of it is in memory.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use axum::body::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, stream};
use object_store::{GetResult, GetResultPayload};

use super::Storage;
use super::error::Error;
use super::observed::failed;
use crate::telemetry::instruments;

/// Bytes read from a disk at once; the crate's own stream reads 8 KiB.
const PIECE: u64 = 128 << 10;

/// A file being read.
#[must_use = "nothing is read until its stream is"]
pub struct Download {
    storage: Storage,
    size: u64,
    range: Range<u64>,
    pieces: BoxStream<'static, object_store::Result<Bytes>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Download({:?} of {} bytes)", self.range, self.size)
    }
}

impl Download {
    pub(super) fn new(storage: Storage, found: GetResult) -> Self {
        let (size, range) = (found.meta.size, found.range.clone());
        let pieces = match found.payload {
            GetResultPayload::File(file, _) => from_disk(file, range.clone()).boxed(),
            GetResultPayload::Stream(pieces) => pieces,
        };
        Self {
            storage,
            size,
            range,
            pieces,
        }
    }

    /// The size of the whole file in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What of it is read.
    pub const fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// The bytes, in order. An error ends the stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let storage = self.storage;
        self.pieces.map(move |piece| match piece {
            Ok(piece) => {
                instruments::storage::transferred(storage.kind(), "read", piece.len() as u64);
                Ok(piece)
            }
            Err(failure) => Err(failed(&storage, "get", &failure)),
        })
    }

    /// All bytes at once, for a file known to be small.
    ///
    /// # Errors
    /// When the store fails in the middle.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let mut all = Vec::new();
        let mut pieces = std::pin::pin!(self.into_stream());
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.into())
    }
}

fn from_disk(
    file: File,
    range: Range<u64>,
) -> impl Stream<Item = object_store::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, range), |(file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || piece(file, range)).await?;
        read.map(Some)
            .map_err(|failure| object_store::Error::Generic {
                store: "LocalFileSystem",
                source: failure.into(),
            })
    })
}

fn piece(mut file: File, range: Range<u64>) -> std::io::Result<(Bytes, (File, Range<u64>))> {
    let wanted = PIECE.min(range.end - range.start);
    let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
    file.seek(SeekFrom::Start(range.start))?;
    if file.by_ref().take(wanted).read_to_end(&mut piece)? as u64 != wanted {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let rest = range.start + wanted..range.end;
    Ok((piece.into(), (file, rest)))
}
