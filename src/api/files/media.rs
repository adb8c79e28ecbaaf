//! What a file is: what its sender says, held against what it looks like.
//!
//! Nothing that a browser would run is taken (HTML, SVG, XML, scripts), and nothing whose bytes contradict its name for them.

/// Bytes at the beginning of a file that are looked at.
pub(crate) const HEAD: usize = 8192;

/// What is known to be harmless bytes, and no more.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// Why a file is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The media type is not written as one (RFC 9110 §8.3.1).
    Malformed,
    /// A browser would run it.
    Active,
    /// It is not what its sender says.
    Mismatch,
}

/// Types whose files begin in a way that `infer` knows: one that does not begin so is something else.
const RECOGNISED: [&str; 21] = [
    "application/epub+zip",
    "application/gzip",
    "application/msword",
    "application/pdf",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.oasis.opendocument.presentation",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/x-7z-compressed",
    "application/zip",
    "application/zstd",
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
];

/// Types that are one to a reader of their first bytes.
const FAMILIES: [&[&str]; 7] = [
    &[
        "application/epub+zip",
        "application/java-archive",
        "application/vnd.oasis.opendocument.presentation",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/x-zip-compressed",
        "application/zip",
    ],
    &[
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-outlook",
        "application/vnd.ms-powerpoint",
        "application/x-ole-storage",
    ],
    &[
        "audio/m4a",
        "audio/mp4",
        "audio/x-m4a",
        "image/avif",
        "image/heic",
        "image/heif",
        "video/3gpp",
        "video/mp4",
        "video/quicktime",
        "video/x-m4v",
    ],
    &["audio/webm", "video/webm", "video/x-matroska"],
    &["application/ogg", "audio/ogg", "audio/opus", "video/ogg"],
    &["audio/wav", "audio/wave", "audio/x-wav"],
    &["application/gzip", "application/x-gzip"],
];

/// How a document begins that a browser would take for HTML (WHATWG MIME Sniffing §7.1), XML or SVG.
const MARKUP: [&str; 21] = [
    "<!doctype",
    "<html",
    "<head",
    "<script",
    "<iframe",
    "<h1",
    "<div",
    "<font",
    "<table",
    "<a",
    "<style",
    "<title",
    "<b",
    "<body",
    "<br",
    "<p",
    "<!--",
    "<?xml",
    "<svg",
    "<math",
    "<?php",
];

/// Judges a file by what its sender says and its first [`HEAD`] bytes; answers the type it is kept under.
pub(crate) fn judge(declared: Option<&str>, head: &[u8]) -> Result<String, Refused> {
    let declared = match declared {
        Some(text) => Some(essence(text).ok_or(Refused::Malformed)?),
        None => None,
    };
    if declared.as_deref().is_some_and(is_active) || begins_like_markup(head) {
        return Err(Refused::Active);
    }
    let declared = declared.filter(|one| one != OCTETS);
    let found = infer::get(head).map(|kind| kind.mime_type());
    match (declared, found) {
        (_, Some(found)) if is_active(found) => Err(Refused::Active),
        (Some(declared), Some(found)) if alike(&declared, found) => Ok(declared),
        (Some(_), Some(_)) => Err(Refused::Mismatch),
        (None, Some(found)) => Ok(found.to_owned()),
        (Some(declared), None) => {
            let textual = declared.starts_with("text/")
                || matches!(
                    declared.as_str(),
                    "application/json" | "application/x-ndjson"
                );
            let recognised = RECOGNISED.contains(&declared.as_str());
            if recognised && !head.is_empty() || textual && !is_text(head) {
                Err(Refused::Mismatch)
            } else {
                Ok(declared)
            }
        }
        (None, None) if !head.is_empty() && is_text(head) => Ok("text/plain".to_owned()),
        (None, None) => Ok(OCTETS.to_owned()),
    }
}

/// Type and subtype in lower case, without parameters.
fn essence(text: &str) -> Option<String> {
    let essence = text.split(';').next()?.trim().to_ascii_lowercase();
    let token = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !part.is_empty() && part.len() <= 127 && part.bytes().all(plain)
    };
    let (kind, subtype) = essence.split_once('/')?;
    (token(kind) && token(subtype)).then_some(essence)
}

fn is_active(essence: &str) -> bool {
    let (kind, subtype) = essence.split_once('/').unwrap_or((essence, ""));
    let scripts = [
        "javascript",
        "ecmascript",
        "jscript",
        "livescript",
        "vbscript",
    ];
    subtype.ends_with("+xml")
        || scripts.iter().any(|script| subtype.contains(script))
        || matches!(
            subtype,
            "html" | "xml" | "css" | "xsl" | "x-component" | "cache-manifest"
        )
        || matches!(kind, "multipart" | "message")
        || matches!(
            essence,
            "application/wasm"
                | "application/x-shockwave-flash"
                | "application/hta"
                | "application/x-httpd-php"
        )
}

