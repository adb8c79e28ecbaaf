//! What the tests of files share.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;

use crate::support::answer::Answer;
use crate::support::client::{Client, id};

/// A picture of one pixel.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\xdac\xfc\xff\xff\xff\x7f\0\x09\xfb\x03\xfdA\x17\xd4\xd0\0\0\0\0IEND\xaeB`\x82";

/// The path of an event's files.
pub(crate) fn attachments(event: &Value) -> String {
    format!("/events/{}/attachments/", id(event))
}

/// Sends bytes as they are, under a name.
pub(crate) async fn upload(
    user: &Client,
    event: &Value,
    name: &str,
    kind: &str,
    content: impl Into<reqwest::Body>,
) -> Answer {
    let request = user
        .request(Method::POST, &attachments(event))
        .header("content-type", kind)
        .header(
            "content-disposition",
            format!("attachment; filename*=UTF-8''{name}"),
        );
    Answer::of(request.body(content)).await.expect("an answer")
}

/// A text of this many bytes, which is not the same anywhere.
pub(crate) fn text(length: usize) -> Vec<u8> {
    (0..)
        .flat_map(|n: u64| format!("{n}\n").into_bytes())
        .take(length)
        .collect()
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// A hash as the API writes it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
