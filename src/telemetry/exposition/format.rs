//! The two formats of the exposition, and which of them a scraper wants (RFC 9110, section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

/// How the metrics are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Prometheus's text format (Prometheus documentation, "Exposition formats").
    Text,
    /// OpenMetrics 1.0.0, with exemplars.
    OpenMetrics,
}

/// How well a representation is liked, and how exactly it was named: 0 for `*/*` to 3 with its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Liking {
    exactness: u8,
    quality: f32,
}

impl Format {
    /// Every format.
    const ALL: [Self; 2] = [Self::Text, Self::OpenMetrics];

    /// The media type, with its parameters.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    const fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain"),
            Self::OpenMetrics => ("application", "openmetrics-text"),
        }
    }

    const fn version(self) -> &'static str {
        match self {
            Self::Text => "0.0.4",
            Self::OpenMetrics => "1.0.0",
        }
    }

    /// The format that is liked best; text for whoever has no preference, or wants something else altogether, for a
    /// person with a browser is better shown something.
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let ranges = headers.get_all(ACCEPT);
        let ranges = || ranges.iter().filter_map(|value| value.to_str().ok());
        let [text, open] = Self::ALL.map(|format| format.liking(ranges()));
        // At the same quality, whoever names OpenMetrics wants it.
        let named = open.exactness > 1 && open.exactness >= text.exactness;
        if open.quality > text.quality
            || (named && open.quality > 0.0 && open.quality >= text.quality)
        {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The quality that the most exact of the matching ranges gives.
    fn liking<'a>(self, headers: impl Iterator<Item = &'a str>) -> Liking {
        let ranges = headers.flat_map(|value| value.split(','));
        ranges
            .filter_map(|range| self.liking_by(range))
            .fold(Liking::default(), |best, one| {
                if one.exactness > best.exactness || best == Liking::default() {
                    one
                } else {
                    best
                }
            })
    }

    /// What one range says of this format; `None` when it does not match, or cannot be read.
    fn liking_by(self, range: &str) -> Option<Liking> {
        let mut parts = range.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let (own_kind, own_subtype) = self.media_type();
        let mut exactness = match (kind, subtype) {
            ("*", "*") => 0,
            (kind, "*") if kind.eq_ignore_ascii_case(own_kind) => 1,
            (kind, subtype)
                if kind.eq_ignore_ascii_case(own_kind)
                    && subtype.eq_ignore_ascii_case(own_subtype) =>
            {
                2
            }
            _ => return None,
        };
        let mut quality = 1.0;
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("q") {
                quality = value.parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
            } else if name.trim().eq_ignore_ascii_case("version") {
                if value != self.version() {
                    return None;
                }
                exactness = 3;
            }
        }
        Some(Liking { exactness, quality })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        Format::negotiate(&headers)
    }

    #[test]
    fn prometheus_gets_openmetrics() {
        for accept in [
            // 2.42, then 3.0, then 3.0 with native histograms.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            "text/plain, application/openmetrics-text",
            "text/plain;q=0.5, application/*",
        ] {
            assert_eq!(wanted(&[accept]), Format::OpenMetrics, "{accept}");
        }
        assert_eq!(
            wanted(&["text/plain;q=0.1", "application/openmetrics-text;q=0.2"]),
            Format::OpenMetrics
        );
    }

    #[test]
    fn everybody_else_gets_text() {
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            "text/plain, application/openmetrics-text;q=0.9",
            "application/openmetrics-text;q=0, */*",
            "application/openmetrics-text;version=0.0.1, text/plain;q=0.1",
            "application/openmetrics-text;q=nonsense, text/plain;q=0.1",
            "application/json",
            "application/openmetrics-text;q=0",
        ] {
            assert_eq!(wanted(&[accept]), Format::Text, "{accept}");
        }
        assert_eq!(wanted(&[]), Format::Text);
    }
}
