//! The secret key is changed while two replicas serve, and no request fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::json;

use crate::support::answer::Answer;
use crate::support::client::{Client, event_body};
use crate::support::load::{Load, Outcome};
use crate::support::service::{SECRET_KEY, Service};

const NEW_KEY: &str = "the-next-key-of-these-tests-which-is-long-enough-9876543210";
const PER_SECOND: u32 = 30;
/// Jobs that must get through in each state of the two replicas.
const MANY: usize = 60;

/// Which replicas get requests, as a load balancer decides by their readiness.
#[derive(Clone, Debug)]
struct Rotation(Arc<AtomicUsize>);

impl Rotation {
    const BOTH: usize = 0b11;

    /// The replica of this number, or the other one while this one restarts.
    fn replica(&self, number: usize) -> usize {
        let place = number % 2;
        let up = self.0.load(Ordering::SeqCst);
        if up & (1 << place) == 0 {
            1 - place
        } else {
            place
        }
    }
}

/// Two replicas, changed one after the other.
struct Replicas {
    services: [Service; 2],
    rotation: Rotation,
}

impl Replicas {
    /// Gives one replica other keys, as a rolling restart does.
    async fn change(&mut self, place: usize, key: &str, previous: &str) {
        let service = &mut self.services[place];
        service.set("CONVOKE_SECRET_KEY", key);
        service.set("CONVOKE_SECRET_KEY_PREVIOUS", previous);
        self.rotation
            .0
            .store(Rotation::BOTH & !(1 << place), Ordering::SeqCst);
        service.restart().await;
        self.rotation.0.store(Rotation::BOTH, Ordering::SeqCst);
    }

    /// What they found good by a previous key, together.
    async fn previous_uses(&self, purpose: &str) -> f64 {
        let mut sum = 0.0;
        for service in &self.services {
            let labels = [("key", "previous"), ("purpose", purpose)];
            let value = service
                .scrape()
                .await
                .value("secret_key_uses_total", &labels);
            sum += value.expect("a series");
        }
        sum
    }
}

/// Somebody's requests: each job logs in at one replica, and uses that token, and the one in `kept`, at the other.
struct Caller {
    at: [Client; 2],
    rotation: Rotation,
    kept: Mutex<String>,
}

impl Caller {
    async fn job(self: Arc<Self>, number: usize) -> Vec<Outcome> {
        let here = &self.at[self.rotation.replica(number)];
        let body = json!({"email": here.email, "password": here.password});
        let login = here
            .anonymous()
            .send(Method::POST, "/auth/login", Some(&body))
            .await;
        let mut outcomes = Vec::new();
        let fresh = login
            .as_ref()
            .ok()
            .map(|answer| answer.body["access_token"].clone());
        outcomes.push(Outcome::of(login));
        let kept = self.kept.lock().expect("not poisoned").clone();
        let fresh = fresh
            .as_ref()
            .and_then(|token| token.as_str())
            .map(str::to_owned);
        for token in [Some(kept), fresh].into_iter().flatten() {
            let there = &self.at[self.rotation.replica(number + 1)];
            let asked = there
                .with_token(&token)
                .send(Method::GET, "/users/me", None)
                .await;
            outcomes.push(Outcome::of(asked));
        }
        outcomes
    }
}

async fn create(client: &Client) -> Answer {
    let request = client
        .request(Method::POST, "/events/")
        .header("idempotency-key", "rotation");
    Answer::of(request.json(&event_body(json!({}))))
        .await
        .expect("the service answers")
}

on_both_engines! {
    async fn the_secret_key_is_changed_under_load_without_a_failed_request(engine: Engine) {
        let settings = [("CONVOKE_REQUEST_TIMEOUT", "60s"), ("CONVOKE_SHUTDOWN_GRACE", "1s")];
        let first = Service::start(engine, &settings).await;
        let second = first.start_replica().await;
        let rotation = Rotation(Arc::new(AtomicUsize::new(Rotation::BOTH)));
        let user = Client::register(&first, "rotating").await;
        let at = [user.clone(), user.at(&second)];
        create(&user).await.expect(201);
        let old = user.token.clone();
        let caller = Arc::new(Caller { at, rotation: rotation.clone(), kept: Mutex::new(old.clone()) });
        let mut replicas = Replicas { services: [first, second], rotation };
        let calling = Arc::clone(&caller);
        let load = Load::start(PER_SECOND, move |number| Arc::clone(&calling).job(number));
        load.wait_for_more(MANY).await;

        // The next key is accepted everywhere before anybody signs with it; then it signs.
        for (key, previous) in [(SECRET_KEY, NEW_KEY), (NEW_KEY, SECRET_KEY)] {
            for place in [0, 1] {
                replicas.change(place, key, previous).await;
                load.wait_for_more(MANY).await;
            }
        }
        assert!(replicas.previous_uses("access_token").await > 0.0, "the old token is in use");
        let again = create(&caller.at[1].with_token(&old)).await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert!(replicas.previous_uses("kept_answer").await > 0.0, "and the answer kept under it");

        // Once nothing uses the old key, which the metric shows, it goes.
        let mut fresh = user.clone();
        fresh.log_in().await;
        fresh.token.clone_into(&mut caller.kept.lock().expect("not poisoned"));
        let body = json!({"email": user.email, "password": user.password});
        user.anonymous().post("/auth/login", body).await.expect(200);
        for place in [0, 1] {
            replicas.change(place, NEW_KEY, "").await;
            load.wait_for_more(MANY).await;
        }
        assert!(replicas.previous_uses("access_token").await.abs() < f64::EPSILON);
        for client in &caller.at {
            client.with_token(&old).get("/users/me").await.expect(401);
        }

        let outcomes: Vec<Outcome> = load.stop().await.into_iter().flatten().collect();
        let failed: Vec<_> = outcomes.iter().filter(|one| one.acknowledged().is_none()).collect();
        assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), outcomes.len(), failed.first());
        assert!(outcomes.len() >= 3 * 7 * MANY, "{} requests", outcomes.len());
    }
}
