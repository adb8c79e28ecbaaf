//! What only a folder needs: asking whether it is there, and sweeping up after uploads that a crash cut off.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::Storage;
use super::error::{Error, Reason};

/// Deletes staged files older than this and answers how many. The crate stages an upload of `name` as `name#1` beside it and hides
/// such files from its lists.
pub(super) async fn sweep(
    storage: &Storage,
    folder: PathBuf,
    older_than: Duration,
) -> Result<u64, Error> {
    let kind = storage.kind();
    let wrong = |failure: String| Error::new(kind, "sweep", Reason::Other, failure);
    let swept = tokio::task::spawn_blocking(move || sweep_folder(&folder, older_than)).await;
    swept
        .map_err(|failure| wrong(failure.to_string()))?
        .map_err(|failure| wrong(failure.to_string()))
}

/// Asks whether a folder, or the nearest one above it that is there, can be read and written.
pub(super) async fn reach(storage: &Storage, folder: PathBuf) -> Result<(), Error> {
    let kind = storage.kind();
    let wrong = |reason, failure: String| Error::new(kind, "reach", reason, failure);
    let looked = tokio::task::spawn_blocking(move || {
        let existing = folder.ancestors().find(|one| one.exists());
        let existing = existing.unwrap_or(Path::new("/"));
        let shown = existing.display();
        if !existing.is_dir() {
            return Err((Reason::Other, format!("{shown} is no folder")));
        }
        access(
            existing,
            Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
        )
        .map_err(|failure| {
            (
                Reason::Denied,
                format!("{shown} cannot be written to: {failure}"),
            )
        })
    });
    match looked.await {
        Ok(looked) => looked.map_err(|(reason, failure)| wrong(reason, failure)),
        Err(failure) => Err(wrong(Reason::Other, failure.to_string())),
    }
}

fn sweep_folder(folder: &Path, older_than: Duration) -> std::io::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Err(failure) if failure.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry?;
        let about = match entry.metadata() {
            // Finished, or swept by another.
            Err(failure) if failure.kind() == std::io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_dir() {
            swept += sweep_folder(&entry.path(), older_than)?;
        } else if is_staged(&entry.file_name().to_string_lossy())
            && about
                .modified()?
                .elapsed()
                .is_ok_and(|age| age > older_than)
        {
            match std::fs::remove_file(entry.path()) {
                Err(failure) if failure.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failure);
                }
                _ => swept += 1,
            }
        }
    }
    Ok(swept)
}

fn is_staged(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, id)| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}
