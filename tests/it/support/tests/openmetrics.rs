//! The strict reader takes what the specification allows and nothing else.

use std::panic::catch_unwind;

use crate::support::openmetrics::parse;

const GOOD: &str = "# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
# HELP wait_seconds Time, \\\"waited\\\".
wait_seconds_bucket{pool=\"a\",le=\"0.5\"} 1 # {trace_id=\"ab\"} 0.3 1700000000.5
wait_seconds_bucket{pool=\"a\",le=\"+Inf\"} 2
wait_seconds_sum{pool=\"a\"} 4.5
wait_seconds_count{pool=\"a\"} 2
# TYPE panics counter
panics_total 0
# EOF
";

#[test]
fn what_is_right_is_read() {
    let families = parse(GOOD);
    let wait = &families["wait_seconds"];
    assert_eq!(wait.help.as_deref(), Some("Time, \"waited\"."));
    let exemplar = wait.samples[0].exemplar.as_ref().unwrap();
    assert_eq!(exemplar.labels["trace_id"], "ab");
    assert!((exemplar.timestamp - 1_700_000_000.5).abs() < 1e-6);
    assert_eq!(families["panics"].kind, "counter");
}

#[test]
fn what_is_wrong_is_refused() {
    for (right, wrong) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF\n\n"),
        ("# TYPE panics", "\n# TYPE panics"),
        ("panics_total 0", "panics 0"),
        ("panics_total 0", "panics_total 0\npanics_total 0"),
        ("panics_total 0", "panics_total  0"),
        ("panics_total 0", "panics_total -1"),
        ("panics_total 0", "panics_total inf"),
        ("panics_total 0", "panics_total{a=\"b\",} 0"),
        ("# TYPE panics counter", "# TYPE panics untyped"),
        (
            "# TYPE panics counter",
            "# TYPE panics counter\n# UNIT panics seconds",
        ),
        ("# TYPE panics", "# HELP wait_seconds Again.\n# TYPE panics"),
        ("\\\"waited\\\"", "\"waited\""),
        ("le=\"0.5\"", "le=\"1\""),
        ("} 1 #", "} 3 #"),
        ("} 1 #", "} 0 #"),
        ("0.3 17", "0.7 17"),
        ("0.3 1700000000.5", "0.3"),
        ("le=\"+Inf\"} 2", "le=\"+Inf\"} 3"),
        ("wait_seconds_sum{pool=\"a\"} 4.5\n", ""),
        (
            "trace_id=\"ab\"",
            &format!("trace_id=\"{}\"", "a".repeat(121)),
        ),
    ] {
        let text = GOOD.replacen(right, wrong, 1);
        assert_ne!(text, GOOD);
        assert!(catch_unwind(|| parse(&text)).is_err(), "accepted:\n{text}");
    }
}
