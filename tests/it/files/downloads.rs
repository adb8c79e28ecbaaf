//! Ranges, conditions and headers of downloads.

use reqwest::Method;
use serde_json::json;

use super::support::{attachments, text, upload};
use crate::support::answer::Answer;
use crate::support::client::{Client, id};
use crate::support::service::Service;

on_both_engines! {
    async fn a_file_is_given_out_whole_or_in_part_and_never_to_be_run(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let host = Client::register(&service, "host").await;
        let event = host.create_event(json!({})).await;
        let content = String::from_utf8(text(1_000_000)).unwrap();
        let added = upload(&host, &event, "a.txt", "text/plain", content.clone()).await.expect(201);
        let path = format!("{}{}/content", attachments(&event), id(&added.body));
        let whole = host.get(&path).await.expect(200);
        assert!(whole.text == content);
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-length", "1000000"),
            ("content-disposition", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox; default-src 'none'; frame-ancestors 'none'"),
            ("accept-ranges", "bytes"),
            ("cache-control", "private, no-cache"),
        ] {
            assert_eq!(whole.header(name), Some(value), "{name}");
        }
        let digest = whole.header("repr-digest").unwrap();
        assert!(digest.starts_with("sha-256=:") && digest.len() == 9 + 44 + 1, "{digest}");
        let tag = whole.header("etag").unwrap().to_owned();
        let modified = whole.header("last-modified").unwrap().to_owned();
        let ask = |method: Method, headers: Vec<(&'static str, String)>| {
            let request = headers.into_iter().fold(host.request(method, &path), |request, (name, value)| request.header(name, value));
            async { Answer::of(request).await.unwrap() }
        };
        for (range, bytes) in [("bytes=0-9", 0..10), ("bytes=999990-", 999_990..1_000_000), ("bytes=-5", 999_995..1_000_000), ("bytes=131000-400000", 131_000..400_001)] {
            let part = ask(Method::GET, vec![("range", range.to_owned())]).await.expect(206);
            assert!(part.text == content[bytes.clone()], "{range}");
            assert_eq!(part.header("content-range"), Some(format!("bytes {}-{}/1000000", bytes.start, bytes.end - 1).as_str()));
            assert_eq!(part.header("content-length"), Some(bytes.len().to_string().as_str()));
            assert_eq!(part.header("etag"), Some(tag.as_str()));
        }
        let beyond = ask(Method::GET, vec![("range", "bytes=1000000-".to_owned())]).await.expect(416);
        assert_eq!((beyond.problem(), beyond.header("content-range")), ("range_not_satisfiable", Some("bytes */1000000")));
        for (condition, status) in [(tag.clone(), 206), (modified, 206), ("\"other\"".to_owned(), 200), (format!("W/{tag}"), 200)] {
            ask(Method::GET, vec![("range", "bytes=0-9".to_owned()), ("if-range", condition)]).await.expect(status);
        }
        ask(Method::GET, vec![("range", "bytes=0-1,5-6".to_owned())]).await.expect(200);
        let known = ask(Method::GET, vec![("if-none-match", tag.clone())]).await.expect(304);
        assert_eq!((known.header("etag"), known.text.as_str()), (Some(tag.as_str()), ""));
        let head = ask(Method::HEAD, vec![("range", "bytes=0-9".to_owned())]).await.expect(200);
        assert_eq!((head.header("content-length"), head.text.as_str()), (Some("1000000"), ""));
        // An empty file is one, too; its answers are never compressed, for their validator is strong.
        let empty = upload(&host, &event, "empty", "text/plain", "").await.expect(201);
        let path = format!("{}{}/content", attachments(&event), id(&empty.body));
        let request = host.request(Method::GET, &path).header("accept-encoding", "gzip");
        let empty = Answer::of(request).await.unwrap().expect(200);
        assert_eq!((empty.text.as_str(), empty.header("content-length"), empty.header("content-encoding")), ("", Some("0"), None));
    }
}
