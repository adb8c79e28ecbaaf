//! Whether two URLs lead to the same files: the move of files deletes from one what it believes to be in the other.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::StorageUrl;

impl StorageUrl {
    /// Whether both lead to the same store, or one into the other; a relative folder lies in `data_dir`. Folders are compared as
    /// the disk knows them, by resolved path and by device and inode, so that links, mounts and other spellings do not deceive.
    pub fn overlaps(&self, other: &Self, data_dir: &Path) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(two)) => {
                let (one, two) = (resolved(&data_dir.join(one)), resolved(&data_dir.join(two)));
                within(&one, &two) || within(&two, &one)
            }
            (
                Self::S3 { bucket, prefix },
                Self::S3 {
                    bucket: other_bucket,
                    prefix: other_prefix,
                },
            ) => {
                let (prefix, other_prefix) = (Path::new(prefix), Path::new(other_prefix));
                bucket == other_bucket
                    && (prefix.starts_with(other_prefix) || other_prefix.starts_with(prefix))
            }
            _ => false,
        }
    }
}

/// The path without links, as far as it is there; the rest is what would be made.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest = Vec::new();
    for existing in path.ancestors() {
        if let Ok(real) = existing.canonicalize() {
            return rest.iter().rev().fold(real, |path, part| path.join(part));
        }
        rest.extend(existing.file_name());
    }
    path
}

fn within(inner: &Path, outer: &Path) -> bool {
    let same = |path: &Path| {
        let (Ok(one), Ok(two)) = (path.metadata(), outer.metadata()) else {
            return false;
        };
        (one.dev(), one.ino()) == (two.dev(), two.ino())
    };
    inner.starts_with(outer) || inner.ancestors().any(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> StorageUrl {
        text.parse().unwrap()
    }

    #[test]
    fn one_folder_is_known_by_all_its_names() {
        let data = tempfile::tempdir().unwrap();
        let shown = data.path().display();
        std::fs::create_dir_all(data.path().join("files/deep")).unwrap();
        std::os::unix::fs::symlink("files", data.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", data.path().join("dangling")).unwrap();
        let overlaps = |other: &str| {
            let (one, other) = (url("file:files"), url(other));
            let found = one.overlaps(&other, data.path());
            assert_eq!(other.overlaps(&one, data.path()), found, "{other}");
            found
        };
        for same in [
            "file:files/".to_owned(),
            "file:.//files/.".to_owned(),
            format!("file://{shown}/files"),
            "file:link".to_owned(),
            "file:link/".to_owned(),
            "file:link/deep".to_owned(),
            "file:files/deep/not/yet".to_owned(),
            "file:.".to_owned(),
            format!("file://{shown}"),
        ] {
            assert!(overlaps(&same), "{same}");
        }
        for other in [
            "file:files2",
            "file:other/files",
            "file:dangling",
            "s3://files",
        ] {
            assert!(!overlaps(other), "{other}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_compared_by_its_path() {
        let data = tempfile::tempdir().unwrap();
        let overlaps = |one: &str, two: &str| url(one).overlaps(&url(two), data.path());
        assert!(overlaps("file:a/b", "file:a//b/"));
        assert!(overlaps("file:a", "file:a/b"));
        assert!(!overlaps("file:a", "file:ab"));
    }

    #[test]
    fn prefixes_of_a_bucket_are_compared_by_their_parts() {
        let overlaps = |one: &str, two: &str| {
            let (one, two) = (url(one), url(two));
            assert_eq!(
                one.overlaps(&two, Path::new("/")),
                two.overlaps(&one, Path::new("/"))
            );
            one.overlaps(&two, Path::new("/"))
        };
        assert!(overlaps("s3://bucket/a", "s3://bucket/a/"));
        assert!(overlaps("s3://bucket", "s3://bucket/a"));
        assert!(overlaps("s3://bucket/a/b", "s3://bucket/a"));
        assert!(!overlaps("s3://bucket/a", "s3://bucket/ab"));
        assert!(!overlaps("s3://bucket/a", "s3://other/a"));
    }
}
