//! Digest fields (RFC 9530), as far as SHA-256 goes.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderMap;

/// The fields in which a client may say what it sends; without a content coding they mean the same.
const FIELDS: [&str; 2] = ["content-digest", "repr-digest"];

/// The SHA-256 digests that the headers name. Other algorithms are for others (RFC 9530 §2).
pub(crate) fn claimed(headers: &HeaderMap) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut claims = Vec::new();
    for field in FIELDS {
        for value in headers.get_all(field) {
            let members = value.to_str().map_err(|_| field)?.split(',');
            for member in members {
                let Some((name, value)) = member.trim().split_once('=') else {
                    return Err(field);
                };
                if name.trim() == "sha-256" {
                    let bytes = value
                        .trim()
                        .strip_prefix(':')
                        .and_then(|v| v.strip_suffix(':'));
                    let bytes = bytes.and_then(|bytes| BASE64_STANDARD.decode(bytes).ok());
                    claims.push(bytes.filter(|bytes| bytes.len() == 32).ok_or(field)?);
                }
            }
        }
    }
    Ok(claims)
}

/// The value of `Repr-Digest`.
pub(crate) fn written(sha256: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64_STANDARD.encode(sha256))
}

/// A hash as people compare it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn claims_are_read_and_nonsense_is_refused() {
        let digest = written(&[7; 32]);
        let mut headers = HeaderMap::new();
        assert_eq!(claimed(&headers), Ok(vec![]));
        let both = format!("sha-512=:AA==:, {digest}");
        headers.insert("repr-digest", HeaderValue::try_from(both).unwrap());
        assert_eq!(claimed(&headers), Ok(vec![vec![7; 32]]));
        for nonsense in ["sha-256=AAAA", "sha-256=:AA==:", "sha-256", "sha-256=:!:"] {
            headers.insert("content-digest", HeaderValue::from_static(nonsense));
            assert_eq!(claimed(&headers), Err("content-digest"), "{nonsense}");
        }
    }
}
