//! What `docs/security.md` says is so. Where the paper gives a figure, it is compared with what the service does.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::files::support::{attachments, files, upload};
use crate::support::answer::Answer;
use crate::support::client::{Client, id};
use crate::support::engines::Engine;
use crate::support::service::Service;

const PAPER: &str = include_str!("../../../docs/security.md");

/// Everything in the database, as text in which hashes are hexadecimal or raw bytes.
async fn everything(service: &Service, engine: Engine) -> Vec<u8> {
    let url = setting(service, "CONVOKE_DATABASE_URL");
    match engine {
        Engine::Sqlite => {
            let folder = std::path::Path::new(setting(service, "CONVOKE_DATA_DIR"));
            let files = std::fs::read_dir(folder).expect("a folder");
            files
                .flat_map(|file| std::fs::read(file.expect("a file").path()).unwrap_or_default())
                .collect()
        }
        Engine::Postgres => {
            let mut link = PgConnection::connect(url).await.expect("a connection");
            let sql = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
            let tables: Vec<String> = sqlx::query_scalar(sql)
                .fetch_all(&mut link)
                .await
                .expect("tables");
            let mut all = String::new();
            for table in tables {
                let sql = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
                let rows: String = sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_one(&mut link)
                    .await
                    .expect("rows");
                all.push_str(&rows);
            }
            all.into_bytes()
        }
    }
}

fn setting<'a>(service: &'a Service, name: &str) -> &'a str {
    let found = service.settings().iter().find(|(known, _)| known == name);
    &found.expect("it is set").1
}

fn holds(all: &[u8], text: &str) -> bool {
    let hex: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let hex = hex.concat();
    [text, &hex]
        .iter()
        .any(|one| all.windows(one.len()).any(|part| part == one.as_bytes()))
}

on_both_engines! {
    async fn what_the_database_holds_lets_nobody_in(engine: Engine) {
        // The production default, which the paper names; tests make it cheaper.
        let service = Service::start(engine, &[("CONVOKE_PASSWORD_HASH_MEMORY", "19456")]).await;
        let user = Client::register(&service, "kept").await;
        let request = user.request(Method::POST, "/api-keys/").header("idempotency-key", "sealed");
        let body = json!({"name": "machine", "scope": "write"});
        let key = Answer::of(request.json(&body)).await.expect("an answer").expect(201).string("key");
        assert!(PAPER.contains("after `cvk_`") && key.starts_with("cvk_"));

        let all = everything(&service, engine).await;
        assert!(holds(&all, &user.email), "the whole database was read");
        // The end of each, for the first letters of a key are kept to know it by.
        for secret in [&user.password, &user.token, &user.refresh_token, &key] {
            assert!(!holds(&all, &secret[secret.len() - 20..]), "{secret} is in the database");
        }
        assert!(PAPER.contains("`CONVOKE_PASSWORD_HASH_MEMORY` (19456) KiB, `CONVOKE_PASSWORD_HASH_ITERATIONS` (2), 1 lane"));
        assert!(holds(&all, "$argon2id$v=19$m=19456,t=2,p=1$"));
    }
}

#[tokio::test]
async fn the_headers_are_those_of_the_paper() {
    let settings = [
        ("CONVOKE_TRUSTED_PROXIES", "127.0.0.1"),
        ("CONVOKE_HSTS", "true"),
    ];
    let service = Service::start(Engine::Sqlite, &settings).await;
    let request = service.http().get(service.url("/health"));
    let answer = Answer::of(request.header("x-forwarded-proto", "https"))
        .await
        .expect("an answer");
    for name in [
        "content-security-policy",
        "x-content-type-options",
        "referrer-policy",
        "strict-transport-security",
    ] {
        let told = format!("`{name}: {}`", answer.header(name).expect(name));
        assert!(PAPER.contains(&told), "the paper does not say {told}");
    }
}

#[tokio::test]
async fn an_access_token_names_its_key_and_no_person() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let user = Client::register(&service, "named").await;
    let part = |number: usize| -> Value {
        let text = user.token.split('.').nth(number).expect("three parts");
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
    };
    let (head, claims) = (part(0), part(1));
    assert_eq!(head["alg"], "HS256");
    let kid = BASE64_URL_SAFE_NO_PAD
        .decode(head["kid"].as_str().expect("a kid"))
        .expect("base64");
    assert!(PAPER.contains(&format!("`kid` is {} bits", kid.len() * 8)));
    let names: Vec<_> = claims
        .as_object()
        .expect("claims")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "sub"]);
    assert_eq!(claims["sub"], user.id.as_str());
    let life = claims["exp"]
        .as_i64()
        .zip(claims["iat"].as_i64())
        .map(|(end, begin)| end - begin);
    assert!(PAPER.contains("`CONVOKE_ACCESS_TOKEN_TTL` (15m)"));
    assert_eq!(life, Some(15 * 60));
}

#[tokio::test]
async fn what_the_paper_calls_unprotected_is_so() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let user = Client::register(&service, "leaving").await;
    let body = json!({"refresh_token": user.refresh_token});
    user.post("/auth/logout", body).await.expect(204);
    assert!(PAPER.contains("An access token lives on after a logout"));
    user.get("/users/me").await.expect(200);
    assert!(PAPER.contains("Registering tells whether an address has an account** (409)"));
    let body = json!({"email": user.email, "password": "somebody else's", "display_name": "X"});
    user.anonymous()
        .post("/auth/register", body)
        .await
        .expect(409);
}

#[tokio::test]
async fn attachments_lie_in_the_storage_as_they_were_given() {
    let row = "| attachments, pictures | `CONVOKE_STORAGE_URL`: a folder, or a bucket | as given, not encrypted by Convoke | until deleted |";
    assert!(PAPER.contains(row));
    let service = Service::start(Engine::Sqlite, &[]).await;
    let user = Client::register(&service, "keeper").await;
    let event = user.create_event(json!({})).await;
    let given = "to be found again, word for word".repeat(9);
    let added = upload(
        &user,
        &event,
        "a.txt",
        "text/plain",
        given.clone().into_bytes(),
    );
    let added = added.await.expect(201);
    let stored = files(&service.data_dir().join("files"));
    let contents: Vec<_> = stored
        .iter()
        .map(|file| std::fs::read(file).expect("a file"))
        .collect();
    assert_eq!(contents, [given.into_bytes()]);
    let path = format!("{}{}", attachments(&event), id(&added.body));
    user.delete(&path).await.expect(204);
    user.get(&format!("{path}/content")).await.expect(404);
}
