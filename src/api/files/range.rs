//! Range requests (RFC 9110 §14): one range of bytes, or the whole.

use std::ops::Range;

use http::{HeaderMap, header};

/// What of a file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range, one that is not understood (§14.2), or one that belongs to another state.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Nothing,
}

/// Reads `Range` and `If-Range` for a file of this size and state.
pub(crate) fn wanted(headers: &HeaderMap, size: u64, tag: &str, modified: &str) -> Wanted {
    let Some(range) = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
    else {
        return Wanted::Whole;
    };
    if let Some(condition) = headers.get(header::IF_RANGE) {
        // A weak tag never matches (§13.1.5); a date has to be the very one.
        let same = condition
            .to_str()
            .is_ok_and(|text| text == format!("\"{tag}\"") || text == modified);
        if !same {
            return Wanted::Whole;
        }
    }
    let Some((unit, set)) = range.split_once('=') else {
        return Wanted::Whole;
    };
    // Several ranges may be answered with the whole; nobody who asks for a file needs them.
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::Whole;
    }
    match one(set.trim(), size) {
        Some(range) if range.is_empty() => Wanted::Nothing,
        Some(range) => Wanted::Part(range),
        None => Wanted::Whole,
    }
}

/// `first-last`, `first-` or `-length`; empty when there is nothing there, `None` when it is no range.
fn one(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than fit are a number all the same, beyond any file.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        let length = number(last)?;
        return Some(size.saturating_sub(length)..size);
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(size);
    Some(first.min(end)..end)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(range: &'static str, if_range: Option<&'static str>, size: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static(range));
        if let Some(if_range) = if_range {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(if_range));
        }
        wanted(&headers, size, "tag", "Sun, 06 Nov 1994 08:49:37 GMT")
    }

    #[test]
    fn ranges_are_read() {
        for (range, wanted) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-4", Wanted::Part(2..5)),
            ("bytes=8-", Wanted::Part(8..10)),
            ("bytes=8-99999999999999999999999", Wanted::Part(8..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes", Wanted::Whole),
        ] {
            assert_eq!(asked(range, None, 10), wanted, "{range}");
        }
        assert_eq!(asked("bytes=0-", None, 0), Wanted::Nothing);
    }

    #[test]
    fn a_range_of_another_state_is_the_whole() {
        for (condition, part) in [
            ("\"tag\"", true),
            ("W/\"tag\"", false),
            ("\"other\"", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
        ] {
            let wanted = asked("bytes=1-2", Some(condition), 10);
            assert_eq!(wanted == Wanted::Part(1..3), part, "{condition}");
        }
    }
}
