//! What HTTP asks of every answer: conditions, paging, encodings, origins, headers, documents.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::json;

use crate::support::answer::Answer;
use crate::support::client::{Client, event_body, id};
use crate::support::engines::Engine;
use crate::support::service::Service;

on_both_engines! {
    async fn a_list_is_paged_without_repeating_or_missing_anything_while_it_grows(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        let mut made = HashSet::new();
        for n in 0..23 {
            made.insert(id(&user.create_event(json!({"title": format!("Event {n}")})).await).to_owned());
        }
        let mut seen = Vec::new();
        let mut path = "/events/?limit=5&sort=created".to_owned();
        loop {
            let page = user.get(&path).await.expect(200);
            for item in page.body["items"].as_array().unwrap() {
                seen.push(id(item).to_owned());
            }
            user.create_event(json!({"title": "Later"})).await;
            let Some(cursor) = page.body["next_cursor"].as_str() else { break };
            let link = page.header("link").expect("a link to the next page");
            assert!(link.contains(cursor) && link.ends_with("rel=\"next\""), "{link}");
            path = format!("/events/?limit=5&sort=created&cursor={cursor}");
            if seen.len() > 100 { break }
        }
        let distinct: HashSet<&String> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "nothing is repeated");
        assert!(made.iter().all(|id| distinct.contains(id)), "nothing is missed");
        let other = user.get("/events/?limit=5&sort=created").await.expect(200);
        let cursor = other.body["next_cursor"].as_str().unwrap().to_owned();
        let foreign = user.get(&format!("/events/?limit=5&sort=updated&cursor={cursor}")).await.expect(400);
        assert_eq!(foreign.body["code"], "invalid_cursor");
    }

    async fn conditions_are_honoured(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        let path = format!("/events/{}", id(&user.create_event(json!({})).await));
        let first = user.get(&path).await.expect(200);
        let tag = first.header("etag").unwrap().to_owned();
        assert!(first.header("last-modified").unwrap().ends_with(" GMT"));
        let with = |method, name: &'static str, value: &str| user.request(method, &path).header(name, value);
        let unchanged = Answer::of(with(Method::GET, "if-none-match", &tag)).await.unwrap().expect(304);
        assert_eq!((unchanged.header("etag"), unchanged.text.as_str()), (Some(tag.as_str()), ""));
        let change = with(Method::PATCH, "if-match", &tag).json(&json!({"title": "Changed"}));
        let changed = Answer::of(change).await.unwrap().expect(200);
        assert_ne!(changed.header("etag"), Some(tag.as_str()));
        let stale = with(Method::PATCH, "if-match", &tag).json(&json!({"title": "Again"}));
        Answer::of(stale).await.unwrap().expect(412);
        Answer::of(with(Method::DELETE, "if-match", &tag)).await.unwrap().expect(412);
        assert_eq!(user.get(&path).await.expect(200).body["title"], "Changed");
        Answer::of(with(Method::DELETE, "if-match", "*")).await.unwrap().expect(204);
        user.get(&path).await.expect(404);
    }

    async fn faults_are_named_all_at_once_and_change_nothing(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        let body = event_body(json!({"title": "", "capacity": 0, "tags": ["a", "a"], "location": "a\u{0}b"}));
        let refused = user.post("/events/", body).await.expect(422);
        let pointers: HashSet<&str> =
            refused.body["errors"].as_array().unwrap().iter().filter_map(|fault| fault["pointer"].as_str()).collect();
        for pointer in ["/title", "/capacity", "/tags/1", "/location"] {
            assert!(pointers.contains(pointer), "{pointer} in {pointers:?}");
        }
        let unknown = user.post("/events/", event_body(json!({"colour": "red"}))).await.expect(422);
        assert_eq!(unknown.body["errors"][0]["pointer"], "/colour");
        let query = user.get("/events/?colour=red").await.expect(400);
        assert_eq!(query.body["errors"][0]["pointer"], "?colour");
        user.get("/events/?status=lost").await.expect(422);
        assert!(user.all("/events/").await.is_empty());
    }

    async fn a_merge_patch_changes_what_it_names_and_null_gives_the_default(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        let event = user.create_event(json!({"capacity": 5, "metadata": {"a": {"b": 1, "c": 2}}})).await;
        let path = format!("/events/{}", id(&event));
        let nulls = json!({"capacity": null, "metadata": {"a": {"b": null}}});
        let changed = user.patch(&path, nulls).await.expect(200).body;
        assert_eq!((&changed["capacity"], &changed["metadata"]), (&json!(null), &json!({"a": {"c": 2}})));
        assert_eq!(changed["title"], event["title"]);
        let whole_day = json!({"start": {"date": "2027-05-01"}, "end": {"date": "2027-05-03"}});
        let changed = user.patch(&path, whole_day).await.expect(200).body;
        assert_eq!(changed["start"], json!({"date": "2027-05-01"}));
        assert_eq!(changed["end_utc"], "2027-05-03T00:00:00Z");
        user.patch(&path, json!({"bogus": null})).await.expect(422);
    }

    async fn full_text_finds_beginnings_of_words_in_any_script(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        user.create_event(json!({"title": "Été à Köln", "description": "C'est l'été", "tags": ["fête"]})).await;
        user.create_event(json!({"title": "हिन्दी सम्मेलन"})).await;
        for (query, found) in [("été", 1), ("KÖL", 1), ("fêt köln", 1), ("öln", 0), ("ete", 0), ("हिन्दी", 1), ("'\" -&|!:*()", 0)] {
            let answer = user.get(&format!("/events/?q={}", percent(query))).await.expect(200);
            assert_eq!(answer.body["items"].as_array().unwrap().len(), found, "{query}");
        }
    }
}

