//! Deletes from the store of files what nothing refers to any more, or never did.
//!
//! A file's bytes are written before its row, and outlive it by a grace: whatever a crash leaves is bytes without a row, which are
//! found here. One replica does it at a time.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

use super::scheduled::{self, Job};
use crate::config::Config;
use crate::domain::clock::earlier;
use crate::domain::file::{ATTACHMENTS, AVATARS};
use crate::storage::{self, Storage, Stored};
use crate::store::{self, Store, chain};
use crate::telemetry::instruments;

/// The job's name, and its lease's.
pub const JOB: &str = "files.collect";
/// Files looked up at once.
const BITE: usize = 500;
/// Time between two looks at when it was last done.
const LOOK: Duration = Duration::from_secs(15);

/// What is collected when.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time between two collections.
    pub every: Duration,
    /// Time a file is kept that nothing refers to.
    pub grace: Duration,
}

impl Options {
    /// The options that the settings ask for.
    pub const fn from_config(config: &Config) -> Self {
        Self {
            every: config.storage.collect_every,
            grace: config.storage.grace,
        }
    }
}

/// What one collection deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files that were removed, or whose event was.
    pub deleted: u64,
    /// Files that the database knows nothing of.
    pub unknown: u64,
    /// Uploads that were cut off.
    pub unfinished: u64,
}

/// Why a collection ended early. The next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database.
    #[error("{}", chain(.0))]
    Database(#[from] store::Error),
    /// The store of files.
    #[error("{0}")]
    Storage(#[from] storage::Error),
}

/// Collects whenever it is due, until it is stopped, and tells how long ago that was.
pub async fn run(store: Store, storage: Storage, options: Options, stop: CancellationToken) {
    let job = Job::new(JOB, options.every);
    let work = || async {
        match collect(&store, &storage, options.grace).await {
            Ok(Collected {
                deleted,
                unknown,
                unfinished,
            }) => {
                if deleted + unknown + unfinished > 0 {
                    tracing::info!(
                        deleted,
                        unknown,
                        unfinished,
                        "files that nothing refers to were deleted"
                    );
                }
                true
            }
            Err(failure) => {
                tracing::warn!(error = %failure, "files that nothing refers to could not be collected");
                false
            }
        }
    };
    tokio::join!(
        scheduled::run(store.clone(), job, stop.clone(), work),
        stop.run_until_cancelled(tell_age(&store)),
    );
}

/// Before the first collection the age is that of this process.
async fn tell_age(store: &Store) {
    let began = store.clock().now();
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        // While the database is away the age stands still; others tell of that.
        if let Ok(done) = store.files_collected_at().await {
            let age = done.unwrap_or(began).duration_until(store.clock().now());
            instruments::files::collection_age(age.as_secs_f64().max(0.0));
        }
    }
}

/// Deletes everything that nothing has referred to for as long as the grace.
///
/// # Errors
/// When the database or the store fails; what was deleted before stays deleted.
pub async fn collect(
    store: &Store,
    storage: &Storage,
    grace: Duration,
) -> Result<Collected, Failure> {
    while store.retire_files_of_deleted_events().await? > 0 {}
    let before = earlier(store.clock().now(), grace);
    let mut collected = Collected::default();
    loop {
        let keys = store.deleted_files(before).await?;
        if keys.is_empty() {
            break;
        }
        for key in keys {
            storage.delete(&key).await?;
            store.forget_deleted_file(&key).await?;
            collected.deleted += 1;
            instruments::files::collected("deleted", 1);
        }
    }
    for folder in [ATTACHMENTS, AVATARS] {
        let old = |one: &Stored| one.modified <= before.as_second();
        let found = storage
            .list(folder)
            .try_filter(|one| std::future::ready(old(one)));
        let mut bites = std::pin::pin!(found.map_ok(|one| one.key).chunks(BITE));
        while let Some(bite) = bites.next().await {
            let keys: Vec<String> = bite.into_iter().collect::<Result<_, _>>()?;
            for key in store.unknown_files(&keys).await? {
                storage.delete(&key).await?;
                collected.unknown += 1;
                instruments::files::collected("unknown", 1);
            }
        }
    }
    collected.unfinished = storage.sweep_unfinished(grace).await?;
    instruments::files::collected("unfinished", collected.unfinished);
    Ok(collected)
}
