//! Moves files from one store to another while both are in use.
//!
//! A key is never written twice, so a file that is in both is the same or damaged. Each copy is read back, and only what was read
//! back alike counts as moved; nothing is deleted before. A mark written through the target must not be seen in the source: then both
//! are one store, and deleting from the one would delete from the other. There is no state but the stores themselves: a run that was killed is
//! taken up by comparing again what is there already.

use axum::body::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join};
use sha2::{Digest as _, Sha256};

use super::{Error, Reason, Storage, Stored};
use crate::domain::new_id;

/// Failures after which a run gives up: by then it is the store, not the file.
const PATIENCE: usize = 20;

/// How files are moved.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Delete each file in the source once its copy is verified.
    pub delete_source: bool,
    /// Files at once.
    pub parallel: usize,
}

/// Files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Migrated {
    /// In the source when the run began.
    pub found: Tally,
    /// Copied and verified; in a dry run, what would be copied.
    pub copied: Tally,
    /// In the target before, and alike; in a dry run, of the same size.
    pub there: Tally,
    /// Deleted from the source.
    pub deleted: Tally,
    /// Deleted by somebody else meanwhile.
    pub gone: u64,
    /// Files that could not be moved, and why.
    pub failed: Vec<(String, String)>,
}

/// How far a run is: files looked at, and files there are.
pub type MigrationStep = (u64, u64);

enum Outcome {
    Copied,
    There,
    Gone,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("the target holds another file under this key; neither was touched")]
    Differs,
    #[error("what was read back is not what was written; the copy was deleted")]
    Damaged,
    #[error("the source gave {0} bytes of {1}")]
    Short(u64, u64),
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotMigrated {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// There is no such folder.
    #[error("the source, {0}, does not exist")]
    NoSource(String),
    /// What is written to the target appears in the source.
    #[error(
        "source and target are the same store, or one lies in the other: what was written to {to} was seen in {from}"
    )]
    SameStore {
        /// The source.
        from: String,
        /// The target.
        to: String,
    },
}

/// Moves every file. Those that cannot be moved are in the report and do not hold up the others.
///
/// # Errors
/// When the source is not there, cannot be listed, or is the target too; nothing was copied or deleted then.
pub async fn migrate(
    from: &Storage,
    to: &Storage,
    options: Migration,
    told: &mut (dyn FnMut(MigrationStep) + Send),
) -> Result<Migrated, NotMigrated> {
    if from.0.folder.as_ref().is_some_and(|one| !one.is_dir()) {
        return Err(NotMigrated::NoSource(from.shown().to_owned()));
    }
    let mut all = Migrated {
        found: if options.dry_run {
            count(from, None).await?.0
        } else {
            count_apart(from, to).await?
        },
        ..Migrated::default()
    };
    let mut outcomes = from
        .list("")
        .map(|item| async move {
            let file = item?;
            let outcome = one(from, to, &file, options).await;
            Ok::<_, Error>((file, outcome))
        })
        .buffer_unordered(options.parallel.max(1))
        .boxed();
    let mut looked = 0;
    while let Some((file, outcome)) = outcomes.try_next().await? {
        match outcome {
            Ok((outcome, deleted)) => {
                match outcome {
                    Outcome::Copied => all.copied.add(file.size),
                    Outcome::There => all.there.add(file.size),
                    Outcome::Gone => all.gone += 1,
                }
                if deleted {
                    all.deleted.add(file.size);
                }
            }
            Err(fault) => all.failed.push((file.key, fault.to_string())),
        }
        looked += 1;
        told((looked, all.found.files.max(looked)));
        if all.failed.len() >= PATIENCE {
            break;
        }
    }
    Ok(all)
}

