//! A folder for what is needed while a backup is made or restored, gone at its end.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::owner::Owner;
use crate::domain::new_id;

const LOCK: &str = "lock";

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
        let folder = parent.join(format!("run-{}", new_id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(wrong(&folder))?;
        let lock = File::create(folder.join(LOCK)).map_err(wrong(&folder))?;
        lock.lock().map_err(wrong(&folder))?;
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
        let ours = entry.file_name().to_string_lossy().starts_with("run-");
        // No lock yet: it is being made.
        let Ok(lock) = File::open(path.join(LOCK)) else {
            continue;
        };
        if ours && !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
