//! The OpenAPI 3.1 document: what the handlers say of themselves, and what holds for all of them.

use serde_json::{Map, Value, json};

use super::{
    problem::{MEDIA_TYPE, ProblemType},
    problem_types as types, routes,
};
use crate::domain::{
    event::{CAPACITY_MAX, DESCRIPTION_MAX, LOCATION_MAX, TAG_MAX, TAGS_MAX, TITLE_MAX},
    page::{LIMIT_DEFAULT, LIMIT_MAX},
    participant::{COMMENT_MAX, INVITE_MAX},
    text::{EMAIL_MAX, EMAIL_PATTERN, LINE_PATTERN, OPTIONAL_LINE_PATTERN, PROSE_PATTERN},
    user::{NAME_MAX, PASSWORD_MAX, PASSWORD_MIN},
    when::{DATE_PATTERN, DATE_TIME_PATTERN, zone_names},
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

fn set(schemas: &mut Value, schema: &str, property: &str, limits: &Value) {
    let target = &mut schemas[schema]["properties"][property];
    if let (Some(target), Some(limits)) = (target.as_object_mut(), limits.as_object()) {
        target.extend(limits.clone());
    }
}

/// The rules that the code enforces, from the constants that it enforces them by.
fn constrain(schemas: &mut Value) {
    let line = |max: usize| json!({ "minLength": 1, "maxLength": max, "pattern": LINE_PATTERN });
    let zone = json!({ "type": "string", "enum": zone_names(), "example": "Europe/Berlin" });
    let local =
        json!({ "type": "string", "pattern": DATE_TIME_PATTERN, "example": "2026-12-01T18:00:00" });
    let date = json!({ "type": "string", "pattern": DATE_PATTERN, "example": "2026-12-01" });
    let zone_ref = json!({ "$ref": "#/components/schemas/TimeZone" });
    let nullable = |schema: &Value| json!({ "anyOf": [schema, { "type": "null" }] });

    let capacity = json!({ "minimum": 1, "maximum": CAPACITY_MAX });
    let tag =
        json!({ "type": "string", "minLength": 1, "maxLength": TAG_MAX, "pattern": LINE_PATTERN });
    let input = "EventInput";
    set(schemas, input, "title", &line(TITLE_MAX));
    set(
        schemas,
        input,
        "description",
        &json!({ "maxLength": DESCRIPTION_MAX, "pattern": PROSE_PATTERN }),
    );
    set(
        schemas,
        input,
        "location",
        &json!({ "maxLength": LOCATION_MAX, "pattern": OPTIONAL_LINE_PATTERN }),
    );
    set(schemas, input, "capacity", &capacity);
    set(
        schemas,
        input,
        "tags",
        &json!({ "maxItems": TAGS_MAX, "uniqueItems": true, "items": tag }),
    );
    let metadata = json!({ "additionalProperties": true, "description": "Up to 16 KiB as JSON." });
    set(schemas, input, "metadata", &metadata);
    set(schemas, "RegisterInput", "display_name", &line(NAME_MAX));
    set(
        schemas,
        "RegisterInput",
        "email",
        &json!({ "maxLength": EMAIL_MAX, "pattern": EMAIL_PATTERN }),
    );
    let password =
        json!({ "minLength": PASSWORD_MIN, "maxLength": PASSWORD_MAX, "pattern": PROSE_PATTERN });
    set(schemas, "RegisterInput", "password", &password);
    schemas["RegisterInput"]["properties"]["time_zone"] = nullable(&zone_ref);
    schemas["ProfilePatch"]["properties"]["time_zone"] = nullable(&zone_ref);
    schemas["ProfilePatch"]["properties"]["display_name"] = json!({
        "type": "string", "minLength": 1, "maxLength": NAME_MAX, "pattern": LINE_PATTERN, "description": "What others see.",
    });
    set(schemas, "ApiKeyInput", "name", &line(NAME_MAX));
    set(
        schemas,
        "AnswerInput",
        "comment",
        &json!({ "maxLength": COMMENT_MAX, "pattern": PROSE_PATTERN }),
    );

    schemas["TimeZone"] = zone;
    schemas["TimeZone"]["description"] = json!("IANA time zone name.");
    let when = json!({
        "description": "One end of an event: a civil time in a zone, or a date (of which the end's is the first day after it).",
        "oneOf": [
            { "type": "object", "title": "Civil time", "required": ["date_time", "time_zone"], "additionalProperties": false,
              "properties": { "date_time": local, "time_zone": zone_ref } },
            { "type": "object", "title": "All day", "required": ["date"], "additionalProperties": false,
              "properties": { "date": date } },
        ],
        "example": { "date_time": "2026-12-01T18:00:00", "time_zone": "Europe/Berlin" },
    });
    schemas["When"] = when;
    schemas["WhenPatch"] = json!({
        "description": "A change of one end of an event; what is left out stays.",
        "type": "object", "additionalProperties": false,
        "properties": { "date_time": nullable(&local), "time_zone": nullable(&zone_ref), "date": nullable(&date) },
    });

    let mut patch = schemas[input].clone();
    patch["description"] = json!("A JSON Merge Patch (RFC 7396) of what an organizer writes.");
    patch.as_object_mut().map(|patch| patch.remove("required"));
    for end in ["start", "end"] {
        patch["properties"][end] = json!({ "$ref": "#/components/schemas/WhenPatch" });
    }
    schemas["EventPatch"] = patch;

    let mut invitee = schemas["InviteeInput"].clone();
    invitee["properties"]["user_id"] =
        json!({ "type": "string", "format": "uuid", "description": "Their id." });
    invitee["properties"]["email"] = json!({ "type": "string", "maxLength": EMAIL_MAX, "pattern": EMAIL_PATTERN, "description": "Their address." });
    invitee["oneOf"] = json!([{ "required": ["user_id"] }, { "required": ["email"] }]);
    schemas["InviteeInput"] = invitee;
    let invitee_ref = json!({ "$ref": "#/components/schemas/InviteeInput" });
    schemas["InviteInput"] = json!({
        "description": "One person, or up to 500 at once.",
        "oneOf": [
            invitee_ref,
            { "type": "object", "title": "Several", "required": ["participants"], "additionalProperties": false,
              "properties": { "participants": { "type": "array", "minItems": 1, "maxItems": INVITE_MAX, "items": invitee_ref } } },
        ],
    });
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

/// An operation, as far as what holds for all of its kind follows from it.
struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    id: &'a str,
    has_body: bool,
}

impl Operation<'_> {
    fn is(&self, ids: &[&str]) -> bool {
        ids.contains(&self.id)
    }

    /// Needs no token.
    fn public(&self) -> bool {
        self.path.starts_with("/api/v1/auth/")
    }

    /// Reads one thing, which has validators.
    fn reads_one(&self) -> bool {
        self.is(&["getMe", "getEvent", "getParticipant"])
    }

    /// Reads a page.
    fn reads_page(&self) -> bool {
        self.method == "get" && !self.reads_one()
    }

    /// Answers with one thing that has validators.
    fn shows_one(&self) -> bool {
        let writes = [
            "createEvent",
            "replaceEvent",
            "changeEvent",
            "cancelEvent",
            "changeMe",
            "answer",
            "register",
        ];
        self.reads_one() || self.is(&writes)
    }

    /// Takes an `Idempotency-Key`.
    fn once(&self) -> bool {
        self.method == "post" && !self.public()
    }

    /// Takes `If-Match`.
    fn takes_if_match(&self) -> bool {
        let ids = [
            "replaceEvent",
            "changeEvent",
            "deleteEvent",
            "cancelEvent",
            "changeMe",
            "removeParticipant",
            "answer",
        ];
        self.is(&ids)
    }

    fn response_headers(&self, status: &str) -> Vec<&'static str> {
        let mut names = COMMON_HEADERS.to_vec();
        if self.shows_one() {
            names.extend(["etag", "last-modified"]);
        }
        if status == "201" {
            names.push("location");
        }
        if self.reads_page() {
            names.push("link");
        }
        if self.once() {
            names.push("idempotency-replayed");
        }
        names
    }

    fn parameters(&self) -> Value {
        let mut all = Vec::new();
        for name in self
            .path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
        {
            let id = json!({ "type": "string", "format": "uuid" });
            all.push(json!({ "name": name, "in": "path", "required": true, "schema": id }));
        }
        if self.id == "listEvents" {
            all.extend(filters());
        }
        if self.id == "listNotifications" {
            all.push(query(
                "unread",
                "Only those unread, or only those read.",
                &json!({ "type": "boolean" }),
            ));
        }
        if self.reads_page() {
            let limit = json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT });
            all.push(query("limit", "Items on the page.", &limit));
            let cursor = "Where the page begins: `next_cursor` of the page before.";
            all.push(query("cursor", cursor, &json!({ "type": "string" })));
        }
        if self.once() {
            let key = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[A-Za-z0-9_.-]+$" });
            let once = "Makes it safe to repeat the request: the first answer is kept for 24 hours and given again. \
                        A quoted string (RFC 9651) is accepted too.";
            all.push(header("Idempotency-Key", once, &key));
        }
        let tags =
            json!({ "type": "string", "pattern": r#"^(\*|"[!#-~]*")$"#, "example": "\"3\"" });
        if self.takes_if_match() {
            all.push(header(
                "If-Match",
                "Go ahead only if this is the present state.",
                &tags,
            ));
        }
        if self.reads_one() {
            all.push(header(
                "If-None-Match",
                "Answer 304 if this is the present state.",
                &tags,
            ));
        }
        Value::Array(all)
    }

    fn problems(&self) -> Vec<&'static ProblemType> {
        let mut all = vec![
            &types::MALFORMED_QUERY,
            &types::RATE_LIMITED,
            &types::INTERNAL_ERROR,
            &types::OVERLOADED,
            &types::DEADLINE_EXCEEDED,
            &types::DATABASE_UNAVAILABLE,
        ];
        if !self.public() {
            all.extend([&types::UNAUTHENTICATED, &types::INVALID_TOKEN]);
        }
        if self.reads_page() {
            all.extend([
                &types::INVALID_CURSOR,
                &types::CURSOR_EXPIRED,
                &types::VALIDATION_FAILED,
            ]);
        }
        if self.has_body {
            all.extend([
                &types::MALFORMED_JSON,
                &types::BODY_TOO_LARGE,
                &types::UNSUPPORTED_MEDIA_TYPE,
                &types::VALIDATION_FAILED,
            ]);
        }
        if self.once() {
            all.extend([
                &types::INVALID_HEADER,
                &types::IDEMPOTENCY_IN_PROGRESS,
                &types::IDEMPOTENCY_KEY_REUSED,
                &types::BODY_TOO_LARGE,
            ]);
        }
        if self.takes_if_match() || self.reads_one() {
            all.push(&types::INVALID_HEADER);
        }
        if self.takes_if_match() {
            all.push(&types::STALE_VERSION);
        }
        if !self.public() && self.method != "get" || self.path.contains("api-keys") {
            all.push(&types::INSUFFICIENT_SCOPE);
        }
        if self.path.contains('{') {
            all.push(&types::NOT_FOUND);
        }
        all.extend(match self.id {
            "register" => vec![&types::EMAIL_TAKEN],
            "login" => vec![&types::INVALID_CREDENTIALS],
            "refresh" => vec![&types::INVALID_TOKEN],
            "createApiKey" => vec![&types::TOO_MANY_API_KEYS],
            "replaceEvent" | "changeEvent" => vec![&types::FORBIDDEN, &types::CAPACITY_BELOW_SEATS],
            "deleteEvent" | "cancelEvent" | "removeParticipant" => vec![&types::FORBIDDEN],
            "inviteParticipants" => vec![
                &types::FORBIDDEN,
                &types::ALREADY_PARTICIPANT,
                &types::EVENT_CANCELLED,
            ],
            "answer" => vec![
                &types::FORBIDDEN,
                &types::CAPACITY_EXCEEDED,
                &types::EVENT_CANCELLED,
            ],
            _ => vec![],
        });
        all
    }
}

