//! Backups that the running service is to know of, whoever makes them.

use futures_util::TryStreamExt as _;

use super::name::Name;
use super::verify::{Unsound, Verified};
use super::{Context, Error, Keep, Made, make, verify};
use crate::domain::new_id;
use crate::storage::Storage;
use crate::store::{BackupRun, Store, chain};

/// Makes a backup and notes in the database how that went. A note that cannot be written is told in the second place: the
/// backup itself is not the worse for it.
pub async fn make_and_note(
    context: &Context,
    store: &Store,
    place: &Storage,
    scheduled: bool,
) -> (Result<Made, Error>, Result<(), Error>) {
    let started_at = context.clock.now();
    let made = make(context, place).await;
    let run = BackupRun {
        id: new_id(),
        scheduled,
        started_at: made
            .as_ref()
            .map_or(started_at, |made| made.manifest.taken_at),
        finished_at: context.clock.now(),
        location: made
            .as_ref()
            .map_or_else(|_| place.shown().to_owned(), |made| made.location.clone()),
        result: made
            .as_ref()
            .map(|made| made.file.clone())
            .map_err(|failure| chain(failure)),
    };
    let noted = store.note_backup(&run).await.map_err(Error::from);
    (made, noted)
}

/// Restores a backup for a trial and notes how that went, for a backup that the database knows.
///
/// # Errors
/// When the backup is not whole.
pub async fn verify_and_note(
    context: &Context,
    store: &Store,
    file: &str,
) -> (Result<Verified, Error>, Result<bool, Error>) {
    let (result, checksum, passed) = match verify(context, file).await {
        Ok(verified) => {
            let checksum = verified.file.checksum.clone();
            (Ok(verified), Some(checksum), true)
        }
        Err(Unsound { checksum, failure }) => {
            // Only what says something of the file is noted, and not that a trial was not possible.
            let damaged = matches!(failure, Error::Damaged(_));
            (Err(failure), checksum.filter(|_| damaged), false)
        }
    };
    let damaged = matches!(result, Err(Error::Damaged(_)));
    let named = file.rsplit('/').next().and_then(Name::parse);
    let noted = if let Some(checksum) = checksum {
        store.note_verification(&checksum, passed).await
    } else if let Some(name) = named.filter(|_| damaged) {
        // It has no longer the checksum that it is known by.
        store.note_damage(&name.to_string()).await
    } else {
        Ok(false)
    };
    let noted = noted.map_err(Error::from);
    (result, noted)
}

/// Every backup in a place, oldest first, with its size in bytes.
///
/// # Errors
/// When the place cannot be listed.
pub async fn list(place: &Storage) -> Result<Vec<(Name, u64)>, Error> {
    let mut found = Vec::new();
    let mut all = std::pin::pin!(place.list(""));
    while let Some(stored) = all.try_next().await? {
        if let Some(name) = Name::parse(&stored.key) {
            found.push((name, stored.size));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Deletes the backups that are not to be kept; answers which those were. What Convoke did not make stays.
///
/// # Errors
/// When the place cannot be listed, or refuses.
pub async fn prune(place: &Storage, keep: Keep) -> Result<Vec<Name>, Error> {
    if !keep.is_limited() {
        return Ok(Vec::new());
    }
    let names: Vec<Name> = list(place)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let gone = keep.superfluous(&names);
    for name in &gone {
        place.delete(&name.to_string()).await?;
    }
    Ok(gone)
}
