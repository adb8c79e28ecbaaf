//! A folder for what is needed while a backup is made or restored, gone at its end.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::owner::Owner;
use crate::domain::new_id;

const LOCK: &str = "lock";
/// Age at which a folder without a lock is nobody's.
const ABANDONED: Duration = Duration::from_hours(1);

/// A private folder. A lock tells it from one that a killed process left behind, which the next run clears away.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes one within `parent`, and clears away what others left there.
    pub(super) fn new(parent: &Path) -> Result<Self, Error> {
        let wrong = |path: &Path| {
            Error::disk(format!(
                "the scratch folder {} cannot be made",
                path.display()
            ))
        };
        // What root makes here, the service's own user needs later.
        Owner::of(parent).make_folder(parent)?;
        clear(parent);
        let id = new_id();
        let (draft, folder) = (
            parent.join(format!("new-{id}")),
            parent.join(format!("run-{id}")),
        );
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&draft)
            .map_err(wrong(&draft))?;
        let lock = File::create(draft.join(LOCK)).map_err(wrong(&draft))?;
        lock.lock().map_err(wrong(&draft))?;
        // Locked before others look at it: they would take it for one that was left behind.
        fs::rename(&draft, &folder).map_err(wrong(&folder))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run tries again.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn clear(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let over = if name.starts_with("run-") {
            File::open(path.join(LOCK))
                .is_ok_and(|lock| !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
        } else {
            name.starts_with("new-") && is_old(&path)
        };
        if over {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Whether it is long since it was made, which takes a moment.
fn is_old(path: &Path) -> bool {
    let modified = path.metadata().and_then(|about| about.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_what_was_left_behind_goes() {
        let parent = tempfile::tempdir().unwrap();
        let first = Scratch::new(parent.path()).unwrap();
        let left = parent.path().join("run-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        let begun = parent.path().join("new-begun");
        fs::create_dir(&begun).unwrap();
        let second = Scratch::new(parent.path()).unwrap();
        assert!(first.folder.exists() && second.folder.exists() && begun.exists());
        assert!(!left.exists());
        let made = [first.folder.clone(), second.folder.clone()];
        drop((first, second));
        assert!(!made.iter().any(|one| one.exists()));
    }

    #[test]
    fn many_at_once_do_not_clear_each_other_away() {
        let parent = tempfile::tempdir().unwrap();
        let make = || {
            for _ in 0..50 {
                let scratch = Scratch::new(parent.path()).unwrap();
                fs::write(scratch.path("x"), "x").unwrap();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(make);
            }
        });
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
