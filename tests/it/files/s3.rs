//! Files on a real S3 server.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::support::{PNG, attachments, text, upload};
use crate::support::answer::Answer;
use crate::support::client::{Client, id};
use crate::support::engines::Engine;
use crate::support::moto::Moto;
use crate::support::polling::eventually;
use crate::support::service::Service;

async fn start(moto: &Moto, engine: Engine, extra: &[(&str, &str)]) -> Service {
    moto.make_bucket("files").await;
    let settings = moto.settings("files");
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Service::start(engine, &[settings.as_slice(), extra].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_go_to_a_bucket_and_come_back() {
    let moto = Moto::start().await;
    let settings = [
        ("CONVOKE_STORAGE_GRACE", "1s"),
        ("CONVOKE_STORAGE_COLLECT_EVERY", "1s"),
    ];
    let service = start(&moto, Engine::Postgres, &settings).await;
    let host = Client::register(&service, "host").await;
    let event = host.create_event(json!({})).await;
    // In one piece, and in three.
    for length in [0, 1000, 12_000_000] {
        let content = text(length);
        let added = upload(&host, &event, "a.txt", "text/plain", content.clone())
            .await
            .expect(201);
        let path = format!("{}{}", attachments(&event), id(&added.body));
        let whole = host.get(&format!("{path}/content")).await.expect(200);
        assert!(whole.text.as_bytes() == content, "{length}");
        if length > 1000 {
            let request = host
                .request(Method::GET, &format!("{path}/content"))
                .header("range", "bytes=5000000-6000000");
            let part = Answer::of(request).await.unwrap().expect(206);
            assert!(part.text.as_bytes() == &content[5_000_000..=6_000_000]);
        }
    }
    let picture = host.request(Method::PUT, "/users/me/avatar").body(PNG);
    Answer::of(picture).await.unwrap().expect(200);
    host.get("/users/me/avatar").await.expect(200);
    let keys = moto.keys("files").await;
    assert_eq!(keys.len(), 4, "{keys:?}");
    assert!(
        keys.iter()
            .all(|key| key.starts_with("convoke/attachments/")
                || key.starts_with("convoke/avatars/")),
        "{keys:?}"
    );
    assert!(!moto.ask("files", "uploads").await.contains("<UploadId>"));
    host.delete(&format!("/events/{}", id(&event)))
        .await
        .expect(204);
    eventually(
        "the files of the event are collected",
        Duration::from_mins(1),
        || async { (moto.keys("files").await.len() == 1).then_some(()) },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_cut_off_leaves_no_part() {
    let moto = Moto::start().await;
    let service = start(&moto, Engine::Sqlite, &[]).await;
    let host = Client::register(&service, "host").await;
    let event = host.create_event(json!({})).await;
    let stalled = futures::StreamExt::chain(
        futures::stream::iter([Ok::<_, std::io::Error>(text(12 << 20))]),
        futures::stream::pending(),
    );
    let request = host
        .request(Method::POST, &attachments(&event))
        .header("content-type", "text/plain");
    let sending = tokio::spawn(request.body(reqwest::Body::wrap_stream(stalled)).send());
    eventually(
        "its first part is there",
        Duration::from_mins(1),
        || async {
            moto.ask("files", "uploads")
                .await
                .contains("<UploadId>")
                .then_some(())
        },
    )
    .await;
    sending.abort();
    eventually("nothing is left of it", Duration::from_mins(1), || async {
        (!moto.ask("files", "uploads").await.contains("<UploadId>")).then_some(())
    })
    .await;
    assert!(moto.keys("files").await.is_empty());
    assert!(host.all(&attachments(&event)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_url_gives_the_file_without_a_token() {
    let moto = Moto::start().await;
    let service = start(
        &moto,
        Engine::Sqlite,
        &[("CONVOKE_ATTACHMENTS_REDIRECT", "true")],
    )
    .await;
    let host = Client::register(&service, "host").await;
    let event = host.create_event(json!({})).await;
    let added = upload(&host, &event, "na%C3%AFve.txt", "text/plain", "hello")
        .await
        .expect(201);
    let path = format!("{}{}/content", attachments(&event), id(&added.body));
    let sent_on = host.get(&path).await.expect(307);
    assert_eq!(sent_on.header("cache-control"), Some("no-store"));
    let url = sent_on.header("location").unwrap();
    assert!(
        url.starts_with(&moto.url("/files/convoke/attachments/"))
            && url.contains("X-Amz-Expires=60&"),
        "{url}"
    );
    let given = Answer::of(service.http().get(url))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(given.text, "hello");
    assert_eq!(
        given
            .header("content-type")
            .map(|kind| kind.starts_with("text/plain")),
        Some(true)
    );
    assert_eq!(
        given.header("content-disposition"),
        Some("attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt")
    );
    let head = Answer::of(host.request(Method::HEAD, &path))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(head.header("content-length"), Some("5"));
    assert!(
        !service.output().contains("X-Amz-Signature")
            && !service.output().contains("secret-of-the-test")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_everything_else_works() {
    let mut moto = Moto::start().await;
    let settings = [
        ("CONVOKE_STORAGE_RETRIES", "1"),
        ("CONVOKE_STORAGE_TIMEOUT", "5s"),
    ];
    let service = start(&moto, Engine::Sqlite, &settings).await;
    let host = Client::register(&service, "host").await;
    let event = host.create_event(json!({})).await;
    let added = upload(&host, &event, "a.txt", "text/plain", "hello")
        .await
        .expect(201);
    let path = format!("{}{}", attachments(&event), id(&added.body));
    moto.stop();
    let refused = upload(&host, &event, "b.txt", "text/plain", "hello")
        .await
        .expect(503);
    assert_eq!(
        (refused.problem(), refused.header("retry-after")),
        ("storage_unavailable", Some("5"))
    );
    assert_eq!(
        host.get(&format!("{path}/content"))
            .await
            .expect(503)
            .problem(),
        "storage_unavailable"
    );
    let picture = host.request(Method::PUT, "/users/me/avatar").body(PNG);
    assert_eq!(
        Answer::of(picture).await.unwrap().expect(503).problem(),
        "storage_unavailable"
    );
    // What is known of files, and all the rest, is there.
    host.get(&path).await.expect(200);
    assert_eq!(host.all(&attachments(&event)).await.len(), 1);
    host.create_event(json!({})).await;
    host.delete(&path).await.expect(204);
    let ready = Answer::of(service.http().get(service.ops_url("/readyz")))
        .await
        .unwrap();
    ready.expect(200);
    let metrics = service.scrape().await;
    let failed = metrics.value(
        "storage_operation_errors_total",
        &[("storage", "s3"), ("error_type", "unreachable")],
    );
    assert!(failed >= Some(3.0), "{failed:?}");
    let refused = metrics.value(
        "file_uploads_total",
        &[("file", "attachment"), ("outcome", "storage_unavailable")],
    );
    assert_eq!(refused, Some(1.0));
}
