//! Conditional requests (RFC 9110 §13): entity tags in and out.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{problem::Problem, problem_types::INVALID_HEADER, reply::Reply};
use crate::domain::version::Expected;

#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// The opaque part of each tag, and whether it is weak.
    These(Vec<(String, bool)>),
}

/// Reads a list of entity tags, or `*`.
fn parse(text: &str) -> Option<Tags> {
    if text.trim() == "*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    let mut rest = text.trim();
    loop {
        let weak = rest.starts_with("W/");
        rest = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let (tag, after) = rest.split_once('"')?;
        if tag.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return None;
        }
        tags.push((tag.to_owned(), weak));
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(Tags::These(tags));
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

fn header_tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let values: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    if values.is_empty() {
        return Ok(None);
    }
    let text: Option<Vec<&str>> = values.iter().map(|value| value.to_str().ok()).collect();
    let text = text.map(|text| text.join(", "));
    // A list without elements says nothing (RFC 9110 §5.6.1.2).
    if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
        return Ok(None);
    }
    let tags = text.and_then(|text| parse(&text));
    match tags {
        Some(tags) => Ok(Some(tags)),
        None => Err(Problem::new(
            &INVALID_HEADER,
            format!("{name} is `*` or a list of entity tags in double quotes."),
        )),
    }
}

/// What `If-Match` asks for. Weak tags never match here (RFC 9110 §13.1.1).
pub(super) fn if_match(headers: &HeaderMap) -> Result<Expected, Problem> {
    Ok(match header_tags(headers, &header::IF_MATCH)? {
        None | Some(Tags::Any) => Expected::Anything,
        Some(Tags::These(tags)) => Expected::OneOf(
            tags.into_iter()
                .filter(|(_, weak)| !weak)
                .map(|(tag, _)| tag)
                .collect(),
        ),
    })
}

/// A GET's answer: 304 without the body when `If-None-Match` names this state.
pub(super) fn fresh(
    headers: &HeaderMap,
    tag: &str,
    modified: jiff::Timestamp,
    reply: impl FnOnce() -> Reply,
) -> Result<Reply, Problem> {
    let known = match header_tags(headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::These(tags)) => tags.iter().any(|(known, _)| known == tag),
    };
    let reply = if known {
        Reply::empty(StatusCode::NOT_MODIFIED).with(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        )
    } else {
        reply()
    };
    Ok(reply.with_state(tag, modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags_are_read_as_written() {
        let these = |tags: &[(&str, bool)]| {
            Some(Tags::These(
                tags.iter().map(|(t, w)| ((*t).to_owned(), *w)).collect(),
            ))
        };
        assert_eq!(parse("*"), Some(Tags::Any));
        assert_eq!(parse("\"a\""), these(&[("a", false)]));
        assert_eq!(
            parse(" \"a\" , W/\"b,c\""),
            these(&[("a", false), ("b,c", true)])
        );
        for bad in ["", "a", "\"a", "\"a\" \"b\"", "\"a\",", "w/\"a\""] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
