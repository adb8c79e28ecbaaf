//! The W3C trace context: reading `traceparent`, writing `traceparent` and `traceresponse`.

use std::fmt;
use std::ops::Range;
use std::str::FromStr as _;

use http::HeaderMap;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::active;
use crate::telemetry::scope;

/// Where the parts of a version 00 header are.
pub const TRACE_ID: Range<usize> = 3..35;
/// See [`TRACE_ID`].
pub const SPAN_ID: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;

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
        let trace_id = lower_hex(text.get(TRACE_ID)?)?;
        let span_id = u64::try_from(lower_hex(text.get(SPAN_ID)?)?).ok()?;
        let flags = lower_hex(text.get(FLAGS)?)?;
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

    /// The ids of a span, if it is one that is recorded. Asking starts it.
    pub(in crate::telemetry) fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| Self {
            trace_id: ids.trace_id(),
            span_id: ids.span_id(),
            sampled: ids.is_sampled(),
        })
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
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (trace, span) = (self.trace_id.to_bytes(), self.span_id.to_bytes());
        hex(&mut text[TRACE_ID], &trace);
        hex(&mut text[SPAN_ID], &span);
        hex(&mut text[FLAGS], &[u8::from(self.sampled)]);
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// Writes bytes as lower-case hexadecimal digits, two each.
fn hex(digits: &mut [u8], bytes: &[u8]) {
    for (two, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        for (digit, half) in two.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = half + if half < 10 { b'0' } else { b'a' - 10 };
        }
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
    scope::with_current(|scope| scope.traceparent().to_owned())
        .or_else(|| active().map(|ids| ids.to_string()))
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
        let scope = scope::tests::scope("r", false);
        let handed_on = scope.run(async { current_traceparent() }).await.unwrap();
        assert_eq!(
            handed_on,
            format!("00-{}-{}-00", "a".repeat(32), "b".repeat(16))
        );
        assert_eq!(current_traceparent(), None);
    }
}
