//! Reads a backup: first that the file is what was written, then what is in it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tar::{Archive, Entries, Entry};

use super::Error;
use super::container::{
    DATABASE, FILES, MANIFEST, PIECE, SEALED, Sum, Summed, TAIL, hex, piece_name, tail,
};
use super::manifest::{FORMAT, Files, Manifest};
use super::pack::line;

/// Takes the uploaded files, each with its key.
pub(super) type OnFile<'a> = &'a mut dyn FnMut(&str, &mut dyn Read) -> Result<(), Error>;

/// Checks the whole file: its checksum and size.
///
/// # Errors
/// [`Error::Damaged`] for a single bit.
pub(super) fn check(path: &Path) -> Result<(String, u64), Error> {
    let unreadable = |failure| Error::Disk(format!("{} cannot be read", path.display()), failure);
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let Some(body) = size.checked_sub(TAIL as u64) else {
        return Err(Error::Damaged(format!(
            "it has {size} bytes, too few for any backup; it was cut off"
        )));
    };
    let mut sum = Sum::default();
    let mut buffer = vec![0; PIECE];
    let mut rest = (&mut file).take(body);
    loop {
        let count = rest.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        sum.add(&buffer[..count]);
    }
    let whole = sum.clone();
    let expected = tail(&sum.content().sha256).map_err(unreadable)?;
    let mut found = Vec::with_capacity(TAIL);
    file.read_to_end(&mut found).map_err(unreadable)?;
    if found != expected {
        return Err(Error::Damaged(
            "its checksum is not that of its content; it was cut off or changed after it was made"
                .to_owned(),
        ));
    }
    let mut whole = whole;
    whole.add(&found);
    Ok((whole.content().sha256, size))
}

/// Reads the content of a file that was checked, writes the database to `database`, and compares everything with the
/// manifest.
pub(super) fn unpack(
    path: &Path,
    identity: Option<&Path>,
    database: Option<&Path>,
    on_file: OnFile<'_>,
) -> Result<Manifest, Error> {
    let unreadable = |failure| Error::Disk(format!("{} cannot be read", path.display()), failure);
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut first = [0; 100];
    file.read_exact(&mut first).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let body = BufReader::new(file.take(size.saturating_sub(TAIL as u64)));
    if !first.starts_with(piece_name(SEALED, 1).as_bytes()) {
        return content(body, database, on_file);
    }
    let Some(identity) = identity else {
        return Err(Error::Refused(
            "the backup is encrypted: name the file with its key by --identity".to_owned(),
        ));
    };
    let keys = identities(identity)?;
    let mut archive = Archive::new(body);
    let sealed = Sealed {
        entries: archive.entries().map_err(damaged)?,
        entry: None,
        number: 0,
    };
    let decryptor = age::Decryptor::new_buffered(BufReader::new(sealed)).map_err(opened)?;
    let keys = keys.iter().map(|one| &**one as &dyn age::Identity);
    content(decryptor.decrypt(keys).map_err(opened)?, database, on_file)
}

fn identities(path: &Path) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, Error> {
    let file =
        File::open(path).map_err(Error::disk(format!("{} cannot be read", path.display())))?;
    // What is wrong with it is not told: it holds a key.
    let wrong = || Error::Refused(format!("{} holds no age identity", path.display()));
    let file = age::IdentityFile::from_buffer(BufReader::new(file)).map_err(|_| wrong())?;
    let keys = file.into_identities().map_err(|_| wrong())?;
    if keys.is_empty() {
        return Err(wrong());
    }
    Ok(keys)
}

fn opened(failure: age::DecryptError) -> Error {
    match failure {
        age::DecryptError::NoMatchingKeys => Error::Refused(
            "the backup is encrypted to other keys than those of --identity".to_owned(),
        ),
        other => Error::Damaged(format!("it cannot be decrypted: {other}")),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
fn damaged(failure: io::Error) -> Error {
    Error::Damaged(failure.to_string())
}

/// The pieces of an encrypted archive, as one stream.
struct Sealed<'a, R: Read> {
    entries: Entries<'a, R>,
    entry: Option<Entry<'a, R>>,
    number: u64,
}

impl<R: Read> Read for Sealed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(entry) = &mut self.entry {
                let count = entry.read(buffer)?;
                if count > 0 {
                    return Ok(count);
                }
            }
            self.entry = match self.entries.next() {
                None => return Ok(0),
                Some(entry) => {
                    let entry = entry?;
                    self.number += 1;
                    if entry.path_bytes() != piece_name(SEALED, self.number).as_bytes() {
                        return Err(io::Error::other("a piece is not where it belongs"));
                    }
                    Some(entry)
                }
            };
        }
    }
}

/// The content of an archive.
fn content(
    archive: impl Read,
    database: Option<&Path>,
    on_file: OnFile<'_>,
) -> Result<Manifest, Error> {
    let mut archive = Archive::new(archive);
    let sink: Box<dyn Write> = match database {
        Some(path) => Box::new(
            File::create_new(path)
                .map_err(Error::disk(format!("{} cannot be written", path.display())))?,
        ),
        None => Box::new(io::sink()),
    };
    let mut decoder = zstd::stream::write::Decoder::new(Summed::new(sink)).map_err(damaged)?;
    let (mut files, mut list, mut piece) = (Files::default(), Sha256::new(), 0);
    let mut manifest: Option<Manifest> = None;
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if manifest.is_some() {
            return Err(Error::Damaged("something follows its manifest".to_owned()));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name == MANIFEST {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(damaged)?;
            manifest = Some(read_manifest(&text)?);
        } else if let Some(key) = name.strip_prefix(FILES).and_then(|n| n.strip_prefix('/')) {
            let mut content = Summed::new(&mut entry);
            on_file(key, &mut content)?;
            let found = content.sum.content();
            files.count += 1;
            files.bytes += found.bytes;
            list.update(line(&found.sha256, key));
        } else {
            piece += 1;
            if name != piece_name(DATABASE, piece) {
                return Err(Error::Damaged(format!("{name} is not where it belongs")));
            }
            let written = io::copy(&mut entry, &mut decoder);
            written.map_err(Error::disk("the database cannot be unpacked"))?;
        }
    }
    decoder
        .flush()
        .map_err(Error::disk("the database cannot be unpacked"))?;
    files.sha256 = hex(&list.finalize());
    let Some(manifest) = manifest else {
        return Err(Error::Damaged("it has no manifest".to_owned()));
    };
    if decoder.into_inner().sum.content() != manifest.database {
        return Err(Error::Damaged(
            "its database is not the one that was written".to_owned(),
        ));
    }
    let kept = &manifest.files;
    if (files.count, files.bytes, &files.sha256) != (kept.count, kept.bytes, &kept.sha256) {
        return Err(Error::Damaged(
            "its files are not those that were written".to_owned(),
        ));
    }
    Ok(manifest)
}

fn read_manifest(text: &str) -> Result<Manifest, Error> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
    }
    let unreadable = |failure: serde_json::Error| {
        Error::Damaged(format!("its manifest cannot be read: {failure}"))
    };
    // First, for a later format may say the rest otherwise.
    let head: Head = serde_json::from_str(text).map_err(unreadable)?;
    if head.format != FORMAT {
        return Err(Error::Refused(format!(
            "the backup has format {}, and this program reads {FORMAT}: use the version that made it, or a newer one",
            head.format
        )));
    }
    serde_json::from_str(text).map_err(unreadable)
}