fn parameter(place: &str, name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": place, "required": false, "description": description, "schema": schema })
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    parameter("query", name, description, schema)
}

fn header(name: &str, description: &str, schema: &Value) -> Value {
    parameter("header", name, description, schema)
}

/// What the list of events can be asked.
fn filters() -> Vec<Value> {
    let instant = json!({ "type": "string", "format": "date-time", "pattern": "^[12][0-9]{3}-" });
    let tag =
        json!({ "type": "string", "minLength": 1, "maxLength": TAG_MAX, "pattern": PROSE_PATTERN });
    let text =
        json!({ "type": "string", "minLength": 1, "maxLength": 200, "pattern": PROSE_PATTERN });
    let found = "Full text: title, description, location and tags hold words that begin with each of these.";
    let orders = json!({ "type": "string", "enum": ["start", "-start", "created", "-created", "updated", "-updated"], "default": "start" });
    vec![
        query("from", "Ends after this instant.", &instant),
        query("to", "Starts before this instant.", &instant),
        query(
            "status",
            "Has this status.",
            &json!({ "$ref": "#/components/schemas/EventStatus" }),
        ),
        query(
            "organizer_id",
            "Is organised by this user.",
            &json!({ "type": "string", "format": "uuid" }),
        ),
        query(
            "participant",
            "The caller takes part.",
            &json!({ "type": "string", "enum": ["me"] }),
        ),
        query(
            "visibility",
            "Is seen by these.",
            &json!({ "$ref": "#/components/schemas/Visibility" }),
        ),
        query("tag", "Has this tag.", &tag),
        query("q", found, &text),
        query("sort", "In which order; `-` reverses.", &orders),
    ]
}

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
    operation["parameters"] = facts.parameters();
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        response["headers"] = Value::Object(header_refs(&facts.response_headers(status)));
    }
    if facts.reads_one() {
        operation["responses"]["304"] = json!({
            "description": "It is still in the state that If-None-Match names",
            "headers": header_refs(&facts.response_headers("304")),
        });
    }
    add_problems(operation, &facts.problems());
    if let Some(links) = links(&id) {
        operation["responses"]["201"]["links"] = links;
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

/// What can be done with what was just made.
fn links(id: &str) -> Option<Value> {
    let by_id = |operations: &[&str], parameter: &str| {
        let links = operations.iter().map(|operation| {
            let link = json!({ "operationId": operation, "parameters": { parameter: "$response.body#/id" } });
            ((*operation).to_owned(), link)
        });
        Value::Object(links.collect())
    };
    match id {
        "createEvent" => Some(by_id(
            &[
                "getEvent",
                "replaceEvent",
                "changeEvent",
                "cancelEvent",
                "inviteParticipants",
                "listParticipants",
                "getHistory",
                "deleteEvent",
            ],
            "event_id",
        )),
        "createApiKey" => Some(by_id(&["revokeApiKey"], "key_id")),
        _ => None,
    }
}
