//! Events as JSON, in and out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    extract::{fit_json, object, present, refuse_unknown},
    reply::Reply,
};
use crate::domain::{
    event::{Event, EventContent, EventStatus, EventView, Visibility},
    fault::{Fault, Faults},
    patch::merge,
    when::{Period, When, parse_date, parse_date_time, zone},
};

/// One end of an event: a civil time in a zone, or a date.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = When)]
pub(crate) struct WhenBody {
    /// What the clock on the wall shows.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    date_time: Option<String>,
    /// Where the wall is: an IANA zone name.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    time_zone: Option<String>,
    /// A whole day.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    date: Option<String>,
}

impl WhenBody {
    /// From what `When::local_text` and `When::zone_name` wrote.
    fn kept(local: String, zone: Option<String>) -> Self {
        match zone {
            Some(zone) => Self {
                date_time: Some(local),
                time_zone: Some(zone),
                date: None,
            },
            None => Self {
                date: Some(local),
                ..Self::default()
            },
        }
    }

    fn of(when: &When) -> Self {
        match when {
            When::Zoned { zone, .. } => Self {
                date_time: Some(when.local_text()),
                time_zone: Some(zone.clone()),
                date: None,
            },
            When::Day(_) => Self {
                date: Some(when.local_text()),
                ..Self::default()
            },
        }
    }

    fn read(self, faults: &mut Faults, at: &str) -> Option<When> {
        match self {
            Self {
                date_time: Some(local),
                time_zone: Some(name),
                date: None,
            } => {
                let parsed = parse_date_time(&local);
                if parsed.is_none() {
                    faults.add(
                        &format!("{at}/date_time"),
                        "invalid_date_time",
                        "like 2026-12-01T18:00:00, without an offset",
                    );
                }
                if zone(&name).is_none() {
                    faults.add(
                        &format!("{at}/time_zone"),
                        "unknown_time_zone",
                        "an IANA time zone name such as Europe/Berlin",
                    );
                    return None;
                }
                Some(When::Zoned {
                    local: parsed?,
                    zone: name,
                })
            }
            Self {
                date_time: None,
                time_zone: None,
                date: Some(date),
            } => {
                let parsed = parse_date(&date);
                if parsed.is_none() {
                    faults.add(&format!("{at}/date"), "invalid_date", "like 2026-12-01");
                }
                parsed.map(When::Day)
            }
            _ => {
                faults.add(
                    at,
                    "invalid_time",
                    "either date_time and time_zone, or date",
                );
                None
            }
        }
    }
}

/// What an organizer writes of an event.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventInput {
    /// What it is called.
    #[schema(example = "Harvest supper")]
    title: String,
    /// What it is about.
    #[serde(default)]
    description: Option<String>,
    /// Where it is.
    #[serde(default)]
    location: Option<String>,
    /// The first moment.
    #[serde(deserialize_with = "object")]
    start: WhenBody,
    /// The first moment after it; of the same kind as the start, and later.
    #[serde(deserialize_with = "object")]
    end: WhenBody,
    /// Number of seats; null for no limit.
    #[serde(default)]
    capacity: Option<i64>,
    /// Whether people may wait for a seat; true unless said otherwise.
    #[serde(default)]
    waitlist_enabled: Option<bool>,
    /// Who sees it; private unless said otherwise.
    #[serde(default)]
    visibility: Option<Visibility>,
    /// How far the plans are; confirmed unless said otherwise.
    #[serde(default)]
    status: Option<EventStatus>,
    /// Words to find it by.
    #[serde(default)]
    tags: Option<Vec<String>>,
    /// Whatever the client wants to keep with it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

impl EventInput {
    /// The content, if nothing is wrong with it.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(super) fn read(self) -> Result<EventContent, Vec<Fault>> {
        let mut faults = Faults::default();
        let start = self.start.read(&mut faults, "/start");
        let end = self.end.read(&mut faults, "/end");
        let period = start
            .zip(end)
            .and_then(|(start, end)| Period::new(&mut faults, start, end));
        // Checked even when the times are wrong, so that every fault is named at once.
        let epoch = jiff::Timestamp::UNIX_EPOCH;
        let day = When::Day(jiff::civil::Date::ZERO);
        let period = period.unwrap_or(Period {
            start: day.clone(),
            end: day,
            start_utc: epoch,
            end_utc: epoch,
        });
        let content = EventContent {
            title: self.title,
            description: self.description.unwrap_or_default(),
            location: self.location.unwrap_or_default(),
            period,
            capacity: self.capacity,
            waitlist_enabled: self.waitlist_enabled.unwrap_or(true),
            visibility: self.visibility.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
        };
        content.check(&mut faults);
        faults.or(content)
    }

    fn of(content: &EventContent) -> Self {
        Self {
            title: content.title.clone(),
            description: Some(content.description.clone()),
            location: Some(content.location.clone()),
            start: WhenBody::of(&content.period.start),
            end: WhenBody::of(&content.period.end),
            capacity: content.capacity,
            waitlist_enabled: Some(content.waitlist_enabled),
            visibility: Some(content.visibility),
            status: Some(content.status),
            tags: Some(content.tags.clone()),
            metadata: Some(content.metadata.clone()),
        }
    }
}