/// Whether a browser that sniffs would take it for a document: after a byte order mark and blanks, in one byte or two.
fn begins_like_markup(head: &[u8]) -> bool {
    let wide = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    let bare = head.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(head);
    let letters = bare
        .iter()
        .copied()
        .filter(|byte| *byte != 0 && !(wide && *byte >= 0xfe))
        .skip_while(u8::is_ascii_whitespace);
    let start: Vec<u8> = letters
        .take(16)
        .map(|byte| byte.to_ascii_lowercase())
        .collect();
    MARKUP.iter().any(|tag| {
        let after = start.get(tag.len()).copied();
        let ends = after.is_none_or(|byte| byte.is_ascii_whitespace() || b">/[".contains(&byte));
        // A comment and a declaration need no end; a tag is one only when its name is over.
        start.starts_with(tag.as_bytes())
            && (ends || tag.starts_with("<!") || tag.starts_with("<?"))
    })
}

fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end within a character.
        Err(fault) if fault.error_len().is_none() => {
            std::str::from_utf8(head.get(..fault.valid_up_to()).unwrap_or_default())
                .unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}'))
}

fn alike(declared: &str, found: &str) -> bool {
    // What older programs say.
    let usual = |one: &str| match one {
        "image/jpg" | "image/pjpeg" => "image/jpeg".to_owned(),
        "audio/mp3" => "audio/mpeg".to_owned(),
        "text/x-shellscript" => "text/plain".to_owned(),
        other => other.to_owned(),
    };
    let (declared, found) = (usual(declared), usual(found));
    declared == found
        || FAMILIES
            .iter()
            .any(|family| family.contains(&declared.as_str()) && family.contains(&found.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

    #[test]
    fn a_file_is_kept_under_what_it_is() {
        for (declared, head, kept) in [
            (Some("image/png"), PNG, "image/png"),
            (Some("IMAGE/PNG; q=1"), PNG, "image/png"),
            (Some(OCTETS), PNG, "image/png"),
            (None, PNG, "image/png"),
            (
                Some("text/plain"),
                b"hello, \xc3\xa9".as_slice(),
                "text/plain",
            ),
            (Some("text/plain"), b"cut \xc3", "text/plain"),
            (Some("text/csv"), b"a,b\n1,2\n", "text/csv"),
            (None, b"hello", "text/plain"),
            (None, b"\x00\x01\x02", OCTETS),
            (None, b"", OCTETS),
            (Some("application/json"), b"{\"a\": 1}", "application/json"),
            (Some("application/x-own"), b"\x00\x01", "application/x-own"),
            (
                Some("application/zip"),
                b"PK\x03\x04....",
                "application/zip",
            ),
            (
                Some("application/vnd.oasis.opendocument.text"),
                b"PK\x03\x04....",
                "application/vnd.oasis.opendocument.text",
            ),
            (Some("application/pdf"), b"%PDF-1.7\n", "application/pdf"),
            (Some("text/plain"), b"a < b and <table-less>", "text/plain"),
            (Some("text/plain"), b"<address@example.org>", "text/plain"),
        ] {
            assert_eq!(judge(declared, head), Ok(kept.to_owned()), "{declared:?}");
        }
    }

    #[test]
    fn what_a_browser_would_run_is_refused_whatever_it_is_called() {
        for (declared, head) in [
            (Some("text/html"), b"hello".as_slice()),
            (Some("image/svg+xml"), b"x"),
            (Some("application/xhtml+xml"), b"x"),
            (Some("text/xml"), b"x"),
            (Some("application/xml"), b"x"),
            (Some("text/javascript"), b"x"),
            (Some("application/x-javascript"), b"x"),
            (Some("message/rfc822"), b"x"),
            (Some("multipart/related"), b"x"),
            (Some("text/css"), b"x"),
            (Some("text/plain"), b"<!DOCTYPE html><p>"),
            (Some("text/plain"), b"<!doctypehtml>"),
            (
                Some("image/png"),
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            ),
            (
                Some("image/png"),
                b"\xef\xbb\xbf \n<?xml version='1.0'?><svg/>",
            ),
            (None, b"  <ScRiPt>alert(1)</script>"),
            (None, b"<!-- --><script>"),
            (None, b"\xff\xfe<\0h\0t\0m\0l\0>\0"),
            (None, b"\xfe\xff\0<\0s\0v\0g\0 "),
            (Some("application/pdf"), b"<html>"),
        ] {
            assert_eq!(judge(declared, head), Err(Refused::Active), "{declared:?}");
        }
    }

    #[test]
    fn what_is_not_what_it_is_called_is_refused() {
        for (declared, head) in [
            ("image/png", b"\xff\xd8\xff\xe0 JFIF".as_slice()),
            ("image/jpeg", PNG),
            ("image/png", b"hello"),
            ("application/pdf", b"hello"),
            ("text/plain", PNG),
            ("text/plain", b"a\0b"),
            ("application/json", b"\xff\xff"),
            ("text/plain", b"MZ\x90\0\x03\0\0\0"),
        ] {
            assert_eq!(
                judge(Some(declared), head),
                Err(Refused::Mismatch),
                "{declared}"
            );
        }
        for malformed in ["", "image", "image/", "/png", "im age/png", "image/png/x"] {
            assert_eq!(
                judge(Some(malformed), PNG),
                Err(Refused::Malformed),
                "{malformed}"
            );
        }
    }
}
