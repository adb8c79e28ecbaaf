//! Reading what `/metrics` says.

use crate::support::scrape::Metrics;

const TEXT: &str = r#"# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{route="/a",code="200"} 3
requests_total{route="/b{id}",code="200"} 4
requests_total{route="a \"quoted\", \\ one",code="500"} 1 # {trace_id="ab"} 1.0
up 1
"#;

#[test]
fn a_value_is_the_sum_over_the_series_with_these_labels() {
    let metrics = Metrics::parse(TEXT);
    assert_eq!(metrics.value("requests_total", &[]), Some(8.0));
    assert_eq!(
        metrics.value("requests_total", &[("code", "200")]),
        Some(7.0)
    );
    assert_eq!(
        metrics.value("requests_total", &[("route", "/b{id}")]),
        Some(4.0)
    );
    assert_eq!(
        metrics.value("requests_total", &[("route", "a \"quoted\", \\ one")]),
        Some(1.0)
    );
    assert_eq!(metrics.value("up", &[]), Some(1.0));
    assert_eq!(metrics.series_count(), 4);
}

#[test]
fn a_series_that_is_not_there_has_no_value() {
    assert_eq!(
        Metrics::parse(TEXT).value("requests_total", &[("code", "404")]),
        None
    );
}

#[test]
#[should_panic(expected = "the same series twice")]
fn a_series_may_not_be_there_twice() {
    Metrics::parse("a{b=\"c\"} 1\na{b=\"c\"} 2\n");
}
