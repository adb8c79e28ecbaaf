//! Redis under load: slow, frozen, flushed, full, stopped, started or no Redis at all, and no request fails for it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use reqwest::Method;

use super::scene::{LIMIT, Scene, gauge_is, outcome};
use crate::support::client::Client;
use crate::support::engines::Engine;
use crate::support::load::{Load, Outcome, quantile, timed};
use crate::support::polling::eventually;
use crate::support::redis::Redis;
use crate::support::service::Service;

/// So short that nearly every look-up goes on to Redis.
const SHORT: [(&str, &str); 2] = [
    ("CONVOKE_CACHE_TTL", "1ms"),
    ("CONVOKE_CACHE_HEARD_TTL", "5ms"),
];

async fn with(url: &str, extra: &[(&str, &str)]) -> Service {
    let mut settings = vec![("CONVOKE_REDIS_URL", url)];
    settings.extend(extra);
    Service::start(Engine::Postgres, &settings).await
}

type Timed = (Outcome, Duration);

fn load(client: &Client) -> Load<Timed> {
    let client = client.clone();
    Load::start(100, move |_| {
        let client = client.clone();
        async move {
            let (sent, took) = timed(client.send(Method::GET, "/users/me", None)).await;
            (Outcome::of(sent), took)
        }
    })
}

/// All were answered 200; returns their times.
fn answered(results: Vec<Timed>) -> Vec<Duration> {
    assert!(results.len() > 50, "only {} requests", results.len());
    let each = results.into_iter().map(|(outcome, took)| {
        assert!(outcome.acknowledged().is_some(), "{outcome:?}");
        took
    });
    each.collect()
}

/// Waits until Redis answers a look-up.
async fn is_in_use(service: &Service, user: &Client) {
    let before = outcome(service, "users", "shared_hit").await;
    eventually("Redis is in use", LIMIT, || async {
        for _ in 0..5 {
            user.get("/users/me").await.expect(200);
        }
        (outcome(service, "users", "shared_hit").await > before).then_some(())
    })
    .await;
}