/// Counts what is in the source, with a mark in the target meanwhile.
async fn count_apart(from: &Storage, to: &Storage) -> Result<Tally, NotMigrated> {
    // Where the collector of orphans looks: it takes one that a killed run left.
    let name = format!("same-store-{}", new_id());
    let mark = format!("attachments/{name}");
    to.put(&mark, Bytes::from_static(b"convoke files migrate\n"))
        .await?;
    let looked = async {
        // At once too, for the other look may take long.
        let seen = match from.head_here(&mark).await {
            Ok(_) => true,
            Err(failure) if failure.reason() == Reason::NotFound => false,
            Err(failure) => return Err(failure),
        };
        let (found, listed) = count(from, Some(&name)).await?;
        Ok((found, seen || listed))
    };
    let looked = looked.await;
    to.delete_here(&mark).await?;
    match looked? {
        (found, false) => Ok(found),
        (_, true) => Err(NotMigrated::SameStore {
            from: from.shown().to_owned(),
            to: to.shown().to_owned(),
        }),
    }
}

/// Counts the files of a store; also tells whether one of them is this mark, at whatever depth.
async fn count(store: &Storage, mark: Option<&str>) -> Result<(Tally, bool), Error> {
    let (mut found, mut seen) = (Tally::default(), false);
    let mut listed = std::pin::pin!(store.list(""));
    while let Some(one) = listed.try_next().await? {
        found.add(one.size);
        seen |= mark.is_some_and(|mark| one.key.ends_with(mark));
    }
    Ok((found, seen))
}

/// Moves one file; also tells whether it was deleted from the source.
async fn one(
    from: &Storage,
    to: &Storage,
    file: &Stored,
    options: Migration,
) -> Result<(Outcome, bool), Fault> {
    let there = match to.head_here(&file.key).await {
        Ok(there) => Some(there.size),
        Err(failure) if failure.reason() == Reason::NotFound => None,
        Err(failure) => return Err(failure.into()),
    };
    if options.dry_run {
        return match there {
            None => Ok((Outcome::Copied, false)),
            Some(size) if size == file.size => Ok((Outcome::There, false)),
            Some(_) => Err(Fault::Differs),
        };
    }
    let done = if there.is_some() {
        compare(from, to, file).await
    } else {
        copy(from, to, file).await
    };
    match done {
        Ok(outcome) => {
            if options.delete_source {
                from.delete_here(&file.key).await?;
            }
            Ok((outcome, options.delete_source))
        }
        Err(fault) => match from.head_here(&file.key).await {
            // Deleted through the API, or moved by another run. If a copy was made, nothing refers to it, and the collector finds it.
            Err(failure) if failure.reason() == Reason::NotFound => Ok((Outcome::Gone, false)),
            _ => Err(fault),
        },
    }
}

async fn compare(from: &Storage, to: &Storage, file: &Stored) -> Result<Outcome, Fault> {
    let (here, there) = try_join(digest(from, file), digest(to, file)).await?;
    if here == there {
        Ok(Outcome::There)
    } else {
        Err(Fault::Differs)
    }
}

async fn copy(from: &Storage, to: &Storage, file: &Stored) -> Result<Outcome, Fault> {
    let mut upload = to.upload(&file.key)?;
    let mut digest_here = Sha256::new();
    let mut pieces = std::pin::pin!(from.get_here(&file.key, None).await?.into_stream());
    while let Some(piece) = pieces.try_next().await? {
        digest_here.update(&piece);
        upload.write(&piece).await?;
    }
    let size = upload.finish().await?;
    let alike = digest(to, file).await? == <[u8; 32]>::from(digest_here.finalize());
    if alike && size == file.size {
        return Ok(Outcome::Copied);
    }
    // Made here a moment ago, and nobody reads from it: whoever asks finds the source again.
    to.delete_here(&file.key).await?;
    Err(if alike {
        Fault::Short(size, file.size)
    } else {
        Fault::Damaged
    })
}

async fn digest(store: &Storage, file: &Stored) -> Result<[u8; 32], Error> {
    let mut digest = Sha256::new();
    let mut pieces = std::pin::pin!(store.get_here(&file.key, None).await?.into_stream());
    while let Some(piece) = pieces.try_next().await? {
        digest.update(&piece);
    }
    Ok(digest.finalize().into())
}
