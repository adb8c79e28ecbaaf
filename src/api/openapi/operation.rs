//! What holds for an operation because of its path, its method and its body: parameters, headers, problems.

use serde_json::{Value, json};

use super::COMMON_HEADERS;
use crate::{
    api::{problem::ProblemType, problem_types as types},
    domain::{
        event::TAG_MAX,
        page::{LIMIT_DEFAULT, LIMIT_MAX},
        text::PROSE_PATTERN,
    },
};

/// An operation, as far as what holds for all of its kind follows from it.
pub(super) struct Operation<'a> {
    pub(super) path: &'a str,
    pub(super) method: &'a str,
    pub(super) id: &'a str,
    pub(super) has_body: bool,
}

impl Operation<'_> {
    pub(super) fn is(&self, ids: &[&str]) -> bool {
        ids.contains(&self.id)
    }

    /// Needs no token.
    pub(super) fn public(&self) -> bool {
        self.path.starts_with("/api/v1/auth/")
    }

    /// Reads one thing, which has validators.
    pub(super) fn reads_one(&self) -> bool {
        self.is(&["getMe", "getEvent", "getParticipant", "getAttachment"]) || self.gives_a_file()
    }

    /// Answers with the bytes of a file.
    pub(super) fn gives_a_file(&self) -> bool {
        self.is(&["downloadAttachment", "getMyAvatar", "getAvatar"])
    }

    /// Takes the bytes of a file.
    pub(super) fn takes_a_file(&self) -> bool {
        self.is(&["addAttachment", "setAvatar"])
    }

    /// Reads a page.
    pub(super) fn reads_page(&self) -> bool {
        self.method == "get" && !self.reads_one()
    }

    /// Answers with one thing that has validators.
    pub(super) fn shows_one(&self) -> bool {
        let writes = [
            "createEvent",
            "replaceEvent",
            "changeEvent",
            "cancelEvent",
            "changeMe",
            "answer",
            "register",
            "addAttachment",
            "setAvatar",
        ];
        self.reads_one() || self.is(&writes)
    }

    /// Takes an `Idempotency-Key`.
    pub(super) fn once(&self) -> bool {
        self.method == "post" && !self.public() && !self.takes_a_file()
    }

    /// Takes `If-Match`.
    pub(super) fn takes_if_match(&self) -> bool {
        let ids = [
            "replaceEvent",
            "changeEvent",
            "deleteEvent",
            "cancelEvent",
            "changeMe",
            "removeParticipant",
            "answer",
            "removeAttachment",
            "setAvatar",
            "removeAvatar",
        ];
        self.is(&ids)
    }

    pub(super) fn response_headers(&self, status: &str) -> Vec<&'static str> {
        let mut names = COMMON_HEADERS.to_vec();
        if self.shows_one() {
            names.extend(["etag", "last-modified"]);
        }
        if status == "201" {
            names.push("location");
        }
        if self.gives_a_file() && matches!(status, "200" | "206") {
            names.extend(["accept-ranges", "content-disposition", "repr-digest"]);
        }
        if status == "206" {
            names.push("content-range");
        }
        if status == "307" {
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

    pub(super) fn parameters(&self) -> Value {
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
            all.push(query(
                "cursor",
                cursor,
                &json!({ "type": "string", "minLength": 1 }),
            ));
        }
        if self.once() {
            // A bare token, or a quoted string: what `layers::idempotency` reads.
            let pattern = r#"^([!#-+\--:<-\[\]-~]{1,255}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#;
            let key = json!({ "type": "string", "pattern": pattern });
            let once = "Makes it safe to repeat the request: the first answer is kept for 24 hours and given again.";
            all.push(header("Idempotency-Key", once, &key));
        }
        let tags =
            json!({ "type": "string", "pattern": r#"^("[!#-~]{1,64}")?$"#, "example": "\"3\"" });
        if self.takes_if_match() {
            all.push(header(
                "If-Match",
                "Go ahead only if this is the present state: an ETag, a list of them, or `*`.",
                &tags,
            ));
        }
        if self.reads_one() {
            all.push(header(
                "If-None-Match",
                "Answer 304 if this is the present state: an ETag, a list of them, or `*`.",
                &tags,
            ));
        }
        if self.gives_a_file() {
            let range = json!({ "type": "string", "example": "bytes=0-1023" });
            all.push(header(
                "Range",
                "One range of bytes; of several, or none that is understood, the whole is sent.",
                &range,
            ));
            let state = "The range only if this is the present state, an ETag or Last-Modified; else the whole.";
            all.push(header("If-Range", state, &json!({ "type": "string" })));
        }
        if self.takes_a_file() {
            let digest =
                json!({ "type": "string", "pattern": "^(sha-256=:[A-Za-z0-9+/]{43}=:)?$" });
            let what =
                "The file's SHA-256 (RFC 9530); a file that arrives with another is refused.";
            all.push(header("Repr-Digest", what, &digest));
        }
        if self.id == "addAttachment" {
            let name = "The file's name (RFC 6266): `attachment; filename*=UTF-8''…`. In a form the part has its own.";
            all.push(header(
                "Content-Disposition",
                name,
                &json!({ "type": "string" }),
            ));
        }
        Value::Array(all)
    }

    pub(super) fn problems(&self) -> Vec<&'static ProblemType> {
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
        if self.gives_a_file() {
            all.extend([&types::RANGE_NOT_SATISFIABLE, &types::STORAGE_UNAVAILABLE]);
        }
        if self.takes_a_file() {
            all.extend([
                &types::MALFORMED_MULTIPART,
                &types::INVALID_HEADER,
                &types::BODY_TIMEOUT,
                &types::BODY_TOO_LARGE,
                &types::UNSUPPORTED_MEDIA_TYPE,
                &types::ACTIVE_CONTENT,
                &types::MEDIA_TYPE_MISMATCH,
                &types::DIGEST_MISMATCH,
                &types::STORAGE_UNAVAILABLE,
            ]);
        } else if self.has_body {
            all.extend([
                &types::MALFORMED_JSON,
                &types::BODY_TIMEOUT,
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
                &types::MALFORMED_JSON,
                &types::BODY_TIMEOUT,
                &types::BODY_TOO_LARGE,
                &types::VALIDATION_FAILED,
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
        if self.path.contains('{') || self.is(&["getMyAvatar", "removeAvatar"]) {
            all.push(&types::NOT_FOUND);
        }
        all.extend(match self.id {
            "register" => vec![&types::EMAIL_TAKEN],
            "login" => vec![&types::INVALID_CREDENTIALS],
            "refresh" => vec![&types::INVALID_TOKEN],
            "createApiKey" => vec![&types::TOO_MANY_API_KEYS],
            "replaceEvent" | "changeEvent" => vec![&types::FORBIDDEN, &types::CAPACITY_BELOW_SEATS],
            "deleteEvent" | "cancelEvent" | "removeParticipant" | "removeAttachment" => {
                vec![&types::FORBIDDEN]
            }
            "addAttachment" => vec![
                &types::FORBIDDEN,
                &types::TOO_MANY_ATTACHMENTS,
                &types::QUOTA_EXCEEDED,
            ],
            "setAvatar" => vec![&types::VALIDATION_FAILED],
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
    let order = "In which order; `-` reverses. By `start` or `created`, rows written while paging shift nothing. By `updated` the \
                 list follows the changes: ascending, an event changed meanwhile comes again in its new state, so that \
                 nothing is missed; descending, it moves to the front.";
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
        query("sort", order, &orders),
    ]
}
