//! Where files are kept: a folder, or a bucket of S3.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use axum::http::Uri;
use percent_encoding::percent_decode_str;

use super::value::Value;

/// A store of files, as a URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageUrl {
    /// A folder; a relative one lies in the folder of data.
    File(PathBuf),
    /// A bucket of S3, or of anything that speaks its protocol.
    S3 {
        /// The bucket.
        bucket: String,
        /// What every key begins with, without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl StorageUrl {
    /// Reads one that was given on the command line.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn argument(text: &str) -> Result<Self, String> {
        text.parse()
    }

    /// The kind of store, as the label `storage` of the metrics: `file` or `s3`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::S3 { .. } => "s3",
        }
    }
}

impl FromStr for StorageUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", rest)) => folder(rest),
            Some(("s3", rest)) => bucket(rest),
            _ => Err("names neither file nor s3".to_owned()),
        }
    }
}

/// `file:PATH`, and `file:///PATH` as RFC 8089 writes an absolute one.
fn folder(rest: &str) -> Result<StorageUrl, String> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err("names a host: write file:///PATH or file:PATH".to_owned()),
        None => rest,
    };
    if path.contains(['?', '#']) {
        return Err("has a query or a fragment".to_owned());
    }
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| "is not UTF-8".to_owned())?;
    if path.is_empty() || path.contains('\0') || path.trim_matches('/').is_empty() {
        return Err("names no folder".to_owned());
    }
    let climbs = Path::new(path.as_ref())
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if climbs {
        return Err("has a .. in its path".to_owned());
    }
    Ok(StorageUrl::File(PathBuf::from(path.as_ref())))
}

/// `s3://BUCKET/PREFIX`; what a bucket may be called says the S3 user guide, "Bucket naming rules".
fn bucket(rest: &str) -> Result<StorageUrl, String> {
    let rest = rest
        .strip_prefix("//")
        .ok_or_else(|| "does not begin with s3://".to_owned())?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = (3..=63).contains(&bucket.len())
        && bucket
            .bytes()
            .all(|byte| plain(byte) || b".-".contains(&byte))
        && bucket.bytes().next().is_some_and(plain)
        && bucket.bytes().last().is_some_and(plain);
    if !good {
        return Err("names no bucket (3 to 63 of a-z, 0-9, . and -)".to_owned());
    }
    let prefix = prefix.trim_end_matches('/');
    let odd = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
        part.is_empty() || part == "." || part == ".." || !part.chars().all(plain)
    };
    if !prefix.is_empty() && prefix.split('/').any(odd) {
        return Err("has a prefix that is not made of a-z, A-Z, 0-9, -, _, ., = and /".to_owned());
    }
    Ok(StorageUrl::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) if path.is_absolute() => write!(f, "file://{}", path.display()),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl Value for StorageUrl {
    const KIND: &'static str = "URL";

    fn accepts() -> String {
        "file:///FOLDER, file:FOLDER in the folder of data, or s3://BUCKET/PREFIX".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

/// Where an S3 server answers: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Endpoint(String);

impl S3Endpoint {
    /// The URL without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether credentials and files would travel unencrypted to another machine.
    pub fn is_open(&self) -> bool {
        let uri: Option<Uri> = self.0.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let near = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        self.0.starts_with("http://") && !near
    }
}

impl Value for S3Endpoint {
    const KIND: &'static str = "URL";

    fn accepts() -> String {
        "a URL without path, such as https://s3.example.org:9000".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let bare = text.trim_end_matches('/');
        let uri: Uri = bare.parse().map_err(|_| "is not a URL".to_owned())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("does not begin with http:// or https://".to_owned());
        }
        let authority = uri.authority().map_or("", |one| one.as_str());
        if authority.contains('@') {
            return Err("holds credentials, which have settings of their own".to_owned());
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err("has a path or a query".to_owned());
        }
        Ok(Self(bare.to_owned()))
    }
}

/// The name of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// The name, such as `eu-central-1`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Region {
    const KIND: &'static str = "name";

    fn accepts() -> String {
        "the name of a region, such as eu-central-1".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if text.is_empty() || !text.bytes().all(plain) {
            return Err("is not the name of a region".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written_alike() {
        for (text, shown) in [
            ("file:files", "file:files"),
            ("file:///srv/convoke", "file:///srv/convoke"),
            ("file:/srv/convoke", "file:///srv/convoke"),
            ("file:///srv/a%20b", "file:///srv/a b"),
            ("s3://bucket", "s3://bucket"),
            ("s3://my.bucket-1/one/two/", "s3://my.bucket-1/one/two"),
        ] {
            let url: StorageUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused() {
        for text in [
            "",
            "files",
            "ftp://x",
            "file:",
            "file:///",
            "file://host/x",
            "file:a/../../x",
            "file:a?b",
            "s3:bucket",
            "s3://",
            "s3://Ab",
            "s3://a",
            "s3://-abc",
            "s3://abc/../x",
            "s3://abc//x",
            "s3://abc/a b",
            "s3://key:secret@abc",
        ] {
            assert!(text.parse::<StorageUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_say_whether_they_are_open() {
        for (text, open) in [
            ("http://127.0.0.1:9000/", false),
            ("http://[::1]:9000", false),
            ("http://localhost", false),
            ("http://minio:9000", true),
            ("https://s3.example.org", false),
        ] {
            assert_eq!(S3Endpoint::parse(text).unwrap().is_open(), open, "{text}");
        }
        for text in [
            "s3.example.org",
            "ftp://x",
            "http://u:p@x",
            "http://x/path",
            "http://x?y",
        ] {
            assert!(S3Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
