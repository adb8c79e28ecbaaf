//! Backups that the running service is to know of, whoever makes them.

use futures_util::TryStreamExt as _;
use jiff::SignedDuration;

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

/// What retention came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Deleted, oldest first.
    pub deleted: Vec<Name>,
    /// Of this database and dated in the future: a clock was wrong. They count for nothing and are left alone.
    pub future: Vec<Name>,
}

/// How far ahead a date may be before somebody is told: clocks of replicas differ a little.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Deletes the backups of the same database as `made`, which was just made, that are not to be kept. What Convoke did not make
/// stays, and what is another database's.
///
/// # Errors
/// When the place cannot be listed, or refuses.
pub async fn prune(
    context: &Context,
    place: &Storage,
    keep: Keep,
    made: Name,
) -> Result<Pruned, Error> {
    if !keep.is_limited() {
        return Ok(Pruned::default());
    }
    let names: Vec<Name> = list(place)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let deleted = keep.superfluous(&names, made);
    for name in &deleted {
        place.delete(&name.to_string()).await?;
    }
    let ahead = |name: &Name| name.taken_at().duration_since(context.clock.now()) > AHEAD;
    let future = names
        .into_iter()
        .filter(|name| name.is_of_database_of(made) && ahead(name));
    Ok(Pruned {
        deleted,
        future: future.collect(),
    })
}
