//! What nothing refers to is deleted, and nothing else.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::support::{PNG, attachments, files, upload};
use crate::support::answer::Answer;
use crate::support::client::{Client, id};
use crate::support::polling::eventually;
use crate::support::service::Service;

on_both_engines! {
    async fn what_nothing_refers_to_is_collected_after_a_grace(engine: Engine) {
        let service = Service::start(engine, &[
            ("CONVOKE_STORAGE_GRACE", "1s"),
            ("CONVOKE_STORAGE_COLLECT_EVERY", "1s"),
        ]).await;
        let host = Client::register(&service, "host").await;
        let folder = service.data_dir().join("files");
        let [kept, gone] = [host.create_event(json!({})).await, host.create_event(json!({})).await];
        let stays = upload(&host, &kept, "stays", "text/plain", "stays").await.expect(201);
        let removed = upload(&host, &kept, "removed", "text/plain", "removed").await.expect(201);
        upload(&host, &gone, "gone", "text/plain", "with its event").await.expect(201);
        for _ in 0..2 {
            let picture = host.request(Method::PUT, "/users/me/avatar").body(PNG);
            Answer::of(picture).await.unwrap().expect(200);
        }
        // What a crash leaves: bytes without a row, and a part of an upload.
        for (name, content) in [("attachments/00/lost", "lost"), ("attachments/00/cut#1", "cut"), ("avatars/00/lost", "lost")] {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        // Not ours to touch.
        std::fs::write(folder.join("other"), "other").unwrap();
        host.delete(&format!("{}{}", attachments(&kept), id(&removed.body))).await.expect(204);
        host.delete(&format!("/events/{}", id(&gone))).await.expect(204);
        eventually("only what is needed is left", Duration::from_mins(1), || async {
            (files(&folder).len() == 3).then_some(())
        }).await;
        let mut content: Vec<Vec<u8>> = files(&folder).iter().map(|path| std::fs::read(path).unwrap()).collect();
        content.sort();
        let mut expected = [b"stays".to_vec(), b"other".to_vec(), PNG.to_vec()];
        expected.sort();
        assert_eq!(content, expected);
        let path = format!("{}{}/content", attachments(&kept), id(&stays.body));
        assert_eq!(host.get(&path).await.expect(200).text, "stays");
        eventually("it is counted", Duration::from_mins(1), || async {
            let metrics = service.scrape().await;
            let deleted = metrics.value("file_collections_deleted_total", &[("reason", "deleted")]);
            let unknown = metrics.value("file_collections_deleted_total", &[("reason", "unknown")]);
            let unfinished = metrics.value("file_collections_deleted_total", &[("reason", "unfinished")]);
            ((deleted, unknown, unfinished) == (Some(3.0), Some(2.0), Some(1.0))).then_some(())
        }).await;
    }
}
