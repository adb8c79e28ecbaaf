//! What is taken, from whom, and what becomes of the rest.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::support::{PNG, attachments, files, hex, text, upload};
use crate::support::answer::Answer;
use crate::support::client::{Client, id};
use crate::support::polling::eventually;
use crate::support::service::Service;

fn form(name: &str, kind: &str, content: &[u8]) -> (String, Vec<u8>) {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    ("multipart/form-data; boundary=edge".to_owned(), body)
}

on_both_engines! {
    async fn a_file_comes_in_either_way_and_is_told_to_the_participants(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let host = Client::register(&service, "host").await;
        let guest = Client::register(&service, "guest").await;
        let event = host.create_event(json!({"visibility": "private"})).await;
        host.invite(&event, &guest).await;
        let content = text(300_000);
        let first = upload(&host, &event, "na%C3%AFve%20plan.txt", "text/plain", content.clone()).await.expect(201);
        assert_eq!(first.body["name"], "naïve plan.txt");
        assert_eq!(first.body["size"], 300_000);
        assert_eq!(first.body["media_type"], "text/plain");
        assert_eq!(first.body["uploaded_by"], host.id.as_str());
        let hash = hex(&Sha256::digest(&content));
        assert_eq!(first.body["sha256"], hash.as_str());
        let location = first.header("location").unwrap();
        let path = location.strip_prefix("/api/v1").unwrap();
        let (kind, body) = form("pixel.png", "image/png", PNG);
        let request = host.request(Method::POST, &attachments(&event)).header("content-type", kind).body(body);
        let second = Answer::of(request).await.unwrap().expect(201);
        assert_eq!((&second.body["name"], &second.body["media_type"]), (&json!("pixel.png"), &json!("image/png")));
        // Whoever sees the event sees its files.
        let listed = guest.all(&attachments(&event)).await;
        assert_eq!(listed, [first.body.clone(), second.body.clone()]);
        let one = guest.get(path).await.expect(200);
        assert_eq!((&one.body, one.header("etag")), (&first.body, first.header("etag")));
        let told = guest.is_told(2, "attachment.added", &event).await;
        assert_eq!(told.iter().filter(|one| one["data"]["attachment"]["name"] == "pixel.png").count(), 1);
        // Removed by those who may, in the state that they know.
        guest.delete(path).await.expect(403);
        let stale = host.request(Method::DELETE, path).header("if-match", "\"other\"");
        assert_eq!(Answer::of(stale).await.unwrap().expect(412).problem(), "stale_version");
        let known = host.request(Method::DELETE, path).header("if-match", first.header("etag").unwrap());
        Answer::of(known).await.unwrap().expect(204);
        host.get(path).await.expect(404);
        host.get(&format!("{path}/content")).await.expect(404);
        let history = host.all(&format!("/events/{}/history", id(&event))).await;
        let kinds: Vec<_> = history.iter().map(|change| change["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds.iter().filter(|kind| kind.starts_with("attachment.")).collect::<Vec<_>>(),
            [&"attachment.added", &"attachment.added", &"attachment.removed"]);
    }

    async fn strangers_see_nothing_and_guests_add_nothing(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let [host, guest, stranger] = ["host", "guest", "stranger"].map(|name| Client::register(&service, name));
        let (host, guest, stranger) = (host.await, guest.await, stranger.await);
        let event = host.create_event(json!({"visibility": "private"})).await;
        host.invite(&event, &guest).await;
        let added = upload(&host, &event, "a.txt", "text/plain", "hello").await.expect(201);
        let path = format!("{}{}", attachments(&event), id(&added.body));
        for path in [&attachments(&event), &path, &format!("{path}/content")] {
            stranger.get(path).await.expect(404);
            stranger.anonymous().get(path).await.expect(401);
            guest.get(path).await.expect(200);
        }
        stranger.delete(&path).await.expect(404);
        assert_eq!(upload(&stranger, &event, "b.txt", "text/plain", "b").await.expect(404).problem(), "not_found");
        assert_eq!(upload(&guest, &event, "b.txt", "text/plain", "b").await.expect(403).problem(), "forbidden");
        // A file of one event is not to be had by way of another.
        let other = stranger.create_event(json!({})).await;
        let crossed = format!("{}{}", attachments(&other), id(&added.body));
        for path in [&crossed, &format!("{crossed}/content")] {
            stranger.get(path).await.expect(404);
        }
        stranger.delete(&crossed).await.expect(404);
        // With the event its files are out of reach.
        host.delete(&format!("/events/{}", id(&event))).await.expect(204);
        for path in [&attachments(&event), &path, &format!("{path}/content")] {
            host.get(path).await.expect(404);
        }
    }

    async fn what_is_not_what_it_seems_is_refused_and_leaves_nothing(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let host = Client::register(&service, "host").await;
        let event = host.create_event(json!({})).await;
        for (kind, content, status, code) in [
            ("text/html", b"hello".as_slice(), 415, "active_content"),
            ("image/svg+xml", b"<svg/>", 415, "active_content"),
            ("image/png", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", 415, "active_content"),
            ("text/plain", b" <!DOCTYPE html><script>alert(1)</script>", 415, "active_content"),
            ("image/png", b"not a picture", 415, "media_type_mismatch"),
            ("image/jpeg", PNG, 415, "media_type_mismatch"),
            ("application/x-own", b"\0\x01\x02", 415, "unsupported_media_type"),
            ("application/octet-stream", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0", 415, "unsupported_media_type"),
            ("nonsense", b"x", 400, "invalid_header"),
            ("multipart/form-data", b"x", 400, "malformed_multipart"),
            ("multipart/form-data; boundary=edge", b"--edge--\r\n", 400, "malformed_multipart"),
            ("multipart/form-data; boundary=edge", b"--edge\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ncut", 400, "malformed_multipart"),
            ("multipart/form-data; boundary=edge", b"--edge\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--edge--\r\n", 400, "malformed_multipart"),
        ] {
            let answer = upload(&host, &event, "x", kind, content).await.expect(status);
            assert_eq!(answer.problem(), code, "{kind}");
        }
        let (kind, mut body) = form("a.txt", "text/plain", b"hello");
        body.truncate(body.len() - 4);
        body.extend_from_slice(b"\r\nContent-Disposition: form-data; name=\"second\"\r\n\r\nx\r\n--edge--\r\n");
        assert_eq!(upload(&host, &event, "x", &kind, body).await.expect(400).problem(), "malformed_multipart");
        for (digest, status) in [("sha-256=:AA==:", 400), (&format!("sha-256=:{}=:", "A".repeat(43)), 422)] {
            let request = host.request(Method::POST, &attachments(&event)).header("content-type", "text/plain");
            Answer::of(request.header("repr-digest", digest).body("hello")).await.unwrap().expect(status);
        }
        let request = host.request(Method::POST, &attachments(&event)).header("content-type", "text/plain");
        let right = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
        Answer::of(request.header("content-digest", right).body("hello")).await.unwrap().expect(201);
        assert_eq!(host.all(&attachments(&event)).await.len(), 1);
        assert_eq!(files(&service.data_dir().join("files")).len(), 1, "nothing is left of the others");
    }

    async fn names_cannot_do_harm(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let host = Client::register(&service, "host").await;
        let event = host.create_event(json!({})).await;
        for (name, kept) in [
            ("..%2F..%2Fetc%2Fpasswd", "passwd"),
            ("a%0D%0ASet-Cookie%3A%20x%3D1.txt", "aSet-Cookie: x=1.txt"),
            ("%E4%BC%9A%E8%AD%B0%22quoted%22.txt", "会議\"quoted\".txt"),
            ("gnp%E2%80%AEexe.txt", "gnpexe.txt"),
            ("", "file"),
        ] {
            let added = upload(&host, &event, name, "text/plain", "hello").await.expect(201);
            assert_eq!(added.body["name"], kept);
            let content = host.get(&format!("{}{}/content", attachments(&event), id(&added.body))).await.expect(200);
            assert!(content.header("set-cookie").is_none() && content.headers.get("content-disposition").is_some());
            let disposition = content.header("content-disposition").unwrap();
            assert!(disposition.starts_with("attachment; filename=\"") && disposition.contains("; filename*=UTF-8''"), "{disposition}");
        }
        assert!(files(service.data_dir()).iter().all(|path| !path.to_string_lossy().contains("passwd")));
    }

    async fn too_much_is_refused_before_it_is_read(engine: Engine) {
        let service = Service::start(engine, &[
            ("CONVOKE_ATTACHMENTS_MAX_SIZE", "100KiB"),
            ("CONVOKE_ATTACHMENTS_EVENT_QUOTA", "250KiB"),
            ("CONVOKE_ATTACHMENTS_USER_QUOTA", "300KiB"),
            ("CONVOKE_ATTACHMENTS_MAX_PER_EVENT", "3"),
        ]).await;
        let host = Client::register(&service, "host").await;
        let event = host.create_event(json!({})).await;
        let big = text(100 << 10);
        upload(&host, &event, "1", "text/plain", big.clone()).await.expect(201);
        // Announced, and found out: an endless stream is cut off.
        let more = text((100 << 10) + 1);
        assert_eq!(upload(&host, &event, "x", "text/plain", more.clone()).await.expect(413).problem(), "body_too_large");
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'a'; 8192]));
        let request = host.request(Method::POST, &attachments(&event)).header("content-type", "text/plain");
        // It is answered while it still sends, or its connection ends because nobody reads it.
        match Answer::of(request.body(reqwest::Body::wrap_stream(endless))).await {
            Ok(answer) => assert_eq!(answer.expect(413).problem(), "body_too_large"),
            Err(failure) => assert!(failure.is_request() || failure.is_body(), "{failure:?}"),
        }
        let (kind, body) = form("a", "text/plain", &more);
        assert_eq!(upload(&host, &event, "x", &kind, body).await.expect(413).problem(), "body_too_large");
        upload(&host, &event, "2", "text/plain", big.clone()).await.expect(201);
        assert_eq!(upload(&host, &event, "3", "text/plain", big.clone()).await.expect(409).problem(), "quota_exceeded");
        upload(&host, &event, "3", "text/plain", text(1000)).await.expect(201);
        assert_eq!(upload(&host, &event, "4", "text/plain", "x").await.expect(409).problem(), "too_many_attachments");
        // The user's quota holds over all events, and those deleted count no longer.
        let other = host.create_event(json!({})).await;
        assert_eq!(upload(&host, &other, "5", "text/plain", big.clone()).await.expect(409).problem(), "quota_exceeded");
        host.delete(&format!("/events/{}", id(&event))).await.expect(204);
        upload(&host, &other, "5", "text/plain", big.clone()).await.expect(201);
    }

    async fn quotas_hold_whatever_comes_at_once(engine: Engine) {
        let service = Service::start(engine, &[("CONVOKE_ATTACHMENTS_USER_QUOTA", "100KiB")]).await;
        let host = Client::register(&service, "host").await;
        let events = [host.create_event(json!({})).await, host.create_event(json!({})).await];
        let uploads = (0..10).map(|n| {
            let (host, event) = (host.clone(), events[n % 2].clone());
            async move { upload(&host, &event, "x", "text/plain", text(30 << 10)).await.status }
        });
        let statuses = futures::future::join_all(uploads).await;
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 3, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
        assert_eq!(files(&service.data_dir().join("files")).len(), 3);
    }

    async fn a_client_that_stops_half_way_leaves_nothing(engine: Engine) {
        let service = Service::start(engine, &[("CONVOKE_ATTACHMENTS_IDLE_TIMEOUT", "1s")]).await;
        let host = Client::register(&service, "host").await;
        let event = host.create_event(json!({})).await;
        let folder = service.data_dir().join("files");
        // It goes on longer than other requests may take, as long as it goes on; then it says nothing more.
        let stalled = futures::StreamExt::chain(
            futures::stream::iter([Ok::<_, std::io::Error>(text(2 << 20))]),
            futures::stream::pending(),
        );
        let request = host.request(Method::POST, &attachments(&event)).header("content-type", "text/plain");
        let answer = Answer::of(request.body(reqwest::Body::wrap_stream(stalled))).await.unwrap();
        assert_eq!(answer.expect(408).problem(), "body_timeout");
        // And one that goes away.
        let stalled = futures::StreamExt::chain(
            futures::stream::iter([Ok::<_, std::io::Error>(text(2 << 20))]),
            futures::stream::pending(),
        );
        let request = host.request(Method::POST, &attachments(&event)).header("content-type", "text/plain");
        let sending = tokio::spawn(request.body(reqwest::Body::wrap_stream(stalled)).send());
        eventually("its first part is there", Duration::from_secs(30), || async {
            (!files(&folder).is_empty()).then_some(())
        }).await;
        sending.abort();
        eventually("nothing is left of it", Duration::from_secs(30), || async {
            files(&folder).is_empty().then_some(())
        }).await;
        assert!(host.all(&attachments(&event)).await.is_empty());
        let history = host.all(&format!("/events/{}/history", id(&event))).await;
        assert_eq!(history.len(), 1, "{history:?}");
    }
}
