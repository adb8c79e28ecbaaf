//! The W3C trace context: reading `traceparent`, writing `traceparent` and `traceresponse`.

use std::fmt;
use std::str::FromStr as _;

use http::HeaderMap;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};

use crate::telemetry::scope;

/// A trace context as it travels in a header or a row (W3C Trace Context, section 3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceParent {
    /// The trace; never all zeros.
    pub trace_id: TraceId,
    /// The calling span; never all zeros.
    pub span_id: SpanId,
    /// Whether the caller records its spans.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the header's value; `None` for anything the specification calls invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 55 || !text.is_ascii() {
            return None;
        }
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        let version = lower_hex(text.get(0..2)?)?;
        // A later version may add fields behind another dash; version 00 may not, and ff is forbidden.
        let length_fits = match version {
            0xff => false,
            0 => bytes.len() == 55,
            _ => bytes.len() == 55 || bytes.get(55) == Some(&b'-'),
        };
        if !dashes || !length_fits {
            return None;
        }
        let trace_id = lower_hex(text.get(3..35)?)?;
        let span_id = u64::try_from(lower_hex(text.get(36..52)?)?).ok()?;
        let flags = lower_hex(text.get(53..55)?)?;
        (trace_id != 0 && span_id != 0).then(|| Self {
            trace_id: TraceId::from(trace_id),
            span_id: SpanId::from(span_id),
            sampled: flags & 1 == 1,
        })
    }

    /// Reads the header of a request; more than one `traceparent` counts as none.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let only = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(only.to_str().ok()?)
    }

    /// The same as a remote span context of the SDK, with the caller's `tracestate` if it has one.
    pub(super) fn span_context(self, tracestate: Option<&str>) -> SpanContext {
        let state = tracestate
            .and_then(|text| TraceState::from_str(text).ok())
            .unwrap_or_default();
        let flags = TraceFlags::default().with_sampled(self.sampled);
        SpanContext::new(self.trace_id, self.span_id, flags, true, state)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }
}

fn lower_hex(text: &str) -> Option<u128> {
    let lower = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    lower.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The `traceparent` to hand on: to a row that is worked on later, or to whoever is called.
///
/// In a request it names the server span, so that later work is linked to the request and not to one of its
/// statements; elsewhere it names the active span, if there is one.
pub fn current_traceparent() -> Option<String> {
    scope::with_current(|scope| {
        traceresponse_header(&scope.trace_id, &scope.span_id, scope.sampled)
    })
    .or_else(|| {
        opentelemetry::Context::map_current(|context| {
            let span = context.span();
            let ids = span.span_context();
            ids.is_valid().then(|| {
                let parent = TraceParent {
                    trace_id: ids.trace_id(),
                    span_id: ids.span_id(),
                    sampled: ids.is_sampled(),
                };
                parent.to_string()
            })
        })
    })
}

/// The value of `traceresponse` (W3C Trace Context Level 2 draft, section 4): the server span's ids.
pub fn traceresponse_header(trace_id: &str, span_id: &str, sampled: bool) -> String {
    let flags = if sampled { "01" } else { "00" };
    ["00", trace_id, span_id, flags].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_header_reads_back_as_written() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), GOOD);
        assert!(TraceParent::parse(&GOOD.replacen("00", "cc", 1)).is_some());
        assert!(TraceParent::parse(&format!("{}-x", GOOD.replacen("00", "cc", 1))).is_some());
        assert!(
            !TraceParent::parse(&GOOD.replace("-01", "-02"))
                .unwrap()
                .sampled
        );
    }

    #[test]
    fn what_the_specification_forbids_is_ignored() {
        for bad in [
            String::new(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            format!("{GOOD}-x"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "4b+9"),
            "é".repeat(40),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn two_headers_count_as_none() {
        let mut headers = HeaderMap::new();
        headers.append("traceparent", GOOD.parse().unwrap());
        assert!(TraceParent::from_headers(&headers).is_some());
        headers.append("traceparent", GOOD.parse().unwrap());
        assert_eq!(TraceParent::from_headers(&headers), None);
    }

    #[tokio::test]
    async fn inside_a_request_that_is_not_recorded_the_server_span_is_handed_on() {
        let scope = scope::RequestScope::new(
            "r".into(),
            "/p".into(),
            "a".repeat(32),
            "b".repeat(16),
            false,
        );
        let handed_on = scope.run(async { current_traceparent() }).await.unwrap();
        assert_eq!(
            handed_on,
            format!("00-{}-{}-00", "a".repeat(32), "b".repeat(16))
        );
        assert_eq!(current_traceparent(), None);
    }
}
