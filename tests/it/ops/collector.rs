//! A trace collector that is down or never answers: no request waits for it, and no lost span goes uncounted.

use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::engines::Engine;
use crate::support::load::{quantile, timed};
use crate::support::otlp::{BlackHole, dead_endpoint};
use crate::support::polling::eventually;
use crate::support::service::Service;

const REQUESTS: usize = 1_000;
/// What the settings below allow for the end, and a busy machine's share.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

async fn p99(service: &Service) -> Duration {
    let user = Client::register(service, "user").await;
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let (answer, time) = timed(user.get("/users/me")).await;
        answer.expect(200);
        times.push(time);
    }
    quantile(&mut times, 0.99)
}

async fn exporting_to(endpoint: &str, protocol: &str) -> Service {
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        // A short queue, so that this many requests overflow it.
        ("OTEL_BSP_MAX_QUEUE_SIZE", "256"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64"),
        ("CONVOKE_SHUTDOWN_GRACE", "0s"),
        ("CONVOKE_SHUTDOWN_TIMEOUT", "5s"),
        ("CONVOKE_TELEMETRY_SHUTDOWN_TIMEOUT", "2s"),
    ];
    Service::start(Engine::Sqlite, &settings).await
}

async fn costs_nothing_and_is_counted(endpoint: &str, protocol: &str) {
    let without = Service::start(Engine::Sqlite, &[]).await;
    let usual = p99(&without).await;
    drop(without);

    let mut service = exporting_to(endpoint, protocol).await;
    let with = p99(&service).await;
    assert!(
        with <= usual * 3 + Duration::from_millis(10),
        "p99 {with:?} with a collector that does not answer, {usual:?} without any"
    );

    eventually(
        "lost spans are counted",
        Duration::from_secs(30),
        || async {
            let metrics = service.scrape().await;
            let count = |outcome| metrics.value("telemetry_spans_total", &[("outcome", outcome)]);
            assert_eq!(count("exported"), Some(0.0), "nobody took any");
            let lost = count("dropped")? + count("failed")?;
            (lost > 0.0).then_some(())
        },
    )
    .await;

    let start = Instant::now();
    service.terminate();
    let status = service.wait();
    assert!(status.success(), "{status}");
    assert!(
        start.elapsed() < SHUTDOWN_LIMIT,
        "the end took {:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_costs_nothing_and_lost_spans_are_counted() {
    Box::pin(costs_nothing_and_is_counted(
        &dead_endpoint(),
        "http/protobuf",
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_costs_nothing_and_lost_spans_are_counted_over_http() {
    let hole = BlackHole::open().await;
    Box::pin(costs_nothing_and_is_counted(
        hole.endpoint(),
        "http/protobuf",
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_costs_nothing_and_lost_spans_are_counted_over_grpc() {
    let hole = BlackHole::open().await;
    Box::pin(costs_nothing_and_is_counted(hole.endpoint(), "grpc")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_nothing_is_exported_and_nothing_is_lost() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    Client::register(&service, "user").await;
    let metrics = service.scrape().await;
    for outcome in ["exported", "failed", "dropped"] {
        let count = metrics.value("telemetry_spans_total", &[("outcome", outcome)]);
        assert_eq!(count, Some(0.0), "{outcome}");
    }
}
