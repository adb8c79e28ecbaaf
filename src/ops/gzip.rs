//! Gzip for the metrics: a scrape is 1.7 MB of text, and Prometheus asks for it compressed.

use std::io::Write as _;

use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Whether the client takes gzip (RFC 9110 §12.5.3): named, or by `*`, and not with a weight of 0.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|coding| coding.split_once(';').unwrap_or((coding, "")))
        .map(|(name, weight)| (name.trim(), weight.replace(' ', "")));
    let mut star = false;
    let named = codings.find_map(|(name, weight)| {
        let refused = weight
            .strip_prefix("q=")
            .is_some_and(|q| q.parse().is_ok_and(|q: f32| q <= 0.0));
        if name == "*" {
            star = !refused;
        }
        name.eq_ignore_ascii_case("gzip").then_some(!refused)
    });
    named.unwrap_or(star)
}

/// Compresses at the fastest level. Not by tower-http's layer, which does it on a thread that serves requests: a whole scrape
/// takes some milliseconds of CPU.
pub(super) async fn compress(text: String) -> std::io::Result<Vec<u8>> {
    let work = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 16), Compression::fast());
        encoder.write_all(text.as_bytes())?;
        encoder.finish()
    });
    work.await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_whoever_takes_it_and_to_nobody_else() {
        for (accepts, wanted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("br;q=1, *;q=0.1", true),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepts.parse().unwrap());
            assert_eq!(is_wanted(&headers), wanted, "{accepts}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
