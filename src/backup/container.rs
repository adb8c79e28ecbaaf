//! The container: a tar archive whose last member is the checksum of everything before it.
//!
//! The end of the file, from that member's header on, follows from the checksum alone. So a reader computes what the end
//! must be, and there is no bit in the file whose change it would not notice.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::manifest::Content;

const BLOCK: usize = 512;
/// The checksum's header, its content and the two empty blocks that end an archive.
pub(super) const TAIL: usize = 4 * BLOCK;
/// Bytes of a numbered piece: what the packer holds in memory.
pub(super) const PIECE: usize = 4 << 20;

/// The folder of the database's pieces, in order one Zstandard stream.
pub(super) const DATABASE: &str = "database";
/// The folder of an encrypted backup's pieces, in order one age file with an archive in it.
pub(super) const SEALED: &str = "sealed";
/// The folder of uploaded files, under their keys.
pub(super) const FILES: &str = "files";
/// The member that says what must be there.
pub(super) const MANIFEST: &str = "manifest.json";
const CHECKSUM: &str = "SHA256";

fn header(name: &str, size: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// Writes a member; its content must be of the size that was announced.
pub(super) fn member(
    out: &mut impl Write,
    name: &str,
    size: u64,
    content: &mut impl Read,
) -> io::Result<()> {
    out.write_all(header(name, size)?.as_bytes())?;
    let copied = io::copy(&mut content.take(size), out)?;
    if copied != size {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{name} ended after {copied} of {size} bytes"),
        ));
    }
    out.write_all(&[0; BLOCK][..padding(size)])
}

/// Writes the end of an archive within another.
pub(super) fn finish(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

/// The end of a file whose bytes before it have this checksum.
pub(super) fn tail(checksum: &str) -> io::Result<Vec<u8>> {
    let text = format!("{checksum}\n");
    let mut tail = Vec::with_capacity(TAIL);
    member(&mut tail, CHECKSUM, text.len() as u64, &mut text.as_bytes())?;
    finish(&mut tail)?;
    Ok(tail)
}

/// Cuts a stream into numbered members, holding one in memory.
pub(super) struct Pieces<'a, W: Write> {
    out: &'a mut W,
    folder: &'static str,
    number: u64,
    piece: Vec<u8>,
}

impl<'a, W: Write> Pieces<'a, W> {
    pub(super) fn new(out: &'a mut W, folder: &'static str) -> Self {
        Self {
            out,
            folder,
            number: 0,
            piece: Vec::with_capacity(PIECE),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        self.number += 1;
        let name = piece_name(self.folder, self.number);
        let size = self.piece.len() as u64;
        member(self.out, &name, size, &mut self.piece.as_slice())?;
        self.piece.clear();
        Ok(())
    }

    /// Writes the last piece.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.send()
    }
}

impl<W: Write> Write for Pieces<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn piece_name(folder: &str, number: u64) -> String {
    format!("{folder}/{number:06}")
}

/// Counts and sums what goes through.
#[derive(Clone, Default)]
pub(super) struct Sum {
    bytes: u64,
    hash: Sha256,
}

impl Sum {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn content(self) -> Content {
        Content {
            bytes: self.bytes,
            sha256: hex(&self.hash.finalize()),
        }
    }
}

/// A reader or writer that sums.
pub(super) struct Summed<T> {
    pub(super) inner: T,
    pub(super) sum: Sum,
}

impl<T> Summed<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            sum: Sum::default(),
        }
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sum.add(&buffer[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sum.add(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
