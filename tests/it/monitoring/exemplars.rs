//! From a bucket to the trace and from the trace to the log line, by way of a real Prometheus.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::client::Client;
use crate::support::openmetrics;
use crate::support::otlp::{CollectedSpan, OtlpReceiver};
use crate::support::polling::eventually;
use crate::support::prometheus::Prometheus;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_secs(30);
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

fn settings(collector: &OtlpReceiver) -> [(&str, &str); 3] {
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ]
}

/// An exemplar of one of these series, as Prometheus has it: the series' labels and the exemplar.
async fn exemplar(prometheus: &Prometheus, query: &str) -> (Value, Value) {
    eventually(&format!("an exemplar of {query}"), LIMIT, || async {
        // Whatever was ingested: the ends of time.
        let range = [("query", query), ("start", "0"), ("end", "4000000000")];
        let found = prometheus.ask("/query_exemplars", &range).await;
        let series = found.as_array().expect("a list").first()?.clone();
        let newest = series["exemplars"]
            .as_array()
            .expect("a list")
            .last()?
            .clone();
        Some((series["seriesLabels"].clone(), newest))
    })
    .await
}

/// The span that the exemplar names, as the collector has it.
async fn span_of(collector: &OtlpReceiver, exemplar: &Value) -> CollectedSpan {
    let id = |name: &str| exemplar["labels"][name].as_str().expect(name).to_owned();
    let (trace, span) = (id("trace_id"), id("span_id"));
    eventually("the exemplar's span arrives", LIMIT, || async {
        let spans = collector.trace(&trace);
        spans.into_iter().find(|one| one.span_id() == span)
    })
    .await
}

fn seconds(span: &CollectedSpan) -> f64 {
    Duration::from_nanos(span.span.end_time_unix_nano - span.span.start_time_unix_nano)
        .as_secs_f64()
}

/// The observed value lies in the bucket, and is about as long as the span.
fn fits(labels: &Value, exemplar: &Value, span: &CollectedSpan) {
    let number = |value: &Value| {
        value
            .as_str()
            .expect("a text")
            .parse::<f64>()
            .expect("a number")
    };
    let value = number(&exemplar["value"]);
    assert!(
        value > 0.0 && value <= number(&labels["le"]),
        "{labels} {exemplar}"
    );
    let apart = (value - seconds(span)).abs();
    assert!(
        apart < 0.1,
        "{value} s, and the span took {} s",
        seconds(span)
    );
}

on_both_engines! {
    async fn an_exemplar_leads_to_its_trace_and_on_to_the_log_line(engine: Engine) {
        let collector = OtlpReceiver::http().await;
        let service = Service::start(engine, &settings(&collector)).await;
        let target = service.addresses().read().unwrap().ops.clone();
        let prometheus = Prometheus::scraping(&target).await;
        let user = Client::register(&service, "user").await;
        user.get("/users/me").await.expect(200);
        prometheus.has_scraped(LIMIT).await;

        let route = "/api/v1/auth/login";
        let query = format!("http_server_request_duration_seconds_bucket{{http_route=\"{route}\"}}");
        let (labels, found) = exemplar(&prometheus, &query).await;
        let span = span_of(&collector, &found).await;
        assert_eq!(span.span.kind, SERVER);
        assert_eq!(span.attribute("http.route").as_deref(), Some(route));
        let status = span.attribute("http.response.status_code");
        assert_eq!(labels["http_response_status_code"].as_str(), status.as_deref());
        fits(&labels, &found, &span);
        let line = service.wait_for_log("of the request", LIMIT, |line| {
            line["message"] == "request" && line["trace_id"] == found["labels"]["trace_id"]
        }).await;
        assert_eq!((&line["route"], &line["span_id"]), (&route.into(), &found["labels"]["span_id"]));

        let query = "db_client_operation_duration_seconds_bucket{db_query_summary=\"users.by_email\"}";
        let (labels, found) = exemplar(&prometheus, query).await;
        let span = span_of(&collector, &found).await;
        assert_eq!(span.span.kind, CLIENT);
        assert_eq!(span.attribute("db.query.summary").as_deref(), Some("users.by_email"));
        fits(&labels, &found, &span);
        let line = service.wait_for_log("of the request that asked", LIMIT, |line| {
            line["message"] == "request" && line["trace_id"] == found["labels"]["trace_id"]
        }).await;
        assert_eq!(line["span_id"], span.parent_id());
        prometheus.has_scraped(LIMIT).await;
    }

    async fn without_sampled_spans_there_are_no_exemplars(engine: Engine) {
        let collector = OtlpReceiver::http().await;
        let mut settings = settings(&collector);
        settings[1].1 = "always_off";
        let service = Service::start(engine, &settings).await;
        Client::register(&service, "user").await;
        let families = openmetrics::parse(&service.scrape_as("application/openmetrics-text").await);
        let mut samples = families.values().flat_map(|family| &family.samples);
        assert!(samples.all(|sample| sample.exemplar.is_none()));
        assert!(!service.scrape_text().await.contains("trace_id"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_whoever_asks_for_openmetrics_gets_it() {
    let collector = OtlpReceiver::http().await;
    let engine = crate::support::engines::Engine::Sqlite;
    let service = Service::start(engine, &settings(&collector)).await;
    Client::register(&service, "user").await;
    for (accept, wanted) in [
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        let request = service.http().get(service.ops_url("/metrics"));
        let answer = request.header("accept", accept).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], wanted);
        assert_eq!(answer.headers()["vary"], "accept, accept-encoding");
        let text = answer.text().await.unwrap();
        let is_open = wanted.starts_with("application");
        assert_eq!(text.contains("# EOF"), is_open);
        assert_eq!(
            text.contains("# {trace_id="),
            is_open,
            "exemplars where they may be"
        );
        if is_open {
            exemplars_are_of_now_and_name_a_span(&text);
        }
    }
}

fn exemplars_are_of_now_and_name_a_span(text: &str) {
    let families = openmetrics::parse(text);
    let samples = families.values().flat_map(|family| &family.samples);
    let mut exemplars = samples
        .filter_map(|sample| sample.exemplar.as_ref())
        .peekable();
    assert!(exemplars.peek().is_some());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs_f64();
    for exemplar in exemplars {
        let lengths: Vec<_> = exemplar
            .labels
            .iter()
            .map(|(name, id)| (name.as_str(), id.len()))
            .collect();
        assert_eq!(lengths, [("span_id", 16), ("trace_id", 32)]);
        assert!(
            (now - 60.0..=now).contains(&exemplar.timestamp),
            "{exemplar:?}"
        );
    }
}
