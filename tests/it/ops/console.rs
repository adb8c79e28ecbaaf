//! The ops console's documents: what they keep, that they agree with `/metrics`, and that they answer whatever happens.
//! The page itself is tested in a browser, by `tests/console.sh`.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::{Client, event_body};
use crate::support::engines::Engine;
use crate::support::otlp::OtlpReceiver;
use crate::support::polling::eventually;
use crate::support::postgres::Cluster;
use crate::support::scrape::Metrics;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_secs(30);

async fn document(service: &Service, path: &str) -> Value {
    let answer = service.http().get(service.ops_url(path)).send().await;
    let answer = answer.unwrap_or_else(|failure| panic!("{path}: {failure}"));
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

fn trace_of(answer: &Answer) -> String {
    let header = answer.header("traceresponse").expect("a traceresponse");
    header.split('-').nth(1).unwrap().to_owned()
}

/// What is kept of a trace, waiting for a delivery of it if one is asked for.
async fn kept(service: &Service, trace: &str, with_delivery: bool) -> Value {
    eventually("the request is kept", LIMIT, || async {
        let found = document_if_there(service, &format!("/console/traces/{trace}")).await?;
        let deliveries = found["related"].as_array()?;
        let has_one = deliveries.iter().any(|one| one["kind"] == "delivery");
        (has_one || !with_delivery).then_some(found)
    })
    .await
}

async fn document_if_there(service: &Service, path: &str) -> Option<Value> {
    let answer = service
        .http()
        .get(service.ops_url(path))
        .send()
        .await
        .ok()?;
    if answer.status() != StatusCode::OK {
        return None;
    }
    serde_json::from_str(&answer.text().await.ok()?).ok()
}

fn messages(record: &Value) -> Vec<String> {
    let lines = record["lines"].as_array().expect("lines").iter();
    let fields = lines.map(|line| serde_json::from_str::<Value>(line["json"].as_str().unwrap()));
    fields
        .map(|fields| fields.unwrap()["message"].as_str().unwrap().to_owned())
        .collect()
}

on_both_engines! {
    async fn a_request_is_kept_with_its_steps_its_lines_and_its_delivery(engine: Engine) {
        let collector = OtlpReceiver::http().await;
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_TRACES_SAMPLER", "always_on"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ];
        let service = Service::start(engine, &settings).await;
        let organizer = Client::register(&service, "organizer").await;
        let guest = Client::register(&service, "guest").await;
        let event = organizer.create_event(json!({})).await;
        let invited = organizer.invite(&event, &guest).await;
        let trace = trace_of(&invited);
        let found = kept(&service, &trace, true).await;
        let record = &found["record"];
        assert_eq!(record["status"], 201);
        assert_eq!(record["trace_id"], trace.as_str());
        assert_eq!(record["request_id"], invited.header("x-request-id").unwrap());
        assert_eq!(record["exported"], true);

        let steps = record["steps"].as_array().unwrap();
        let names: Vec<&str> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"participants.invite") && names.contains(&"COMMIT"), "{names:?}");
        let whole = record["duration_us"].as_u64().unwrap();
        for step in steps {
            let end = step["start_us"].as_u64().unwrap() + step["duration_us"].as_u64().unwrap();
            assert!(end <= whole, "{step} ends after the request");
        }
        assert_eq!(messages(record), ["request"]);

        let delivery = found["related"].as_array().unwrap().iter().find(|one| one["kind"] == "delivery").unwrap();
        assert_eq!(delivery["outcome"], "delivered");
        assert_eq!(delivery["causes"][0], trace.as_str());
        let own = delivery["trace_id"].as_str().expect("it is exported").to_owned();
        eventually("the delivery's span has the same trace id", LIMIT, || async {
            (!collector.trace(&own).is_empty()).then_some(())
        })
        .await;
    }

    async fn its_figures_are_those_of_the_metrics(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        for _ in 0..20 {
            user.get("/events/").await.expect(200);
            service.http().get(service.url("/health")).send().await.unwrap();
            user.get("/events/no-such-id").await;
        }
        // Nothing is under way any more, so both say the same as soon as a new sample is there.
        let metrics = service.scrape().await;
        let requests = metrics.value("http_server_request_duration_seconds_count", &[]);
        let page = eventually("a sample after the requests", LIMIT, || async {
            let page = document(&service, "/console/snapshot").await;
            (page["totals"]["requests"].as_f64() == requests).then_some(page)
        })
        .await;
        assert_same(&page, &metrics);
    }

    async fn nothing_of_it_is_on_the_public_listener(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        for path in ["/", "/console/snapshot", "/console/traces", "/console/traces/1", "/console/main.js"] {
            let answer = service.http().get(service.url(path)).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            let answer = service.http().get(service.ops_url("/console/traces/0")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        }
    }
}

