//! The inventory's rules, and that what is declared is what is emitted.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::telemetry::exposition::{self, Format};
use crate::telemetry::scope::tests::scope;

#[test]
fn names_say_their_kind_and_unit_and_none_is_there_twice() {
    let mut names = BTreeSet::new();
    for one in INSTRUMENTS {
        assert!(names.insert(one.name), "{} is declared twice", one.name);
        assert_eq!(
            one.name.ends_with("_total"),
            one.kind == Kind::Counter,
            "{}",
            one.name
        );
        assert_eq!(
            one.kind == Kind::Histogram,
            !one.bounds.is_empty(),
            "{}",
            one.name
        );
        let base = one.name.strip_suffix("_total").unwrap_or(one.name);
        if !one.unit.is_empty() {
            assert!(base.ends_with(one.unit), "{} is in {}", one.name, one.unit);
        }
        assert!(one.help.ends_with('.'), "{}", one.name);
        assert!(one.bounds.is_sorted_by(|a, b| a < b), "{}", one.name);
        assert!(!one.labels.contains(&"le"));
    }
}

#[test]
fn bounds_of_objectives_are_there_and_are_no_whole_numbers() {
    for (name, bounds) in [
        ("http_server_request_duration_seconds", &[0.25, 0.5][..]),
        ("outbox_delivery_lag_seconds", &[29.5]),
    ] {
        let declared = find(name).unwrap().bounds;
        for bound in bounds {
            assert!(
                declared.contains(bound) && bound.fract() != 0.0,
                "{name} {bound}"
            );
        }
    }
}

fn prime_all() -> requests::Requests {
    pipeline::prime();
    process::prime();
    process::build_info("1", "abc");
    process::config_info("development", "sqlite", true);
    database::prime("sqlite", ["events.find"], ["busy"], ["main"]);
    backups::prime();
    backups::known(&backups::Known::default());
    health::prime(&["database"]);
    health::file_system("data", 1, 2);
    outbox::prime(&["email"], &["delivered"]);
    protection::prime_rate_limits(&["write"], &["allowed"]);
    cache::prime();
    cache::prime_caches(&["sessions"]);
    protection::prime_secret_keys();
    protection::prime_requests(&["password"], &["ok"]);
    files::prime(&["avatar"], &["stored"], &["whole"]);
    storage::prime("file", ["get"], ["timeout"]);
    replica::prime(true, &["primary"], &["down"]);
    product::prime(&["accepted"], &["confirmed"], &["event_changed"]);
    requests::Requests::new([requests::Route {
        method: "GET",
        route: "/v1/events/{id}".to_owned(),
        outcomes: vec![(200, ""), (404, "not_found")],
    }])
}

#[test]
fn openmetrics_names_families_and_bounds_as_it_must_and_shows_exemplars() {
    let requests = prime_all();
    let took = Duration::from_millis(30);
    requests.observe("GET", "/v1/events/{id}", 200, "", took, &scope("r", true));
    let text = exposition::render(Format::OpenMetrics, None);
    let bucket = "http_server_request_duration_seconds_bucket{http_request_method=\"GET\",\
                  http_route=\"/v1/events/{id}\",http_response_status_code=\"200\",error_type=\"\",le=\"0.05\"} ";
    let bucket = text.lines().find_map(|line| line.strip_prefix(bucket));
    let exemplar = format!(
        " # {{trace_id=\"{}\",span_id=\"{}\"}} 0.03 ",
        "a".repeat(32),
        "b".repeat(16)
    );
    assert!(bucket.unwrap().contains(&exemplar), "{bucket:?}");
    assert_eq!(text.matches(&exemplar).count(), 1, "in its own bucket only");
    for part in [
        "# TYPE panics counter\n# HELP panics Panics caught or fatal; each is a defect.\npanics_total ",
        "# TYPE build info\n# HELP build Always 1; the labels tell the build.\nbuild_info{",
        "# TYPE db_client_connection_count unknown\n",
        "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n",
        "# TYPE db_client_write_batch_size histogram\n# HELP",
        "db_client_write_batch_size_bucket{le=\"64.0\"} ",
        "db_client_write_batch_size_bucket{le=\"+Inf\"} ",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(text.ends_with("\n# EOF\n") && !text.contains("\n\n"));
}

#[test]
fn what_is_declared_is_emitted_once_primed_with_help_and_type() {
    let _requests = prime_all();
    let text = exposition::render(Format::Text, None);
    for one in INSTRUMENTS {
        // Only a Linux process knows all of its numbers; they are primed all the same.
        let kind = match one.kind {
            Kind::Counter => "counter",
            Kind::Gauge if one.name.ends_with("_count") => "untyped",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let head = format!("# HELP {0} {1}\n# TYPE {0} {kind}\n{0}", one.name, one.help);
        assert!(text.contains(&head), "{head}");
    }
    for head in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = head.split(' ').next().unwrap();
        assert!(find(name).is_some(), "{name} is emitted and not declared");
    }
}

#[test]
fn ten_thousand_hostile_requests_leave_the_number_of_series_as_it_was() {
    let requests = prime_all();
    let series = || {
        let text = exposition::render(Format::Text, None);
        let hostile = "http_server_request_duration_seconds_count{";
        text.lines()
            .filter(|line| line.starts_with(hostile))
            .count()
    };
    let scope = scope("r", false);
    let zero = Duration::ZERO;
    requests.observe("_OTHER", "unmatched", 404, "not_found", zero, &scope);
    let before = series();
    for number in 0..10_000 {
        let (method, route) = (format!("M{number}"), format!("/{number}"));
        requests.observe(&method, &route, 404, "not_found", zero, &scope);
        drop(requests.active(&method));
        requests.cancelled(&route);
    }
    assert_eq!(series(), before);
}

#[test]
fn a_request_is_counted_under_its_route_and_its_bucket() {
    let requests = prime_all();
    let line = "http_server_request_duration_seconds_bucket{http_request_method=\"GET\",\
                http_route=\"/v1/events/{id}\",http_response_status_code=\"404\",\
                error_type=\"not_found\",le=\"0.25\"} ";
    let count = || -> u64 {
        let text = exposition::render(Format::Text, None);
        let found = text.lines().find_map(|one| one.strip_prefix(line));
        found.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    };
    let before = count();
    let took = Duration::from_millis(200);
    let (route, scope) = ("/v1/events/{id}", scope("r", false));
    requests.observe("GET", route, 404, "not_found", took, &scope);
    requests.observe("GET", route, 404, "not_found", took * 2, &scope);
    assert_eq!(count(), before + 1);
}

#[test]
fn a_family_beyond_its_bound_gathers_in_one_series() {
    static FAMILY: family::Family<metrics::Counter, 1> =
        family::Family::new("notifications_created_total");
    for number in 0..5000 {
        FAMILY.prime([Box::leak(format!("kind{number}").into_boxed_str())]);
    }
    FAMILY.with(["one more"], |one| one.increment(1));
    let text = exposition::render(Format::Text, None);
    assert!(!text.contains("one more"));
    assert!(text.contains("notifications_created_total{kind=\"_OTHER\"} "));
}

#[test]
fn the_reference_has_a_row_for_every_metric() {
    let page = reference_markdown();
    for one in INSTRUMENTS {
        assert_eq!(page.matches(&format!("| `{}` |", one.name)).count(), 1);
    }
    assert!(page.contains("| histogram | seconds | `pool_name` | 0.0001 0.0005 "));
}
