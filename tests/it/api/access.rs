//! Who may do what, and how soon a change of that is noticed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{Client, id};
use crate::support::commands::run;
use crate::support::polling::eventually;
use crate::support::service::Service;

/// What is taken away stops working within this.
const LIMIT: Duration = Duration::from_secs(1);

on_both_engines! {
    async fn a_disabled_user_and_a_revoked_key_stop_working_within_a_second(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        let key = user.post("/api-keys/", json!({"name": "k", "scope": "write"})).await.expect(201);
        let machine = user.with_token(key.body["key"].as_str().unwrap());
        machine.get("/users/me").await.expect(200);
        user.delete(&format!("/api-keys/{}", id(&key.body))).await.expect(204);
        machine.get("/users/me").await.expect(401);

        user.get("/users/me").await.expect(200);
        let output = run(&["user", "disable", &user.email], service.settings());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let disabled = Instant::now();
        eventually("the token is refused", LIMIT, || async {
            (user.get("/users/me").await.status == 401).then_some(())
        })
        .await;
        assert!(disabled.elapsed() < LIMIT);
        let login = json!({"email": user.email, "password": user.password});
        user.anonymous().post("/auth/login", login).await.expect(401);
        let refresh = json!({"refresh_token": user.refresh_token});
        user.anonymous().post("/auth/refresh", refresh).await.expect(401);
    }

    async fn a_key_may_do_what_its_scope_says_and_never_manage_keys(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        for (scope, status) in [("read", 403), ("write", 201)] {
            let key = user.post("/api-keys/", json!({"name": scope, "scope": scope})).await.expect(201);
            let machine = user.with_token(key.body["key"].as_str().unwrap());
            machine.get("/events/").await.expect(200);
            let body = crate::support::client::event_body(json!({}));
            machine.post("/events/", body).await.expect(status);
            machine.post("/api-keys/", json!({"name": "more", "scope": "write"})).await.expect(403);
            machine.get("/api-keys/").await.expect(403);
            machine.patch("/users/me", json!({"display_name": "Mallory"})).await.expect(403);
        }
        let listed = user.get("/api-keys/").await.expect(200);
        assert!(listed.body["items"][0].get("key").is_none(), "a key is shown once");
    }

    async fn a_private_event_is_not_there_for_strangers(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let host = Client::register(&service, "host").await;
        let guest = Client::register(&service, "guest").await;
        let stranger = Client::register(&service, "stranger").await;
        let event = host.create_event(json!({"visibility": "private"})).await;
        host.invite(&event, &guest).await.expect(201);
        let path = format!("/events/{}", id(&event));
        for sub in ["", "/participants/", "/history", &format!("/participants/{}", guest.id)] {
            guest.get(&format!("{path}{sub}")).await.expect(200);
            stranger.get(&format!("{path}{sub}")).await.expect(404);
        }
        stranger.answer(&event, "accepted").await.expect(404);
        stranger.patch(&path, json!({"title": "x"})).await.expect(404);
        guest.patch(&path, json!({"title": "x"})).await.expect(403);
        guest.delete(&path).await.expect(403);
        assert!(stranger.all("/events/").await.is_empty());
        assert_eq!(guest.all("/events/").await.len(), 1);
    }

    async fn a_refresh_token_serves_once_and_a_second_use_revokes_its_family(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await.anonymous();
        let login = json!({"email": user.email, "password": user.password});
        let first = user.post("/auth/login", login).await.expect(200);
        let refresh = |token: &str| json!({"refresh_token": token});
        let old = first.string("refresh_token");
        let second = user.post("/auth/refresh", refresh(&old)).await.expect(200);
        let new = second.string("refresh_token");
        assert_ne!(old, new);
        user.post("/auth/refresh", refresh(&old)).await.expect(401);
        user.post("/auth/refresh", refresh(&new)).await.expect(401);
    }

    async fn logging_out_ends_the_login_and_twice_is_no_error(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        let body = json!({"refresh_token": user.refresh_token});
        user.post("/auth/logout", body.clone()).await.expect(204);
        user.post("/auth/logout", body.clone()).await.expect(204);
        user.post("/auth/refresh", body).await.expect(401);
    }
}
