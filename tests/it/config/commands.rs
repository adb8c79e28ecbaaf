//! The binary's commands beside `serve`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, id};
use crate::support::commands::run;
use crate::support::polling::eventually;
use crate::support::service::Service;

on_both_engines! {
    async fn a_promoted_user_may_change_anybodys_event(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        let mut admin = Client::register(&service, "admin").await;
        let event = organizer.create_event(json!({"visibility": "public"})).await;
        let path = format!("/events/{}", id(&event));
        admin.patch(&path, json!({"title": "Mine now"})).await.expect(403);

        let output = run(&["user", "promote", &admin.email], service.settings());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        admin.log_in().await;
        assert_eq!(admin.get("/users/me").await.expect(200).body["role"], "admin");
        // Who may do what is cached for less than a second.
        eventually("the role is noticed", Duration::from_secs(1), || async {
            let answer = admin.patch(&path, json!({"title": "Ours"})).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }
}

#[test]
fn the_printed_openapi_document_is_version_3_1() {
    let output = run(&["openapi"], &[]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let version = document["openapi"].as_str().expect("a version");
    assert!(version.starts_with("3.1."), "{version}");
}
