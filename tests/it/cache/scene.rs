//! Two replicas, a key and a user that both have let in, and what happens to either.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::Client;
use crate::support::commands::run;
use crate::support::polling::eventually;
use crate::support::service::Service;

pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// The promise.
const SECOND: Duration = Duration::from_secs(1);

/// Two replicas of one service.
pub(super) struct Scene {
    pub(super) first: Service,
    pub(super) second: Service,
    pub(super) owner: Client,
}

/// A key as its holder uses it at the second replica, and what it takes to revoke it at the first.
pub(super) struct Key {
    pub(super) client: Client,
    pub(super) id: String,
    pub(super) secret: String,
}

impl Scene {
    pub(super) async fn on(first: Service) -> Self {
        let second = first.start_replica().await;
        let owner = Client::register(&first, "owner").await;
        Self {
            first,
            second,
            owner,
        }
    }

    /// A new key, which the second replica has let in.
    pub(super) async fn key(&self) -> Key {
        let input = json!({"name": "machine", "scope": "read"});
        let made = self.owner.post("/api-keys/", input).await.expect(201);
        let secret = made.string("key");
        let client = self.owner.at(&self.second).with_token(&secret);
        client.get("/users/me").await.expect(200);
        Key {
            client,
            id: made.string("id"),
            secret,
        }
    }

    /// A new user, whom the second replica has let in.
    pub(super) async fn user(&self, name: &str) -> Client {
        let user = Client::register(&self.first, name).await.at(&self.second);
        user.get("/users/me").await.expect(200);
        user
    }

    /// Revokes a key at the first replica, and holds the second to the promise.
    pub(super) async fn revoke(&self, key: &Key) {
        let path = format!("/api-keys/{}", key.id);
        self.owner.delete(&path).await.expect(204);
        refused_within_a_second(&key.client).await;
    }

    /// Disables a user by a process of its own, and holds the second replica to the promise.
    pub(super) async fn disable(&self, user: &Client) {
        let output = run(&["user", "disable", &user.email], self.first.settings());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        refused_within_a_second(user).await;
    }

    /// Waits until both replicas are in this state of the channel.
    pub(super) async fn channel_is(&self, state: &str) {
        for replica in [&self.first, &self.second] {
            gauge_is(replica, "cache_channel_state", state).await;
        }
    }

    /// Waits until both replicas are in this state of the breaker before Redis.
    pub(super) async fn breaker_is(&self, state: &str) {
        for replica in [&self.first, &self.second] {
            gauge_is(replica, "cache_shared_breaker_state", state).await;
        }
    }
}

pub(super) async fn gauge_is(service: &Service, name: &str, state: &str) {
    eventually(&format!("{name} is {state}"), LIMIT, || async {
        let value = service.scrape().await.value(name, &[("state", state)]);
        (value == Some(1.0)).then_some(())
    })
    .await;
}

/// Look-ups of keys that the database had to answer.
pub(super) async fn misses(service: &Service) -> f64 {
    outcome(service, "api_keys", "miss").await
}

pub(super) async fn outcome(service: &Service, cache: &str, outcome: &str) -> f64 {
    let labels = [("cache", cache), ("outcome", outcome)];
    let value = service
        .scrape()
        .await
        .value("cache_requests_total", &labels);
    value.expect("it is primed")
}

/// Asks on until refused. A request that *began* a second after the change was answered must not be let in: however slow this
/// machine is, that is for the service alone to see to.
pub(super) async fn refused_within_a_second(client: &Client) {
    let changed = Instant::now();
    loop {
        let began = changed.elapsed();
        let answer = client.get("/users/me").await;
        if answer.status == 401 {
            break;
        }
        answer.expect(200);
        assert!(began < SECOND, "let in {began:?} after the change");
    }
    for _ in 0..20 {
        client.get("/users/me").await.expect(401);
    }
}

/// Asks for longer than an entry may serve unheard, and returns how often the database was asked for the key meanwhile.
pub(super) async fn asked_meanwhile(service: &Service, client: &Client) -> f64 {
    let before = misses(service).await;
    let began = Instant::now();
    while began.elapsed() < 2 * SECOND {
        client.get("/users/me").await.expect(200);
    }
    misses(service).await - before
}
