//! The OpenAPI 3.1 document: what the handlers say of themselves, and what holds for all of them.

mod operation;
mod schemas;

use serde_json::{Map, Value, json};

use self::{operation::Operation, schemas::constrain};
use super::{
    problem::{MEDIA_TYPE, ProblemType},
    routes,
};

/// The document as text, as it is served and committed.
pub fn openapi_json() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
pub(super) fn document() -> Value {
    let (_, generated) = routes::table();
    let mut document = serde_json::to_value(generated).unwrap_or_default();
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Convoke",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "A self-hosted event API: create events, invite participants, answer, and be told of every change. \
                        Errors are problem documents (RFC 9457); each type has a page under `/docs/problems/`.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    document["servers"] = json!([{ "url": "/" }]);
    document["security"] = json!([{ "access_token": [] }, { "api_key": [] }]);
    document["components"]["securitySchemes"] = json!({
        "access_token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From `POST /api/v1/auth/login`." },
        "api_key": { "type": "http", "scheme": "bearer", "description": "A key from `POST /api/v1/api-keys/`; begins with `cvk_`." },
    });
    constrain(&mut document["components"]["schemas"]);
    headers(&mut document["components"]["headers"]);
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, operations) in paths {
            for (method, operation) in operations.as_object_mut().into_iter().flatten() {
                complete(path, method, operation);
            }
        }
    }
    document
}

/// The headers of answers.
fn headers(headers: &mut Value) {
    let text =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    *headers = json!({
        "x-request-id": text("Names this request in the service's log; the client's own, if it sent a well-formed one."),
        "traceresponse": text("The request's trace context (W3C Trace Context Level 2)."),
        "ratelimit": text("What is left of the quota, and in how many seconds it is whole: `\"reads\";r=599;t=1`."),
        "ratelimit-policy": text("The quota: `\"reads\";q=600;w=60`, requests in a window of seconds."),
        "retry-after": { "description": "Seconds after which to try again.", "schema": { "type": "integer", "minimum": 0 } },
        "etag": text("Strong validator of this state (RFC 9110 §8.8.3)."),
        "last-modified": text("When it last changed (RFC 9110 §8.8.2)."),
        "location": text("The path of what was made."),
        "accept-ranges": text("`bytes`: ranges can be asked for."),
        "content-disposition": text("What the file is called (RFC 6266)."),
        "content-range": text("Which bytes these are, of how many (RFC 9110 §14.4)."),
        "repr-digest": text("The SHA-256 of the whole file (RFC 9530)."),
        "link": text("The next page: `<…>; rel=\"next\"`. Absent on the last."),
        "idempotency-replayed": text("`true` when this is the kept answer of an earlier request with the same Idempotency-Key."),
        "www-authenticate": text("How to authenticate (RFC 6750 §3)."),
    });
}

fn header_refs(names: &[&str]) -> Map<String, Value> {
    names
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                json!({ "$ref": format!("#/components/headers/{name}") }),
            )
        })
        .collect()
}

const COMMON_HEADERS: &[&str] = &[
    "x-request-id",
    "traceresponse",
    "ratelimit",
    "ratelimit-policy",
];

/// Everything that follows from an operation's path, method and body.
fn complete(path: &str, method: &str, operation: &mut Value) {
    let id = operation["operationId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let facts = Operation {
        path,
        method,
        id: &id,
        has_body: operation.get("requestBody").is_some(),
    };
    if facts.public() {
        operation["security"] = json!([{}]);
    }
    if facts.is(&["changeEvent", "changeMe"]) {
        let content = &mut operation["requestBody"]["content"];
        if facts.is(&["changeEvent"]) {
            content["application/json"]["schema"] =
                json!({ "$ref": "#/components/schemas/EventPatch" });
        }
        content["application/merge-patch+json"] = content["application/json"].clone();
    }
    if facts.is(&["inviteParticipants"]) {
        let schemas = ["Participant", "InvitedBody"]
            .map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }));
        operation["responses"]["201"]["content"]["application/json"]["schema"] =
            json!({ "oneOf": schemas });
    }
    // A file is bytes, not an array of numbers.
    if facts.takes_a_file() {
        operation["requestBody"]["content"]["application/octet-stream"]["schema"] =
            json!({ "type": "string", "format": "binary" });
    }
    operation["parameters"] = facts.parameters();
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        response["headers"] = Value::Object(header_refs(&facts.response_headers(status)));
        for (media_type, content) in response
            .get_mut("content")
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            if facts.gives_a_file() && media_type != "application/json" {
                content["schema"] = json!({ "type": "string", "format": "binary" });
            }
        }
    }
    if facts.reads_one() {
        operation["responses"]["304"] = json!({
            "description": "It is still in the state that If-None-Match names",
            "headers": header_refs(&facts.response_headers("304")),
        });
    }
    add_problems(operation, &facts.problems());
    if let Some((status, links)) = links(&id) {
        operation["responses"][status]["links"] = links;
    }
}

/// One response for each status, with an example for each problem.
fn add_problems(operation: &mut Value, problems: &[&'static ProblemType]) {
    for problem in problems {
        let response = &mut operation["responses"][problem.status.to_string()];
        if response.is_null() {
            let mut names = COMMON_HEADERS.to_vec();
            match problem.status {
                401 => names.push("www-authenticate"),
                429 | 503 => names.push("retry-after"),
                _ => {}
            }
            *response = json!({
                "description": problem.title,
                "headers": header_refs(&names),
                "content": { MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" }, "examples": {} } },
            });
        }
        response["content"][MEDIA_TYPE]["examples"][problem.code] = json!({
            "summary": problem.title,
            "value": {
                "type": format!("/docs/problems/{}", problem.code), "title": problem.title, "status": problem.status,
                "detail": problem.meaning, "instance": "/api/v1/…", "code": problem.code,
                "request_id": "0193a0c4-5b7e-7cc0-9a57-3f1f6b6f6e11", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            },
        });
    }
}

/// What can be done with what an answer shows: its status, and the links.
fn links(id: &str) -> Option<(&'static str, Value)> {
    let all = |operations: &[&str], parameters: Value| {
        let links = operations.iter().map(|operation| {
            let link = json!({ "operationId": operation, "parameters": parameters });
            ((*operation).to_owned(), link)
        });
        Value::Object(links.collect())
    };
    let made = "$response.body#/id";
    Some(match id {
        "createEvent" => {
            let operations = [
                "getEvent",
                "replaceEvent",
                "changeEvent",
                "cancelEvent",
                "inviteParticipants",
                "listParticipants",
                "getHistory",
                "deleteEvent",
            ];
            ("201", all(&operations, json!({ "event_id": made })))
        }
        "createApiKey" => ("201", all(&["revokeApiKey"], json!({ "key_id": made }))),
        "listNotifications" => {
            let first = json!({ "notification_id": "$response.body#/items/0/id" });
            ("200", all(&["readNotification"], first))
        }
        "addAttachment" => {
            let one = json!({ "event_id": "$request.path.event_id", "attachment_id": made });
            let operations = ["getAttachment", "downloadAttachment", "removeAttachment"];
            ("201", all(&operations, one))
        }
        "listParticipants" => {
            let first = json!({
                "event_id": "$request.path.event_id",
                "user_id": "$response.body#/items/0/user_id",
            });
            ("200", all(&["getParticipant", "removeParticipant"], first))
        }
        _ => return None,
    })
}
