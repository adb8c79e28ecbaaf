//! Secrets in files: those that a `…_FILE` variable names, and the key that development makes for itself, kept so that tokens
//! outlive a restart.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::secret::{Secret, weakness};

/// Longest secret in a file; a path to something else altogether is not read to its end.
const LONGEST: u64 = 64 * 1024;

/// The secret that a file holds, without the blanks around it; of a list, one a line.
pub(super) fn secret(path: &Path, list: bool) -> Result<String, String> {
    let failed = |error| format!("cannot be read from {}: {error}", path.display());
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    match lines.as_slice() {
        [] if !list => Err(format!("is missing from {}", path.display())),
        [_, _, ..] if !list => Err(format!("is more than one line in {}", path.display())),
        _ => Ok(lines.join(",")),
    }
}

/// The key in `folder`, made when there is none. Two processes that start at once get the same one.
pub(super) fn obtain(folder: &Path) -> Result<Secret, String> {
    let path = folder.join("secret_key");
    if let Some(secret) = read(&path)? {
        return Ok(secret);
    }
    create(folder, &path)
        .map_err(|error| format!("cannot be made and kept in {}: {error}", path.display()))?;
    // Not the one just made: another process may have been first.
    read(&path)?.ok_or_else(|| format!("disappeared from {}", path.display()))
}

fn read(path: &Path) -> Result<Option<Secret>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => match weakness(text.trim()) {
            None => Ok(Some(Secret::new(text.trim()))),
            Some(problem) => Err(format!(
                "kept in {} {problem}; delete that file to have a new one made",
                path.display()
            )),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot be read from {}: {error}", path.display())),
    }
}

/// Writes a draft under a name of its own and links it to the final one, which fails when that
/// exists. Opening the final name at once would show a second process an empty file, and a rename
/// would replace the key that the first one already uses.
fn create(folder: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let mut name = [0; 8];
    getrandom::fill(&mut name)?;
    let draft = folder.join(format!(".secret_key.{:016x}", u64::from_ne_bytes(name)));
    let linked =
        write_private(&draft, &STANDARD.encode(key)).and_then(|()| {
            match std::fs::hard_link(&draft, path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            }
        });
    let removed = std::fs::remove_file(&draft);
    linked.and(removed)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
