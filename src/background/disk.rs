//! The room on the file system of the data folder.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::telemetry::instruments;

/// The data folder's name in metrics.
const VOLUME: &str = "data";
/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// A file system's room, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// What the service's user may still fill.
    pub available: u64,
    /// All of it.
    pub size: u64,
}

/// The nearest folder that is there: the data folder itself is made at the start of an embedded database only, on the
/// file system of the one above it.
pub fn existing(folder: &Path) -> Option<&Path> {
    // The last ancestor of a relative path is empty, and means the folder we are in.
    let or_here = |path| {
        if path == Path::new("") {
            Path::new(".")
        } else {
            path
        }
    };
    folder.ancestors().map(or_here).find(|one| one.exists())
}

/// The room on the file system of a folder that is there. Blocks for as long as the file system does.
///
/// # Errors
/// When the file system cannot say.
pub fn room(folder: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(Room {
        available: found.f_bavail.saturating_mul(found.f_frsize),
        size: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

/// Keeps the gauges for as long as it is polled. A file system that hangs holds up one blocking thread and nothing
/// else; the gauges then keep their last values.
pub async fn observe_always(folder: PathBuf) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let folder = folder.clone();
        let observed = tokio::task::spawn_blocking(move || observe(&folder)).await;
        match observed.unwrap_or_else(|failure| Err(io::Error::other(failure))) {
            Ok(()) => failing = false,
            Err(failure) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = %failure, "the data folder's file system cannot be looked at");
                }
            }
        }
    }
}

fn observe(folder: &Path) -> io::Result<()> {
    let found = room(existing(folder).ok_or(io::ErrorKind::NotFound)?)?;
    instruments::health::file_system(VOLUME, found.available, found.size);
    Ok(())
}
