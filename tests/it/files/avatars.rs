//! Pictures of users.

use reqwest::Method;
use serde_json::Value;

use super::support::{PNG, files};
use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::service::Service;

async fn set(user: &Client, kind: &str, content: &[u8]) -> Answer {
    let request = user
        .request(Method::PUT, "/users/me/avatar")
        .header("content-type", kind);
    Answer::of(request.body(content.to_vec())).await.unwrap()
}

on_both_engines! {
    async fn a_picture_is_set_shown_replaced_and_taken_away(engine: Engine) {
        let service = Service::start(engine, &[("CONVOKE_AVATARS_MAX_SIZE", "4KiB")]).await;
        let [ada, ben] = [Client::register(&service, "ada").await, Client::register(&service, "ben").await];
        let me = ada.get("/users/me").await.expect(200);
        assert_eq!(me.body["avatar_url"], Value::Null);
        ada.get("/users/me/avatar").await.expect(404);
        ada.delete("/users/me/avatar").await.expect(404);
        let changed = set(&ada, "image/png", PNG).await.expect(200);
        let url = changed.body["avatar_url"].as_str().unwrap();
        assert_eq!(url, format!("/api/v1/users/{}/avatar", ada.id));
        assert_ne!(me.header("etag"), changed.header("etag"), "the account changed");
        let path = url.strip_prefix("/api/v1").unwrap();
        let shown = ben.get(path).await.expect(200);
        assert_eq!(shown.header("content-type"), Some("image/png"));
        assert_eq!(shown.header("content-length"), Some(PNG.len().to_string().as_str()));
        assert_eq!(shown.header("content-disposition"), Some("inline; filename=\"avatar.png\"; filename*=UTF-8''avatar.png"));
        let tag = shown.header("etag").unwrap();
        let known = ben.request(Method::GET, path).header("if-none-match", tag);
        Answer::of(known).await.unwrap().expect(304);
        ben.anonymous().get(path).await.expect(401);
        let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        let stale = ada.request(Method::PUT, "/users/me/avatar").header("if-match", "\"other\"").body(gif.to_vec());
        Answer::of(stale).await.unwrap().expect(412);
        set(&ada, "image/gif", gif).await.expect(200);
        assert_eq!(ben.get(path).await.expect(200).header("content-type"), Some("image/gif"));
        for (kind, content, status, code) in [
            ("image/png", b"hello".as_slice(), 415, "media_type_mismatch"),
            ("text/plain", b"hello", 415, "unsupported_media_type"),
            ("image/svg+xml", b"<svg/>", 415, "active_content"),
            ("application/pdf", b"%PDF-1.7", 415, "unsupported_media_type"),
            ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x01\0\0\0\x01\0\0\x08\x06\0\0\0", 422, "validation_failed"),
            ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\r", 422, "validation_failed"),
            ("image/png", &[PNG, &[0; 8192]].concat(), 413, "body_too_large"),
        ] {
            assert_eq!(set(&ada, kind, content).await.expect(status).problem(), code, "{kind}");
        }
        let form = "multipart/form-data; boundary=x";
        let body = [b"--x\r\ncontent-disposition: form-data; name=file\r\n\r\n", PNG, b"\r\n--x--\r\n"].concat();
        for (kind, content) in [(form, &*body), ("application/x-www-form-urlencoded", PNG)] {
            let refused = set(&ada, kind, content).await.expect(415);
            assert_eq!(refused.problem(), "unsupported_media_type");
            assert!(refused.string("detail").contains("the Content-Type that it has"), "{}", refused.text);
        }
        ada.delete("/users/me/avatar").await.expect(204);
        ben.get(path).await.expect(404);
        assert_eq!(ada.get("/users/me").await.expect(200).body["avatar_url"], Value::Null);
        // Kept for a grace, and no more than were ever set.
        assert_eq!(files(&service.data_dir().join("files/avatars")).len(), 2);
    }
}
