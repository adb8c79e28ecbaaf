//! Clients who send anything at all: the number of series does not grow with what they think of.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;

use crate::support::client::{CONCURRENCY, Client};
use crate::support::service::Service;

const REQUESTS: usize = 10_000;

const METHODS: [&str; 14] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
    "QUERY", "get", "RANDOM", "M-SEARCH",
];

/// `*` becomes something random.
const PATHS: [&str; 16] = [
    "/*",
    "/*/*",
    "/api/v1/*",
    "/api/v1/events/",
    "/api/v1/events/*",
    "/api/v1/events/*/participants/*",
    "/api/v1/events/*/participants/*/status",
    "/api/v1/events/?*=*",
    "/api/v1/users/*",
    "/api/v1/notifications/*/read",
    "/api/v1/auth/*",
    "/api/v2/*",
    "/metrics",
    "/livez/*",
    "/docs/problems/*",
    "/%2e%2e/*",
];

fn word(random: &mut StdRng) -> String {
    let length = random.random_range(1..40);
    (0..length)
        .map(|_| char::from(random.random_range(b'a'..=b'z')))
        .collect()
}

/// One of every pairing of method and path in turn; the rest is chance.
async fn hostile(client: Client, base: String, number: usize) {
    let mut random = StdRng::seed_from_u64(number as u64);
    let method = METHODS[number % METHODS.len()];
    let mut path = PATHS[number / METHODS.len() % PATHS.len()].to_owned();
    while path.contains('*') {
        path = path.replacen('*', &word(&mut random), 1);
    }
    // A method of one's own every now and then.
    let method = if method == "RANDOM" {
        word(&mut random)
    } else {
        method.to_owned()
    };
    let method = Method::from_bytes(method.as_bytes()).expect("a token");
    let mut request = client.http().request(method, format!("{base}{path}"));
    for name in [
        "user-agent",
        "x-request-id",
        "traceparent",
        "accept",
        "content-type",
        "authorization",
    ] {
        if random.random_bool(0.3) {
            request = request.header(name, word(&mut random));
        }
    }
    request = request.header(format!("x-{}", word(&mut random)), word(&mut random));
    if random.random_bool(0.3) {
        request = request.body(word(&mut random));
    }
    // Any answer will do but a failure of ours; some methods have no answer that a client understands.
    if let Ok(answer) = request.send().await {
        assert!(
            answer.status().as_u16() < 500,
            "{} {}: {}",
            number,
            path,
            answer.status()
        );
    }
}

/// What is not even HTTP.
fn garbage(address: &str, number: usize) {
    let mut random = StdRng::seed_from_u64(number as u64);
    let mut bytes = vec![0_u8; random.random_range(1..2_000)];
    random.fill(&mut bytes[..]);
    if let Ok(mut stream) = TcpStream::connect(address) {
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a limit");
        let _ = stream.write_all(&bytes);
        let _ = stream.write_all(b"\r\n\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

async fn send(client: &Client, service: &Service, numbers: std::ops::Range<usize>) {
    let base = service.url("");
    stream::iter(numbers)
        .for_each_concurrent(CONCURRENCY, |number| {
            hostile(client.clone(), base.clone(), number)
        })
        .await;
}

on_both_engines! {
    async fn ten_thousand_hostile_requests_make_no_new_series(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let client = Client::register(&service, "user").await;
        // Each pairing three times, so that what may exist does.
        let warm_up = METHODS.len() * PATHS.len() * 3;
        send(&client, &service, 0..warm_up).await;
        let before = service.scrape().await;

        send(&client, &service, warm_up..warm_up + REQUESTS).await;
        let address = service.url("").replace("http://", "");
        let noise = tokio::task::spawn_blocking(move || (0..200).for_each(|n| garbage(&address, n)));
        noise.await.unwrap();

        let after = service.scrape().await;
        let new: Vec<_> = after.keys().filter(|key| !before.keys().any(|known| known == *key)).collect();
        assert!(new.is_empty(), "{} new series, the first: {:?}", new.len(), new.first());
        assert_eq!(after.series_count(), before.series_count());
        assert_eq!(after.value("panics_total", &[]), Some(0.0));
        client.get("/users/me").await.expect(200);
    }

    async fn the_public_listener_serves_no_metrics(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        for path in ["/metrics", "/livez", "/readyz", "/log-level", "/debug/pprof/profile"] {
            let answer = service.http().get(service.url(path)).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{path}");
        }
    }
}