fn assert_same(page: &Value, metrics: &Metrics) {
    let name = "http_server_request_duration_seconds";
    let requests = metrics.value(&format!("{name}_count"), &[]);
    assert_eq!(page["totals"]["requests"].as_f64(), requests);
    let bounds = page["totals"]["latency_bounds_seconds"].as_array().unwrap();
    let counts = page["totals"]["latency_buckets"].as_array().unwrap();
    assert_eq!(counts.len(), bounds.len() + 1);
    for (bound, count) in bounds.iter().zip(counts) {
        let le = bound.as_f64().unwrap().to_string();
        let bucket = metrics.value(&format!("{name}_bucket"), &[("le", &le)]);
        assert_eq!(count.as_f64(), bucket, "le {le}");
    }
    let reads = |slo: &Value| slo["name"] == "api-read-latency";
    let slo = page["slos"]
        .as_array()
        .unwrap()
        .iter()
        .find(|slo| reads(slo))
        .unwrap();
    // Only the API's routes are promised anything.
    let all = metrics
        .keys()
        .filter(|(key, _)| *key == format!("{name}_count"));
    let routes: BTreeSet<&String> = all.map(|(_, labels)| &labels["http_route"]).collect();
    let of = |method: &str| -> f64 {
        let api = routes.iter().filter(|route| route.starts_with("/api/"));
        api.filter_map(|route| {
            let labels = [
                ("http_request_method", method),
                ("http_route", route.as_str()),
            ];
            metrics.value(&format!("{name}_count"), &labels)
        })
        .sum()
    };
    let get = of("GET") + of("HEAD");
    assert_eq!(slo["since_start"]["total"].as_f64(), Some(get));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_while_requests_are_shed() {
    let service = Service::start(Engine::Sqlite, &[("CONVOKE_MAX_IN_FLIGHT", "1")]).await;
    let user = Client::register(&service, "user").await;
    // One request that does not end: its body never arrives in full.
    let address = service.url("").replace("http://", "");
    let mut stuck = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/v1/events/ HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{",
        user.token
    );
    tokio::io::AsyncWriteExt::write_all(&mut stuck, head.as_bytes())
        .await
        .unwrap();
    eventually("it has the only place", LIMIT, || async {
        let report = document(&service, "/debug/runtime").await;
        (report["requests"]["oldest"][0]["phase"] == "body").then_some(())
    })
    .await;
    let refused = eventually("a request is refused", LIMIT, || async {
        let answer = user.get("/events/").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(refused.problem(), "overloaded");
    document(&service, "/console/snapshot").await;
    let found = kept(&service, &trace_of(&refused), false).await;
    assert_eq!(found["record"]["why"], "failed");
    assert_eq!(found["record"]["error"], "overloaded");
    assert_eq!(messages(&found["record"]), ["request"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_during_an_outage_of_the_database_and_says_so() {
    let cluster = Cluster::start("");
    let database = cluster.create_database().await;
    let service = Service::start_on(&database, &[]).await;
    let user = Client::register(&service, "user").await;
    cluster.stop();
    let failed = eventually("a request fails", LIMIT, || async {
        let answer = user.post("/events/", event_body(json!({}))).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    let found = kept(&service, &trace_of(&failed), false).await;
    assert_eq!(found["record"]["error"], "database_unavailable");
    assert_eq!(
        messages(&found["record"]),
        ["the database is unavailable", "request"]
    );
    let check = eventually("the check is shown as failed", LIMIT, || async {
        let page = document(&service, "/console/snapshot").await;
        let checks = page["readiness"]["checks"].as_array()?.clone();
        checks
            .into_iter()
            .find(|check| check["name"] == "database" && check["status"] == "failed")
    })
    .await;
    assert!(
        check["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty())
    );
}
