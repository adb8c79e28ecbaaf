//! `Idempotency-Key`: a request that is sent again counts once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::{Client, event_body};
use crate::support::service::Service;

const KEYS: usize = 100;
const REPEATS: usize = 10;
/// The pause after which a client gives up.
const LONGEST: Duration = Duration::from_secs(40);

async fn post(client: &Client, key: &str, body: &Value) -> Answer {
    let request = client
        .request(Method::POST, "/events/")
        .header("idempotency-key", key);
    Answer::of(request.json(body))
        .await
        .expect("the service answers")
}

/// Sends until it is neither in progress elsewhere (409) nor turned away (503), waiting as `Retry-After` says and longer each
/// time, as a client would: a thousand who do not wait would keep two cores busy with refusals alone.
async fn post_until_answered(client: &Client, key: &str, body: &Value) -> Answer {
    let mut pause = Duration::from_secs(1);
    loop {
        let answer = post(client, key, body).await;
        if ![409, 503].contains(&answer.status) {
            return answer;
        }
        assert!(
            pause < LONGEST,
            "key {key} is still not answered: {}",
            answer.text
        );
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(1.5);
    }
}

on_both_engines! {
    async fn a_thousand_requests_with_a_hundred_keys_make_a_hundred_events(engine: Engine) {
        let service = Service::start(engine, &[("CONVOKE_REQUEST_TIMEOUT", "60s")]).await;
        let organizer = Client::register(&service, "organizer").await;
        let answers: Vec<(usize, Answer)> = stream::iter(0..KEYS * REPEATS)
            .map(|n| {
                let (key, client) = (n % KEYS, organizer.clone());
                async move {
                    let body = event_body(json!({"title": format!("Event {key}")}));
                    (key, post_until_answered(&client, &format!("key-{key}"), &body).await.expect(201))
                }
            })
            .buffer_unordered(KEYS * REPEATS)
            .collect()
            .await;

        let mut ids: HashMap<usize, HashSet<String>> = HashMap::new();
        let mut first_answers = 0;
        for (key, answer) in &answers {
            ids.entry(*key).or_default().insert(answer.string("id"));
            match answer.header("idempotency-replayed") {
                None => first_answers += 1,
                Some(replayed) => assert_eq!(replayed, "true"),
            }
        }
        assert_eq!(answers.len(), KEYS * REPEATS);
        assert!(ids.values().all(|ids| ids.len() == 1), "a key with two events: {ids:?}");
        assert_eq!(first_answers, KEYS, "each key has one answer that is no replay");
        assert_eq!(organizer.all("/events/").await.len(), KEYS);
    }

    async fn a_replay_is_the_first_answer_word_for_word(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let body = event_body(json!({}));
        let first = post(&organizer, "\"once\"", &body).await.expect(201);
        let replay = post(&organizer, "\"once\"", &body).await.expect(201);
        assert_eq!(first.header("idempotency-replayed"), None);
        assert_eq!(replay.header("idempotency-replayed"), Some("true"));
        assert_eq!(replay.text, first.text);
        assert_eq!(replay.header("location"), first.header("location"));
        assert_eq!(replay.header("etag"), first.header("etag"));
    }

    async fn a_key_with_another_body_is_refused(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        post(&organizer, "once", &event_body(json!({}))).await.expect(201);
        let other = event_body(json!({"title": "Another"}));
        let refused = post(&organizer, "once", &other).await.expect(422);
        assert!(!refused.problem().is_empty());
        assert_eq!(organizer.all("/events/").await.len(), 1);
    }

    async fn a_key_is_its_owners_alone(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let other = Client::register(&service, "other").await;
        let body = event_body(json!({}));
        let mine = post(&organizer, "once", &body).await.expect(201);
        let theirs = post(&other, "once", &body).await.expect(201);
        assert_ne!(mine.body["id"], theirs.body["id"]);
    }

    async fn a_refused_request_is_replayed_as_refused(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let body = event_body(json!({"title": ""}));
        let first = post(&organizer, "bad", &body).await.expect(422);
        let second = post(&organizer, "bad", &body).await.expect(422);
        assert_eq!(first.problem(), second.problem());
    }
}
