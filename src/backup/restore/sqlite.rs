//! A file of SQLite's: made beside the one that it replaces, and put in its place at once.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::super::manifest::Manifest;
use super::super::owner::Owner;
use super::super::{Context, Error, blocking};
use super::{compare, empty, migrate, unused};
use crate::store;

/// Links that are followed one after the other, as by Linux.
const LINKS: usize = 40;

/// The unpacked database, removed at the end if nothing has taken it.
pub(super) struct Unpacked(pub(super) PathBuf);

impl Drop for Unpacked {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal", ".migrating"] {
            let _ = std::fs::remove_file(beside(&self.0, end));
        }
    }
}

/// SQLite's file itself: where a link leads, for what is put in the place of a link would leave the file as it is.
pub(super) fn target(context: &Context) -> Result<PathBuf, Error> {
    let named = context.store.database_file();
    let named = named.ok_or_else(|| Error::Refused("database.url names no file".to_owned()))?;
    let mut file = named.clone();
    for _ in 0..LINKS {
        match std::fs::read_link(&file) {
            Ok(to) => file = file.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => return Ok(file),
        }
    }
    Err(Error::Refused(format!(
        "{} is a link that leads to links without end",
        named.display()
    )))
}

pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Makes sure that the file there may be replaced.
pub(super) async fn vacate(context: &Context, force: bool) -> Result<(), Error> {
    if !target(context)?.exists() {
        return Ok(());
    }
    let checked = async {
        let mut link = context.store.connect_aside().await?;
        empty(&mut link, force).await?;
        let checked = unused(&mut link).await;
        link.close().await;
        checked
    };
    match checked.await {
        // Nobody can use a file that is no database any more.
        Err(Error::Database(store::Error::Database(_))) if force => Ok(()),
        checked => checked,
    }
}

/// Gives what was made beside the file to whom the file belongs; the lock of migrations lies beside its name.
pub(super) fn hand_over(context: &Context) -> Result<(), Error> {
    let file = target(context)?;
    let owner = Owner::of(&file);
    for named in [Some(file), context.store.database_file()].iter().flatten() {
        for end in ["-wal", "-shm", ".migrating"] {
            owner.give(&beside(named, end))?;
        }
    }
    Ok(())
}

/// Checks the new file and puts it in the place of the old one.
pub(super) async fn put(context: &Context, file: &Path, manifest: &Manifest) -> Result<(), Error> {
    context.progress.step("restoring the database");
    let new = context.store.with_file(file);
    let mut link = new.connect_aside().await?;
    let compared = async {
        compare(&mut link, manifest).await?;
        Ok(link.forget_identity().await?)
    };
    let compared: Result<(), Error> = compared.await;
    link.close().await;
    compared?;
    // Before anybody can see it; afterwards there is nothing left to do.
    migrate(&new).await?;
    let (file, target) = (file.to_owned(), target(context)?);
    blocking(move || {
        let wrong =
            |failure| Error::Disk(format!("{} cannot be replaced", target.display()), failure);
        File::open(&file)
            .and_then(|one| one.sync_all())
            .map_err(wrong)?;
        // A log of the old file would be applied to the new one.
        for end in ["-wal", "-shm", "-journal"] {
            match std::fs::remove_file(beside(&target, end)) {
                Err(failure) if failure.kind() != std::io::ErrorKind::NotFound => {
                    return Err(wrong(failure));
                }
                _ => {}
            }
        }
        Owner::of(&target).give(&file)?;
        std::fs::rename(&file, &target).map_err(wrong)?;
        let folder = target.parent().filter(|one| !one.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|one| one.sync_all())
            .map_err(wrong)
    })
    .await
}
