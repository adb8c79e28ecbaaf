//! Backups by a schedule, on one replica, and what is told of all backups, whoever makes them.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::scheduled::{self, Job};
use crate::backup::{self, Context, Keep, Made};
use crate::storage::Storage;
use crate::store::{BackupState, Store, chain};
use crate::telemetry::{instruments, traces};

/// The name of the job and of its lease.
const NAME: &str = "backup";
/// How often the gauges are set.
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// How backups are made by the service.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is backed up, and how.
    pub context: Context,
    /// Time between two; `None` leaves it to others.
    pub every: Option<Duration>,
    /// Time within which others make one.
    pub expected_every: Option<Duration>,
    /// Time within which one is restored for a trial.
    pub verified_every: Option<Duration>,
    /// Which are kept.
    pub keep: Keep,
}

impl Options {
    /// The options that the settings ask for.
    pub fn new(context: Context) -> Self {
        let own = &context.config.backup;
        Self {
            every: own.every,
            expected_every: own.expected_every.or(own.every),
            // A trial follows each, where it is asked for.
            verified_every: own.verified_every.or(own.every.filter(|_| own.verify)),
            keep: Keep {
                daily: own.keep_daily,
                weekly: own.keep_weekly,
                monthly: own.keep_monthly,
            },
            context,
        }
    }
}

/// Tells of backups for as long as it is polled.
pub async fn observe_always(store: Store, options: Options) {
    let seconds = |every: Option<Duration>| every.map_or(0.0, |one| one.as_secs_f64());
    instruments::backups::expected(
        seconds(options.expected_every),
        seconds(options.verified_every),
    );
    let mut ticks = interval(GAUGES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        observe(&store).await;
    }
}

/// Sets the gauges to what the database knows; leaves them as they are when it does not answer.
pub async fn observe(store: &Store) {
    match store.backup_state().await {
        Ok(state) => show(&state),
        Err(failure) => {
            tracing::debug!(error = %chain(&failure), "the gauges of backups keep their values");
        }
    }
}

fn show(state: &BackupState) {
    let seconds = |at: Option<jiff::Timestamp>| at.map_or(0.0, |at| at.as_duration().as_secs_f64());
    let took = match (state.last_started, state.last_finished) {
        (Some(from), Some(to)) => to.duration_since(from).as_secs_f64(),
        _ => 0.0,
    };
    instruments::backups::known(&instruments::backups::Known {
        last_success: seconds(state.last_started),
        duration: took,
        size: state.size,
        failures: state.failures,
        last_verified: seconds(state.last_verified),
        verification_failures: state.verification_failures,
    });
}

/// Makes backups when they are due, until it is stopped. Does nothing where none are asked for.
pub async fn run(store: Store, options: Options, stop: CancellationToken) {
    let (Some(every), Some(place)) = (options.every, options.context.place()) else {
        return;
    };
    let place = match options.context.open_place(place) {
        Ok(place) => place,
        Err(failure) => {
            tracing::error!(error = %chain(&failure), "backups cannot be made");
            return;
        }
    };
    let job = Job::new(NAME, every);
    let work = || {
        let made = make(&store, &options, &place);
        Box::pin(traces::within(traces::job_span(NAME), made))
    };
    scheduled::run(store.clone(), job, stop, work).await;
}

/// Makes one; `false` when it failed.
async fn make(store: &Store, options: &Options, place: &Storage) -> bool {
    let context = &options.context;
    let (made, noted) = backup::make_and_note(context, store, place, true).await;
    if let Err(failure) = noted {
        tracing::warn!(error = %chain(&failure), "a backup could not be noted");
    }
    let made = match made {
        Ok(made) => made,
        Err(failure) => {
            tracing::error!(location = place.shown(), error = %chain(&failure), "a backup failed");
            traces::failed(None);
            return false;
        }
    };
    tell(context, &made);
    if context.config.backup.verify {
        verify(store, options, &made).await;
    }
    match backup::prune(context, place, options.keep, made.name).await {
        Ok(pruned) => {
            let location = |name| format!("{}/{name}", place.shown());
            for name in pruned.deleted {
                tracing::info!(location = %location(name), "an old backup was deleted");
            }
            for name in pruned.future {
                tracing::warn!(location = %location(name), "a backup is dated in the future, not counted and never deleted");
            }
        }
        Err(failure) => {
            tracing::warn!(location = place.shown(), error = %chain(&failure), "old backups could not be deleted");
        }
    }
    // One that cannot be restored is made again at the next time, and alerts tell of it until then.
    true
}

fn tell(context: &Context, made: &Made) {
    let took = context.clock.now().duration_since(made.manifest.taken_at);
    let files = &made.manifest.files;
    tracing::info!(
        location = made.location,
        size_bytes = made.file.size,
        rows = made.manifest.rows(),
        files = files.count,
        seconds = took.as_secs_f64(),
        "a backup was made"
    );
    if files.faulty > 0 {
        tracing::error!(
            location = made.location,
            files = files.faulty,
            "files that the database names are missing from the storage or damaged there"
        );
    }
}

async fn verify(store: &Store, options: &Options, made: &Made) {
    let (verified, noted) = backup::verify_and_note(&options.context, store, &made.location).await;
    if let Err(failure) = noted {
        tracing::warn!(error = %chain(&failure), "a backup could not be noted");
    }
    match verified {
        Ok(verified) => {
            tracing::info!(
                location = made.location,
                seconds = verified.seconds,
                "a backup was restored for a trial"
            );
        }
        Err(failure) => {
            tracing::error!(location = made.location, error = %chain(&failure), "a backup could not be restored for a trial");
            traces::failed(None);
        }
    }
}
