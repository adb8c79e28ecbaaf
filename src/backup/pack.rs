//! Writes a backup: piece by piece, out of a thread that blocks, into a channel that the place of backups empties.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};

use axum::body::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::Error;
use super::container::{DATABASE, FILES, MANIFEST, Pieces, SEALED, Summed, finish, hex, member};
use super::files::{Blob, Blobs};
use super::manifest::{Content, Files, Manifest};
use super::tools::Running;
use crate::config::Recipient;

/// Bytes handed over at once.
const PIECE: usize = 256 << 10;
/// Zstandard's own default: beyond it each step costs far more time than it saves space.
const LEVEL: i32 = 3;

/// Where the database's content comes from.
pub(super) enum Source {
    /// A copy of SQLite's file.
    File(PathBuf),
    /// What `pg_dump` prints.
    Dump(Command),
}

/// The writing end of a channel.
pub(super) struct Channel {
    sender: mpsc::Sender<Bytes>,
    piece: Vec<u8>,
}

impl Channel {
    pub(super) fn new(sender: mpsc::Sender<Bytes>) -> Self {
        Self {
            sender,
            piece: Vec::with_capacity(PIECE),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        // Nobody takes it any more: the upload failed, or the whole was given up.
        self.sender
            .blocking_send(piece.into())
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            Ok(())
        } else {
            self.send()
        }
    }
}

/// Writes everything but the checksum. The manifest comes in without what is only known at the end.
pub(super) fn pack(
    mut out: Channel,
    source: Source,
    blobs: Blobs,
    manifest: Manifest,
    recipients: &[Recipient],
) -> Result<Manifest, Error> {
    let manifest = if recipients.is_empty() {
        content(&mut out, source, blobs, manifest)?
    } else {
        let keys = recipients
            .iter()
            .map(|one| one.key() as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(keys).map_err(|failure| {
            Error::Refused(format!("the backup cannot be encrypted: {failure}"))
        })?;
        let mut pieces = Pieces::new(&mut out, SEALED);
        let mut sealed = encryptor.wrap_output(&mut pieces).map_err(handed_on)?;
        let manifest = content(&mut sealed, source, blobs, manifest)?;
        finish(&mut sealed).map_err(handed_on)?;
        sealed.finish().map_err(handed_on)?;
        pieces.finish().map_err(handed_on)?;
        manifest
    };
    out.flush().map_err(handed_on)?;
    Ok(manifest)
}

fn content<W: Write>(
    out: &mut W,
    source: Source,
    blobs: Blobs,
    mut manifest: Manifest,
) -> Result<Manifest, Error> {
    manifest.database = match source {
        Source::File(path) => {
            let file =
                std::fs::File::open(&path).map_err(Error::disk("the copy of the database"))?;
            database(out, file)?
        }
        Source::Dump(mut command) => {
            command.stdout(Stdio::piped());
            let mut dump = Running::start("pg_dump", command)?;
            let printed: Option<ChildStdout> = dump.child.stdout.take();
            let printed =
                printed.ok_or_else(|| Error::Tool("pg_dump prints nothing".to_owned()))?;
            let found = database(out, printed);
            // Its own words say more than an end that came too early; a place that fails ends it.
            if found.is_err() {
                drop(dump);
            } else {
                dump.finish()?;
            }
            found?
        }
    };
    manifest.files = files(out, blobs)?;
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|failure| Error::Refused(format!("the manifest cannot be written: {failure}")))?;
    member(out, MANIFEST, text.len() as u64, &mut text.as_slice()).map_err(handed_on)?;
    Ok(manifest)
}

fn database<W: Write>(out: &mut W, content: impl Read) -> Result<Content, Error> {
    let mut content = Summed::new(content);
    let pieces = Pieces::new(out, DATABASE);
    let mut encoder = zstd::stream::write::Encoder::new(pieces, LEVEL).map_err(handed_on)?;
    let mut buffer = vec![0; PIECE];
    loop {
        let count = content
            .read(&mut buffer)
            .map_err(Error::disk("the copy of the database cannot be read"))?;
        if count == 0 {
            break;
        }
        encoder.write_all(&buffer[..count]).map_err(handed_on)?;
    }
    let pieces = encoder.finish().map_err(handed_on)?;
    pieces.finish().map_err(handed_on)?;
    Ok(content.sum.content())
}

fn files<W: Write>(out: &mut W, mut blobs: Blobs) -> Result<Files, Error> {
    let (mut total, mut list) = (Files::default(), Sha256::new());
    while let Some(blob) = blobs.next()? {
        let (row, content) = match blob {
            Blob::Found(row, content) => (row, content),
            Blob::Missing(row) => {
                total.fault(&row.key);
                continue;
            }
        };
        let size = content.size;
        let mut content = Summed::new(content);
        let name = format!("{FILES}/{}", row.key);
        member(out, &name, size, &mut content).map_err(|failure| {
            Error::Disk(format!("the file {} cannot be copied", row.key), failure)
        })?;
        let found = content.sum.content();
        if found.sha256 != hex(&row.sha256) {
            total.fault(&row.key);
        }
        total.count += 1;
        total.bytes += found.bytes;
        list.update(line(&found.sha256, &row.key));
    }
    total.sha256 = hex(&list.finalize());
    Ok(total)
}

/// A file's line in the list of all, as `sha256sum` writes one.
pub(super) fn line(sha256: &str, key: &str) -> String {
    format!("{sha256}  {key}\n")
}

/// The channel's other end is gone, and knows why.
fn handed_on(failure: io::Error) -> Error {
    Error::Disk("the backup cannot be written".to_owned(), failure)
}
