//! Rate limits and bounds.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::engines::Engine;
use crate::support::nginx::Nginx;
use crate::support::service::Service;

const ON: (&str, &str) = ("CONVOKE_RATE_LIMIT_ENABLED", "true");

#[tokio::test]
async fn whoever_asks_too_often_is_told_how_long_to_wait() {
    let service =
        Service::start(Engine::Sqlite, &[ON, ("CONVOKE_RATE_LIMIT_READS", "3/60s")]).await;
    let user = Client::register(&service, "user").await;
    for left in [2, 1, 0] {
        let answer = user.get("/users/me").await.expect(200);
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"reads\";q=3;w=60")
        );
        let limit = answer.header("ratelimit").expect("a limit");
        assert!(
            limit.starts_with(&format!("\"reads\";r={left};t=")),
            "{limit}"
        );
    }
    let refused = user.get("/users/me").await.expect(429);
    assert_eq!(refused.body["code"], "rate_limited");
    let wait: u64 = refused
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    // Writes are another policy, and other people have limits of their own.
    user.post("/events/", crate::support::client::event_body(json!({})))
        .await
        .expect(201);
    let metrics = service.scrape().await;
    let limited = [("policy", "reads"), ("outcome", "limited")];
    assert_eq!(
        metrics.value("rate_limit_decisions_total", &limited),
        Some(1.0)
    );
}

#[tokio::test]
async fn attempts_on_one_account_are_limited_from_wherever_they_come() {
    let settings = [
        ON,
        ("CONVOKE_RATE_LIMIT_LOGIN", "1000/60s"),
        ("CONVOKE_RATE_LIMIT_LOGIN_ACCOUNT", "3/15m"),
        ("CONVOKE_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let service = Service::start(Engine::Sqlite, &settings).await;
    let http = service.http();
    let mut statuses = Vec::new();
    for n in 0..5 {
        let body = json!({"email": "Somebody@example.org", "password": "wrong password"});
        let request = http.post(service.url("/api/v1/auth/login")).json(&body);
        let request = request.header("x-forwarded-for", format!("192.0.2.{n}"));
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}

#[tokio::test]
async fn logins_over_the_rate_of_an_address_count_as_attempts_that_were_limited() {
    let settings = [ON, ("CONVOKE_RATE_LIMIT_LOGIN", "2/60s")];
    let service = Service::start(Engine::Sqlite, &settings).await;
    for n in 0..5 {
        let body =
            json!({"email": format!("somebody-{n}@example.org"), "password": "a stolen password"});
        let login = service.http().post(service.url("/api/v1/auth/login"));
        login.json(&body).send().await.unwrap();
    }
    // Not a login: nobody tries a password here.
    let refresh = service.http().post(service.url("/api/v1/auth/refresh"));
    assert_eq!(refresh.send().await.unwrap().status(), 429);
    let metrics = service.scrape().await;
    for (outcome, count) in [("failure", 2.0), ("limited", 3.0)] {
        let labels = [("method", "password"), ("outcome", outcome)];
        assert_eq!(metrics.value("auth_attempts_total", &labels), Some(count));
    }
}

#[tokio::test]
async fn an_address_written_by_a_stranger_is_not_believed() {
    let settings = [ON, ("CONVOKE_RATE_LIMIT_READS", "2/60s")];
    let service = Service::start(Engine::Sqlite, &settings).await;
    let mut statuses = Vec::new();
    for n in 0..3 {
        let request = service.http().get(service.url("/api/v1/users/me"));
        let request = request.header("x-forwarded-for", format!("192.0.2.{n}"));
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 429]);
}

#[tokio::test]
async fn more_requests_than_may_be_in_flight_are_refused_at_once_and_probes_still_answer() {
    let settings = [
        ("CONVOKE_MAX_IN_FLIGHT", "1"),
        ("CONVOKE_PASSWORD_HASH_MEMORY", "65536"),
        ("CONVOKE_PASSWORD_HASH_ITERATIONS", "8"),
    ];
    let service = Service::start(Engine::Sqlite, &settings).await;
    let http = service.http();
    let login = json!({"email": "nobody@example.org", "password": "wrong password"});
    let slow = |_| {
        http.post(service.url("/api/v1/auth/login"))
            .json(&login)
            .send()
    };
    let answers = futures::future::join_all((0..12).map(slow)).await;
    let statuses: Vec<u16> = answers
        .into_iter()
        .map(|answer| answer.unwrap().status().as_u16())
        .collect();
    assert!(statuses.contains(&401), "{statuses:?}");
    assert!(statuses.contains(&503), "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [401, 503].contains(status)),
        "{statuses:?}"
    );
    let live = http.get(service.ops_url("/livez")).send().await.unwrap();
    assert_eq!(live.status(), 200);
    let shed = service
        .scrape()
        .await
        .value("http_server_requests_shed_total", &[("reason", "overload")]);
    assert!(shed.is_some_and(|shed| shed >= 1.0), "{shed:?}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let service = Service::start(Engine::Sqlite, &[("CONVOKE_BODY_LIMIT", "2KiB")]).await;
    let user = Client::register(&service, "user").await;
    let body = crate::support::client::event_body(json!({"description": "x".repeat(3000)}));
    user.post("/events/", body).await.expect(413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_body_that_is_too_large_reaches_who_still_sends_it() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let user = Client::register(&service, "user").await;
    let body = crate::support::client::event_body(json!({"description": "x".repeat(20 << 20)}));
    let unbuffered = "client_max_body_size 0; proxy_request_buffering off;";
    let replicas = [service.public_address()];
    let proxies = [
        Nginx::before(&replicas, "client_max_body_size 0;").await,
        Nginx::before(&replicas, unbuffered).await,
    ];
    let mut clients = vec![user.clone()];
    clients.extend(proxies.iter().map(|nginx| user.through(nginx.address())));
    for client in clients {
        let answer = client.post("/events/", body.clone()).await.expect(413);
        assert_eq!(answer.problem(), "body_too_large");
        // The same client is served as before.
        client.get("/events/").await.expect(200);
    }

    // Who sends all of it before reading, too.
    let mut stream = TcpStream::connect(service.public_address()).await.unwrap();
    let head = format!(
        "POST /api/v1/events/ HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        user.token,
        20 << 20
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let sent = stream.write_all(&vec![b' '; 20 << 20]).await;
    assert!(sent.is_ok(), "all of it is taken: {sent:?}");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_cut_off_is_a_slow_clients_and_one_that_is_garbled_is_not_well_formed() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let user = Client::register(&service, "user").await;
    for (rest, status) in [
        ("content-length: 100\r\n\r\n{", "408"),
        ("transfer-encoding: chunked\r\n\r\nno number\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(service.public_address()).await.unwrap();
        let request = format!(
            "POST /api/v1/events/ HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\n{rest}",
            user.token
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{rest}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_before_a_small_body_was_read_keeps_the_connection() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let mut stream = TcpStream::connect(service.public_address()).await.unwrap();
    for _ in 0..2 {
        let request = "POST /api/v1/events/ HTTP/1.1\r\nhost: x\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        // The body comes after the head, when the refusal is made already.
        tokio::task::yield_now().await;
        stream.write_all(b"{}").await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..count]);
        }
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with("http/1.1 401"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}
