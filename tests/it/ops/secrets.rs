//! No secret in anything the service tells: not in a log line, a metric, a span, an error or a page.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::engines::Engine;
use crate::support::otlp::OtlpReceiver;
use crate::support::service::{SECRET_KEY, Service};

const DATABASE_PASSWORD: &str = "the-databases-own-password";
const WRONG_PASSWORD: &str = "a-password-that-was-never-right";
const MISTYPED: &str = "a-password-in-a-broken-body";
const IN_A_QUERY: &str = "a-token-in-a-query-string";
const IN_A_HEADER: &str = "a-token-of-nobody-in-a-header";

on_both_engines! {
    async fn no_password_token_or_key_is_in_anything_that_is_told(engine: Engine) {
        let collector = OtlpReceiver::http().await;
        let service = telling_everything(engine, &collector).await;
        let user = Client::register(&service, "user").await;
        let mut secrets = vec![
            SECRET_KEY.to_owned(),
            user.password.clone(),
            user.token.clone(),
            user.refresh_token.clone(),
            DATABASE_PASSWORD.to_owned(),
        ];
        secrets.extend([WRONG_PASSWORD, MISTYPED, IN_A_QUERY, IN_A_HEADER].map(str::to_owned));
        let mut told = misuse(&service, &user, &mut secrets).await;

        told.push(("the ops listener".to_owned(), ops_pages(&service).await));
        service.terminate();
        let mut service = service;
        assert!(service.wait().success(), "the last spans are flushed");
        told.push(("the log".to_owned(), service.output()));
        let spans = collector.spans();
        assert!(!spans.is_empty(), "spans arrived");
        told.push(("the spans".to_owned(), format!("{spans:?}")));

        for (place, text) in &told {
            for secret in &secrets {
                // A JWT's middle part alone would be telling enough, and so would the end of any.
                let needle = &secret[secret.len().saturating_sub(24)..];
                assert!(!text.contains(needle), "{secret} is in {place}");
            }
        }
    }
}

/// Full logs, every span, and on PostgreSQL a password in the URL (which a trusting server ignores).
async fn telling_everything(engine: Engine, collector: &OtlpReceiver) -> Service {
    let settings = [
        ("CONVOKE_LOG", "debug"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    if engine == Engine::Sqlite {
        return Service::start(engine, &settings).await;
    }
    let url = engine.fresh_database(std::path::Path::new("unused")).await;
    let url = url.replace("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"));
    Service::start_on(&url, &settings).await
}

/// Right and wrong uses of every kind of secret; gives the errors that came back, and adds what was issued.
async fn misuse(
    service: &Service,
    user: &Client,
    secrets: &mut Vec<String>,
) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let mut note = |what: &str, text: String| told.push((what.to_owned(), text));

    let wrong = json!({"email": user.email, "password": WRONG_PASSWORD});
    note(
        "a refused login",
        user.post("/auth/login", wrong).await.expect(401).text,
    );
    let mistyped = json!({"email": user.email, "passwort": MISTYPED, "password": [MISTYPED]});
    note(
        "a broken login",
        user.post("/auth/login", mistyped).await.text,
    );
    let weak = json!({"email": "not an address", "password": MISTYPED, "display_name": ""});
    note(
        "a broken registration",
        user.post("/auth/register", weak).await.text,
    );

    let refresh = json!({"refresh_token": user.refresh_token});
    let tokens = user
        .post("/auth/refresh", refresh.clone())
        .await
        .expect(200);
    secrets.extend([
        tokens.string("access_token"),
        tokens.string("refresh_token"),
    ]);
    note(
        "a reused refresh token",
        user.post("/auth/refresh", refresh).await.expect(401).text,
    );

    let key = user
        .post("/api-keys/", json!({"name": "machine", "scope": "read"}))
        .await
        .expect(201);
    let issued = long_strings(&key.body);
    assert!(!issued.is_empty(), "a key is shown once: {}", key.text);
    secrets.extend(issued);
    note(
        "the list of keys",
        user.get("/api-keys/").await.expect(200).text,
    );

    let path = format!("/events/?access_token={IN_A_QUERY}&token={IN_A_QUERY}");
    let refused = user.get(&path).await;
    assert!(refused.status >= 400);
    let stranger = user.with_token(IN_A_HEADER);
    note(
        "a token of nobody",
        stranger.get("/users/me").await.expect(401).text,
    );
    let forged = user.with_token(&format!("{}x", user.token));
    note(
        "a forged token",
        forged.get("/users/me").await.expect(401).text,
    );
    note("the user", user.get("/users/me").await.expect(200).text);
    note(
        "the API's own description",
        page(service, &service.url("/openapi.json")).await,
    );
    told
}

/// The strings long enough to be a key and neither an id nor a time.
fn long_strings(body: &Value) -> Vec<String> {
    let strings = body
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value.as_str());
    strings
        .filter(|text| text.len() >= 24 && text.parse::<uuid::Uuid>().is_err())
        .filter(|text| text.parse::<jiff::Timestamp>().is_err())
        .map(str::to_owned)
        .collect()
}

async fn ops_pages(service: &Service) -> String {
    let mut all = String::new();
    for path in [
        "/",
        "/metrics",
        "/readyz",
        "/livez",
        "/version",
        "/log-level",
        "/debug/config",
        "/debug/runtime",
        "/console/snapshot",
        "/console/traces",
    ] {
        all.push_str(&page(service, &service.ops_url(path)).await);
    }
    // The console numbers what it keeps from 1 on; the lines are in each one's own document.
    let mut kept = 0;
    for number in 1..500 {
        let url = service.ops_url(&format!("/console/traces/{number}"));
        let text = page(service, &url).await;
        kept += usize::from(text.contains("\"lines\""));
        all.push_str(&text);
    }
    assert!(kept > 5, "the console kept only {kept} requests");
    all
}

async fn page(service: &Service, url: &str) -> String {
    service
        .http()
        .get(url)
        .send()
        .await
        .expect("answers")
        .text()
        .await
        .expect("a body")
}
