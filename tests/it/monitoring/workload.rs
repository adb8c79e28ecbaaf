//! A workload that asks everything of the API at least once.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::answer::Answer;
use crate::support::client::{Client, event_body, id};
use crate::support::service::Service;

/// Uses every operation of the API, some more than once and some in vain.
pub(super) async fn everything(service: &Service) {
    let organizer = Client::register(service, "organizer").await;
    let guests = Client::register_many(service, "guest", 2).await;
    sessions(&organizer).await;
    keys(service, &organizer).await;
    let event = events(&organizer).await;
    participants(&organizer, &guests, &event).await;
    files(&organizer, &guests[0], &event).await;
    inbox(&organizer, &guests[0]).await;
    let path = format!("/events/{}", id(&event));
    let cancel = organizer.request(Method::POST, &format!("{path}/cancel"));
    let cancel = cancel.header("idempotency-key", "off").json(&json!({}));
    Answer::of(cancel).await.unwrap().expect(200);
    organizer.get(&format!("{path}/history")).await.expect(200);
    organizer.delete(&path).await.expect(204);
    in_vain(service, &organizer).await;
}

async fn sessions(user: &Client) {
    let user = user.anonymous();
    let body = json!({"email": user.email, "password": "not the password at all"});
    user.post("/auth/login", body).await.expect(401);
    let refresh = |token: &str| json!({"refresh_token": token});
    let answer = user
        .post("/auth/refresh", refresh(&user.refresh_token))
        .await
        .expect(200);
    let next = answer.string("refresh_token");
    // The one used before was stolen: its family ends.
    user.post("/auth/refresh", refresh(&user.refresh_token))
        .await
        .expect(401);
    user.post("/auth/logout", refresh(&next)).await.expect(204);
}

async fn keys(service: &Service, user: &Client) {
    let input = json!({"name": "ci", "scope": "read"});
    let made = user.post("/api-keys/", input).await.expect(201);
    let key = user.with_token(&made.string("key"));
    key.get("/users/me").await.expect(200);
    user.get("/api-keys/").await.expect(200);
    user.delete(&format!("/api-keys/{}", made.string("id")))
        .await
        .expect(204);
    user.patch("/users/me", json!({"display_name": "Ada"}))
        .await
        .expect(200);
    let refused = service.http().get(service.url("/api/v1/users/me"));
    Answer::of(refused.bearer_auth("nonsense"))
        .await
        .unwrap()
        .expect(401);
}

async fn events(organizer: &Client) -> serde_json::Value {
    let body = event_body(json!({"tags": ["a"], "capacity": 1, "waitlist_enabled": true}));
    let send = || {
        organizer
            .request(Method::POST, "/events/")
            .header("idempotency-key", "once")
    };
    let made = Answer::of(send().json(&body)).await.unwrap().expect(201);
    Answer::of(send().json(&body)).await.unwrap().expect(201);
    Answer::of(send().json(&event_body(json!({"title": "Other"}))))
        .await
        .unwrap()
        .expect(422);
    let path = format!("/events/{}", made.string("id"));
    organizer.get(&path).await.expect(200);
    for query in ["", "?q=harbour", "?tag=a&sort=start", "?participant=me"] {
        organizer.get(&format!("/events/{query}")).await.expect(200);
    }
    let body = event_body(json!({"tags": ["b"], "capacity": 1, "waitlist_enabled": true}));
    organizer.put(&path, body).await.expect(200);
    organizer
        .patch(&path, json!({"tags": ["c", "d"]}))
        .await
        .expect(200)
        .body
}

async fn participants(organizer: &Client, guests: &[Client], event: &serde_json::Value) {
    let path = format!("/events/{}/participants/", id(event));
    for guest in guests {
        organizer.invite(event, guest).await;
        guest.answer(event, "accepted").await.expect(200);
    }
    organizer
        .post(&path, json!({"email": guests[1].email}))
        .await
        .expect(409);
    organizer.get(&path).await.expect(200);
    organizer
        .get(&format!("{path}{}", guests[0].id))
        .await
        .expect(200);
    // The other moves up from the waiting list.
    guests[0].answer(event, "declined").await.expect(200);
    let event_path = format!("/events/{}", id(event));
    let title = json!({"title": "Mine"});
    guests[0].patch(&event_path, title).await.expect(403);
    organizer
        .delete(&format!("{path}{}", guests[1].id))
        .await
        .expect(204);
    guests[0].is_told(1, "participant.invited", event).await;
}

async fn files(organizer: &Client, guest: &Client, event: &serde_json::Value) {
    let path = format!("/events/{}/attachments/", id(event));
    let send = |kind: &'static str| {
        let request = organizer.request(Method::POST, &path);
        Answer::of(request.header("content-type", kind).body("the plan"))
    };
    let added = send("text/plain").await.unwrap().expect(201);
    send("text/html").await.unwrap().expect(415);
    organizer.get(&path).await.expect(200);
    let path = format!("{path}{}", added.string("id"));
    organizer.get(&path).await.expect(200);
    organizer.get(&format!("{path}/content")).await.expect(200);
    organizer.delete(&path).await.expect(204);
    let picture = guest.request(Method::PUT, "/users/me/avatar");
    let gif =
        b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    Answer::of(picture.body(gif.to_vec()))
        .await
        .unwrap()
        .expect(200);
    guest.get("/users/me/avatar").await.expect(200);
    organizer
        .get(&format!("/users/{}/avatar", guest.id))
        .await
        .expect(200);
    guest.delete("/users/me/avatar").await.expect(204);
}

async fn inbox(organizer: &Client, guest: &Client) {
    let inbox = guest.get("/notifications/").await.expect(200);
    guest.get("/notifications/?unread=true").await.expect(200);
    guest.get("/notifications/?unread=false").await.expect(200);
    let path = format!("/notifications/{}/read", id(&inbox.items()[0]));
    guest.post(&path, json!({})).await.expect(204);
    guest
        .post("/notifications/read-all", json!({}))
        .await
        .expect(204);
    organizer.get("/notifications/").await.expect(200);
}

async fn in_vain(service: &Service, user: &Client) {
    user.get("/no/such/route").await.expect(404);
    user.get(&format!("/events/{}", Uuid::now_v7()))
        .await
        .expect(404);
    user.post("/events/", json!({"title": ""}))
        .await
        .expect(422);
    let odd = Method::from_bytes(b"BREW").unwrap();
    user.send(odd, "/users/me", None).await.unwrap().expect(405);
    let change = json!({"filter": "info,convoke=debug", "ttl_seconds": 60}).to_string();
    let request = service
        .http()
        .put(service.ops_url("/log-level"))
        .body(change);
    Answer::of(request.header("content-type", "application/json"))
        .await
        .unwrap()
        .expect(200);
}