async fn redis_failures(service: &Service, error_type: &str) -> f64 {
    let labels = [("error_type", error_type)];
    let name = "cache_shared_operation_duration_seconds_count";
    service
        .scrape()
        .await
        .value(name, &labels)
        .expect("it is primed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_started_frozen_and_flushed_under_load_without_a_failed_request() {
    let mut redis = Redis::start(&[]);
    let service = with(&redis.url(), &SHORT).await;
    gauge_is(&service, "cache_channel_state", "heard").await;
    gauge_is(&service, "cache_shared_breaker_state", "closed").await;
    let user = Client::register(&service, "user").await;

    let calm = load(&user);
    calm.wait_for(300).await;
    let mut calm = answered(calm.stop().await);
    is_in_use(&service, &user).await;

    let troubled = load(&user);
    let mut rounds = 100;
    for _ in 0..2 {
        redis.stop();
        gauge_is(&service, "cache_shared_breaker_state", "open").await;
        troubled.wait_for(rounds).await;
        redis.start_again();
        gauge_is(&service, "cache_shared_breaker_state", "closed").await;
        ::redis::cmd("FLUSHALL")
            .exec(&mut redis.connection())
            .unwrap();
        troubled.wait_for(rounds + 50).await;
        redis.signal("-STOP");
        gauge_is(&service, "cache_shared_breaker_state", "open").await;
        troubled.wait_for(rounds + 150).await;
        redis.signal("-CONT");
        gauge_is(&service, "cache_shared_breaker_state", "closed").await;
        rounds += 300;
    }
    troubled.wait_for(rounds).await;
    let mut troubled = answered(troubled.stop().await);
    let (before, during) = (quantile(&mut calm, 0.5), quantile(&mut troubled, 0.5));
    // What waits is cut off after 50 ms, three times in a row at the most; the rest does not wait at all.
    let most = (before * 5).max(Duration::from_millis(100));
    assert!(
        during <= most,
        "median {before:?} before, {during:?} in trouble"
    );
    is_in_use(&service, &user).await;

    let told = |message: &str| {
        service
            .log_lines()
            .iter()
            .filter(|line| line["message"] == message)
            .count()
    };
    let failed = told("Redis fails and is left alone; the database is asked instead");
    let ended = told("Redis answers again");
    // Four of ours, and what a machine without time to spare makes of 50 ms.
    assert!(
        failed >= 4 && failed - ended <= 1,
        "{failed} began, {ended} ended"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_full_refuses_entries_and_nothing_else() {
    let redis = Redis::start(&[]);
    let service = with(&redis.url(), &SHORT).await;
    gauge_is(&service, "cache_channel_state", "heard").await;
    gauge_is(&service, "cache_shared_breaker_state", "closed").await;
    ::redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .exec(&mut redis.connection())
        .unwrap();
    let user = Client::register(&service, "user").await;
    let load = load(&user);
    load.wait_for(100).await;
    answered(load.stop().await);
    assert!(redis_failures(&service, "oom").await > 0.0);
    gauge_is(&service, "cache_shared_breaker_state", "closed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_wants_another_password_is_left_alone_and_no_password_is_told() {
    let redis = Redis::start(&["--requirepass", "another-password"]);
    let url = redis.url().replace("//", "//:a-wrong-password@");
    let service = with(&url, &SHORT).await;
    gauge_is(&service, "cache_shared_breaker_state", "open").await;
    let user = Client::register(&service, "user").await;
    user.get("/users/me").await.expect(200);
    assert!(redis_failures(&service, "auth").await > 0.0);
    assert!(!service.output().contains("a-wrong-password"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_redis_fails_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut client = client;
            let mut asked = [0; 512];
            let _ = client.read(&mut asked);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n$9999999\r\n:::\r\n");
        }
    });
    let service = with(&url, &SHORT).await;
    gauge_is(&service, "cache_shared_breaker_state", "open").await;
    let user = Client::register(&service, "user").await;
    let load = load(&user);
    load.wait_for(100).await;
    answered(load.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_it_is_not_believed_and_what_is_kept_tells_nothing() {
    let redis = Redis::start(&[]);
    let settings = [
        ("CONVOKE_CACHE_TTL", "1ms"),
        ("CONVOKE_CACHE_HEARD_TTL", "5m"),
    ];
    let scene = Scene::on(with(&redis.url(), &settings).await).await;
    scene.channel_is("heard").await;
    scene.breaker_is("closed").await;
    let key = scene.key().await;
    // Until both the key and its owner are there.
    let entries = eventually("two entries", LIMIT, || async {
        Some(redis.entries()).filter(|entries| entries.len() >= 2)
    })
    .await;
    let secrets = [
        key.secret.clone(),
        key.id.clone(),
        scene.owner.id.clone(),
        "admin".to_owned(),
        "user".to_owned(),
    ];
    for (name, value) in &entries {
        assert!(name.starts_with("convoke:1:") && name.len() == 42, "{name}");
        let text = format!("{name}{}", String::from_utf8_lossy(value));
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
    }
    // A replica that begins now finds each under its name what another holds, or nonsense.
    let mut connection = redis.connection();
    for (n, (name, _)) in entries.iter().enumerate() {
        let other = &entries[(n + 1) % entries.len()].1;
        let value = if n % 2 == 0 {
            other.clone()
        } else {
            b"nonsense".to_vec()
        };
        ::redis::cmd("SET")
            .arg(name)
            .arg(value)
            .exec(&mut connection)
            .unwrap();
    }
    let third = scene.first.start_replica().await;
    gauge_is(&third, "cache_channel_state", "heard").await;
    gauge_is(&third, "cache_shared_breaker_state", "closed").await;
    key.client.at(&third).get("/users/me").await.expect(200);
    key.client
        .at(&third)
        .post("/events/", serde_json::json!({}))
        .await
        .expect(403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_begins_finds_what_others_have_read_since_it_listens() {
    let redis = Redis::start(&[]);
    let settings = [
        ("CONVOKE_CACHE_TTL", "1ms"),
        ("CONVOKE_CACHE_HEARD_TTL", "100ms"),
    ];
    let scene = Scene::on(with(&redis.url(), &settings).await).await;
    scene.channel_is("heard").await;
    scene.breaker_is("closed").await;
    let key = scene.key().await;
    let first = scene.owner.with_token(&key.secret);
    eventually("one replica finds what the other read", LIMIT, || async {
        first.get("/users/me").await.expect(200);
        key.client.get("/users/me").await.expect(200);
        let hits = outcome(&scene.second, "api_keys", "shared_hit").await;
        (hits > 0.0).then_some(())
    })
    .await;
    scene.revoke(&key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_it_has_no_effect_and_a_warning_says_so() {
    let redis = Redis::start(&[]);
    let service = Service::start(Engine::Sqlite, &[("CONVOKE_REDIS_URL", &redis.url())]).await;
    gauge_is(&service, "cache_shared_breaker_state", "off").await;
    let user = Client::register(&service, "user").await;
    user.get("/users/me").await.expect(200);
    assert_eq!(redis.entries(), []);
    assert!(service.output().contains("redis.url has no effect"));
}
