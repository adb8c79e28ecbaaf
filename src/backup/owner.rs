//! Whose the restored files are. Root restores for the service's own user, who could not open what is root's.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::Error;

/// The user and group that are to have what is written; nobody in particular where this process is not root's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner(Option<(u32, u32)>);

impl Owner {
    /// That of what is there already, else of the nearest folder above it that is.
    pub(super) fn of(path: &Path) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let found = path.ancestors().find_map(|one| one.metadata().ok());
        Self(found.map(|one| (one.uid(), one.gid())))
    }

    /// Gives this file or folder to the owner; one that is not there is nobody's.
    pub(super) fn give(self, path: &Path) -> Result<(), Error> {
        let Some((user, group)) = self.0 else {
            return Ok(());
        };
        match std::os::unix::fs::lchown(path, Some(user), Some(group)) {
            Err(failure) if failure.kind() != io::ErrorKind::NotFound => Err(Error::Disk(
                format!("{} cannot be given to user {user}", path.display()),
                failure,
            )),
            _ => Ok(()),
        }
    }

    /// Makes a folder for nobody else, and gives the owner what had to be made for it.
    pub(super) fn make_folder(self, folder: &Path) -> Result<(), Error> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let missing: Vec<PathBuf> = folder
            .ancestors()
            .take_while(|one| !one.exists())
            .map(Path::to_owned)
            .collect();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(Error::disk(format!("{} cannot be made", folder.display())))?;
        missing.iter().try_for_each(|one| self.give(one))
    }
}