/// The content that a merge patch makes of what is stored.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn patched(content: &EventContent, patch: &Value) -> Result<EventContent, Vec<Fault>> {
    if !patch.is_object() {
        let mut faults = Faults::default();
        faults.add("", "invalid_type", "an object");
        return Err(faults.into_vec());
    }
    let mut value = serde_json::to_value(EventInput::of(content)).unwrap_or_default();
    // A change of kind, from a time to a date or back, would leave the other kind's fields behind.
    for end in ["start", "end"] {
        let kinds = |v: &Value| {
            (
                v.get("date").is_some_and(|d| !d.is_null()),
                v.get("date_time").is_some_and(|d| !d.is_null()),
            )
        };
        match patch.get(end).map(kinds) {
            Some((true, false)) => drop(
                value[end]
                    .as_object_mut()
                    .map(|o| o.retain(|name, _| name == "date")),
            ),
            Some((false, true)) => drop(value[end].as_object_mut().map(|o| o.remove("date"))),
            _ => {}
        }
    }
    let ends = serde_json::json!({ "date_time": 1, "time_zone": 1, "date": 1 });
    let mut faults = Faults::default();
    refuse_unknown(&mut faults, "", &value, patch);
    for end in ["start", "end"] {
        refuse_unknown(&mut faults, &format!("/{end}"), &ends, &patch[end]);
    }
    faults.or(())?;
    merge(&mut value, patch);
    fit_json::<EventInput>(value)?.read()
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventBody {
    /// UUIDv7.
    id: Uuid,
    /// iCalendar `UID`; never changes.
    uid: String,
    /// The user who made it.
    organizer_id: Uuid,
    /// What it is called.
    #[schema(example = "Harvest supper")]
    title: String,
    /// What it is about.
    description: String,
    /// Where it is.
    location: String,
    /// The first moment.
    start: WhenBody,
    /// The first moment after it.
    end: WhenBody,
    /// The start as an instant, by the zone's present rules; midnight UTC for a date.
    #[schema(value_type = String, format = DateTime)]
    start_utc: jiff::Timestamp,
    /// The end as an instant.
    #[schema(value_type = String, format = DateTime)]
    end_utc: jiff::Timestamp,
    /// Number of seats; null for no limit.
    #[schema(required = true)]
    capacity: Option<i64>,
    /// Number of seats taken.
    #[schema(minimum = 0)]
    seats_taken: i64,
    /// Whether people may wait for a seat.
    waitlist_enabled: bool,
    /// Who sees it.
    visibility: Visibility,
    /// How far the plans are.
    status: EventStatus,
    /// Words to find it by.
    #[schema(value_type = Vec<String>)]
    tags: Written<Vec<String>>,
    /// Whatever the client keeps with it.
    #[schema(value_type = Object)]
    metadata: Written<Map<String, Value>>,
    /// Grows by one with each change of what is shown here.
    #[schema(minimum = 1)]
    version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
    /// When what is shown here last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: jiff::Timestamp,
}

/// A value, or the JSON that it was kept as.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Written<T> {
    Value(T),
    Kept(Box<RawValue>),
}

impl From<EventView> for EventBody {
    fn from(event: EventView) -> Self {
        Self {
            id: event.id,
            uid: event.uid,
            organizer_id: event.organizer_id,
            title: event.title,
            description: event.description,
            location: event.location,
            start: WhenBody::kept(event.start_local, event.start_zone),
            end: WhenBody::kept(event.end_local, event.end_zone),
            start_utc: event.start_utc,
            end_utc: event.end_utc,
            capacity: event.capacity,
            seats_taken: event.seats_taken,
            waitlist_enabled: event.waitlist_enabled,
            visibility: event.visibility,
            status: event.status,
            tags: Written::Kept(event.tags),
            metadata: Written::Kept(event.metadata),
            version: event.version,
            created_at: event.created_at,
            updated_at: event.updated_at,
        }
    }
}

impl From<&Event> for EventBody {
    fn from(event: &Event) -> Self {
        let content = &event.content;
        Self {
            id: event.id,
            uid: event.uid.clone(),
            organizer_id: event.organizer_id,
            title: content.title.clone(),
            description: content.description.clone(),
            location: content.location.clone(),
            start: WhenBody::of(&content.period.start),
            end: WhenBody::of(&content.period.end),
            start_utc: content.period.start_utc,
            end_utc: content.period.end_utc,
            capacity: content.capacity,
            seats_taken: event.seats_taken,
            waitlist_enabled: content.waitlist_enabled,
            visibility: content.visibility,
            status: content.status,
            tags: Written::Value(content.tags.clone()),
            metadata: Written::Value(content.metadata.clone()),
            version: event.version,
            created_at: event.created_at,
            updated_at: event.updated_at,
        }
    }
}

/// The event as an answer, with its validators.
pub(super) fn reply(status: http::StatusCode, event: &Event) -> Reply {
    Reply::json(status, &EventBody::from(event)).with_state(&event.tag(), event.updated_at)
}
