//! The rules that the code enforces on values, from the constants that it enforces them by.

use serde_json::{Value, json};

use crate::domain::{
    change::ChangeKind,
    event::{
        CAPACITY_MAX, DESCRIPTION_MAX, EventStatus, LOCATION_MAX, TAG_MAX, TAGS_MAX, TITLE_MAX,
        Visibility,
    },
    participant::{COMMENT_MAX, INVITE_MAX, ParticipantRole, ParticipantStatus},
    seats::Admission,
    text::{EMAIL_MAX, EMAIL_PATTERN, LINE_PATTERN, OPTIONAL_LINE_PATTERN, PROSE_PATTERN},
    user::{NAME_MAX, PASSWORD_MAX, PASSWORD_MIN, Role, Scope},
    when::{DATE_PATTERN, DATE_TIME_PATTERN, zone_names},
};

fn set(schemas: &mut Value, schema: &str, property: &str, limits: &Value) {
    let target = &mut schemas[schema]["properties"][property];
    if let (Some(target), Some(limits)) = (target.as_object_mut(), limits.as_object()) {
        target.extend(limits.clone());
    }
}

/// Adds the rules to the schemas.
pub(super) fn constrain(schemas: &mut Value) {
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

    enums(schemas);
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

/// The values of enums as they are written.
fn enums(schemas: &mut Value) {
    macro_rules! values {
        ($($name:ident),+ $(,)?) => {
            $(schemas[stringify!($name)]["enum"] = $name::ALL.iter().map(|one| one.as_str()).collect();)+
        };
    }
    values!(
        Admission,
        ChangeKind,
        EventStatus,
        ParticipantRole,
        ParticipantStatus,
        Role,
        Scope,
        Visibility
    );
}
