//! The log, as a collector of logs reads it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::service::Service;

on_both_engines! {
    async fn each_line_is_one_object_with_the_fields_that_everyone_expects(engine: Engine) {
        let mut service = Service::start(engine, &[]).await;
        let organizer = Client::register(&service, "organizer").await;
        organizer.create_event(json!({})).await;
        organizer.post("/events/", json!({"title": ""})).await.expect(422);
        organizer.get("/nothing/here").await.expect(404);
        service.terminate();
        assert!(service.wait().success());

        let lines = service.log_lines();
        let printed = service.output();
        assert_eq!(lines.len(), printed.lines().count(), "every line is JSON: {printed}");
        for line in &lines {
            for field in ["timestamp", "level", "target", "message"] {
                assert!(line[field].is_string(), "no {field} in {line}");
            }
            line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().expect("RFC 3339");
        }
        let errors: Vec<&Value> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
        assert!(errors.is_empty(), "bad requests are no errors of ours: {errors:#?}");
    }

    async fn a_request_is_one_line(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let user = Client::register(&service, "user").await;
        let asked = "0192f0c1-7a3e-7000-8000-00000000abcd";
        let request = user.request(reqwest::Method::GET, "/users/me").header("x-request-id", asked);
        let answer = Answer::of(request).await.unwrap().expect(200);
        assert_eq!(answer.header("x-request-id"), Some(asked), "a well-formed id is kept");

        let is_it = |line: &Value| line["request_id"] == asked;
        let line = service.wait_for_log("of the request", Duration::from_secs(10), is_it).await;
        let text = line.to_string();
        assert!(text.contains("/api/v1/users/me") && text.contains("GET"), "{text}");
        // Another request's line comes after any further line of this one.
        user.get("/users/me").await.expect(200);
        let lines = service.log_lines();
        assert_eq!(lines.iter().filter(|line| is_it(line)).count(), 1);
    }
}