fn percent(text: &str) -> String {
    text.bytes()
        .fold(String::new(), |text, byte| format!("{text}%{byte:02X}"))
}

#[tokio::test]
async fn every_answer_carries_its_ids_and_the_security_headers() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let http = service.http();
    for (method, path, status) in [
        (Method::GET, "/health", 200),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/api/v1/events", 401),
        (Method::GET, "/api/v1/events/", 401),
        (Method::DELETE, "/api/v1/events/", 405),
        (Method::POST, "/api/v1/auth/login", 415),
        (Method::GET, "/openapi.json", 200),
        (Method::GET, "/docs/", 200),
        (Method::GET, "/docs/problems/not_found", 200),
    ] {
        let answer = Answer::of(
            http.request(method, service.url(path))
                .header("x-request-id", "mine-1"),
        )
        .await
        .unwrap()
        .expect(status);
        assert_eq!(answer.header("x-request-id"), Some("mine-1"), "{path}");
        for name in [
            "traceresponse",
            "content-security-policy",
            "x-content-type-options",
            "referrer-policy",
        ] {
            assert!(answer.header(name).is_some(), "{name} on {path}");
        }
        assert!(answer.header("strict-transport-security").is_none());
        if status >= 400 {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{path}"
            );
            assert_eq!(answer.body["instance"], path);
        }
    }
}

#[tokio::test]
async fn other_origins_are_let_in_only_if_configured_and_never_with_credentials() {
    let service = Service::start(
        Engine::Sqlite,
        &[("CONVOKE_CORS_ORIGINS", "https://app.example.org")],
    )
    .await;
    for (origin, allowed) in [
        ("https://app.example.org", Some("https://app.example.org")),
        ("https://evil.example", None),
    ] {
        let request = service
            .http()
            .request(Method::OPTIONS, service.url("/api/v1/events/"));
        let request = request
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let answer = Answer::of(request).await.unwrap().expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn lists_are_compressed_and_what_has_a_strong_tag_is_not() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let user = Client::register(&service, "user").await;
    let event = user
        .create_event(json!({"description": "word ".repeat(400)}))
        .await;
    for encoding in ["gzip", "br", "zstd"] {
        let ask = |path: &str| {
            user.request(Method::GET, path)
                .header("accept-encoding", encoding)
        };
        let list = ask("/events/").send().await.unwrap();
        assert_eq!(list.headers()["content-encoding"], encoding);
        let one = ask(&format!("/events/{}", id(&event)))
            .send()
            .await
            .unwrap();
        assert!(one.headers().get("content-encoding").is_none());
    }
}
