//! Events: what they hold and what is allowed of it.

use jiff::Timestamp;
use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use super::{fault::Faults, seats::Seats, text, text_enum, when::Period, words};

text_enum! {
    /// Who sees an event.
    #[derive(Default)]
    Visibility {
        /// Everybody with an account; anyone may join.
        Public = "public",
        /// Its organizer, its participants and admins.
        #[default]
        Private = "private",
    }
}

text_enum! {
    /// How far an event's plans are.
    #[derive(Default)]
    EventStatus {
        /// Being written.
        Draft = "draft",
        /// May take place.
        Tentative = "tentative",
        /// Takes place.
        #[default]
        Confirmed = "confirmed",
        /// Does not take place.
        Cancelled = "cancelled",
    }
}

/// Longest title, in characters.
pub const TITLE_MAX: usize = 200;
/// Longest description, in characters.
pub const DESCRIPTION_MAX: usize = 10_000;
/// Longest location, in characters.
pub const LOCATION_MAX: usize = 500;
/// Most seats that can be counted.
pub const CAPACITY_MAX: i64 = 1_000_000;
/// Most tags.
pub const TAGS_MAX: usize = 20;
/// Longest tag, in characters.
pub const TAG_MAX: usize = 50;
/// Largest metadata, in bytes of compact JSON.
pub const METADATA_MAX: usize = 16 * 1024;

/// Deepest metadata, in levels of arrays and objects: readers of JSON have limits, serde's 128.
pub const METADATA_DEPTH_MAX: usize = 32;

/// What an organizer writes.
#[derive(Clone, Debug, PartialEq)]
pub struct EventContent {
    /// 1 to [`TITLE_MAX`] characters.
    pub title: String,
    /// Up to [`DESCRIPTION_MAX`] characters.
    pub description: String,
    /// Up to [`LOCATION_MAX`] characters.
    pub location: String,
    /// When it is.
    pub period: Period,
    /// Number of seats; `None` without limit.
    pub capacity: Option<i64>,
    /// Whether people may wait for a seat.
    pub waitlist_enabled: bool,
    /// Who sees it.
    pub visibility: Visibility,
    /// How far the plans are.
    pub status: EventStatus,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Whatever the client wants to keep with it.
    pub metadata: Map<String, Value>,
}

impl EventContent {
    /// Notes every fault of the content.
    pub fn check(&self, faults: &mut Faults) {
        text::line(faults, "/title", &self.title, TITLE_MAX);
        text::prose(
            faults,
            "/description",
            &self.description,
            0,
            DESCRIPTION_MAX,
        );
        text::optional_line(faults, "/location", &self.location, LOCATION_MAX);
        if self
            .capacity
            .is_some_and(|capacity| !(1..=CAPACITY_MAX).contains(&capacity))
        {
            faults.add(
                "/capacity",
                "out_of_range",
                format!("1 to {CAPACITY_MAX}, or null for no limit"),
            );
        }
        if self.tags.len() > TAGS_MAX {
            faults.add("/tags", "too_many", format!("at most {TAGS_MAX} tags"));
        }
        for (i, tag) in self.tags.iter().enumerate() {
            text::line(faults, &format!("/tags/{i}"), tag, TAG_MAX);
            if self.tags[..i].contains(tag) {
                faults.add(&format!("/tags/{i}"), "duplicate", "each tag once");
            }
        }
        let metadata = Value::Object(self.metadata.clone());
        if metadata.to_string().len() > METADATA_MAX {
            faults.add(
                "/metadata",
                "too_large",
                format!("at most {METADATA_MAX} bytes of JSON"),
            );
        }
        if depth(&metadata) > METADATA_DEPTH_MAX {
            faults.add(
                "/metadata",
                "too_deep",
                format!("at most {METADATA_DEPTH_MAX} levels"),
            );
        }
        if has_nul(&metadata) {
            faults.add("/metadata", "invalid_characters", "no NUL character");
        }
    }

    /// The words by which the event is found, joined by spaces.
    pub fn search_words(&self) -> String {
        let texts = [self.title.as_str(), &self.description, &self.location];
        words::words(
            texts
                .into_iter()
                .chain(self.tags.iter().map(String::as_str)),
        )
        .join(" ")
    }

    /// What differs from `before`, by field: `{"title": {"from": …, "to": …}}`.
    pub fn changes_since(&self, before: &Self) -> Map<String, Value> {
        let (old, new) = (before.as_fields(), self.as_fields());
        new.into_iter()
            .zip(old)
            .filter(|((_, new), (_, old))| new != old)
            .map(|((name, to), (_, from))| (name.to_owned(), json!({ "from": from, "to": to })))
            .collect()
    }

    fn as_fields(&self) -> [(&'static str, Value); 11] {
        [
            ("title", json!(self.title)),
            ("description", json!(self.description)),
            ("location", json!(self.location)),
            ("start", when_json(&self.period.start)),
            ("end", when_json(&self.period.end)),
            ("capacity", json!(self.capacity)),
            ("waitlist_enabled", json!(self.waitlist_enabled)),
            ("visibility", json!(self.visibility)),
            ("status", json!(self.status)),
            ("tags", json!(self.tags)),
            ("metadata", Value::Object(self.metadata.clone())),
        ]
    }
}

/// One end of an event as the API shows it.
pub fn when_json(when: &super::when::When) -> Value {
    match when.zone_name() {
        Some(zone) => json!({ "date_time": when.local_text(), "time_zone": zone }),
        None => json!({ "date": when.local_text() }),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(object) => object
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// A state of an event: what is shown of it is the same whenever its mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventMark {
    /// Which event.
    pub id: Uuid,
    /// Grows by one with each change of what is shown.
    pub version: i64,
    /// When that was: a database that was restored counts on from an older version.
    pub updated_at: Timestamp,
}

/// An event as it is shown, in the form in which it is stored.
#[derive(Clone, Debug)]
pub struct EventView {
    /// UUIDv7.
    pub id: Uuid,
    /// iCalendar `UID`.
    pub uid: String,
    /// Who made it.
    pub organizer_id: Uuid,
    /// What it is called.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Where it is.
    pub location: String,
    /// The civil time or date of its start; see [`super::when::When::local_text`].
    pub start_local: String,
    /// The zone of its start; none for a date.
    pub start_zone: Option<String>,
    /// The civil time or date of its end.
    pub end_local: String,
    /// The zone of its end; none for a date.
    pub end_zone: Option<String>,
    /// The instant of its start.
    pub start_utc: Timestamp,
    /// The instant of its end.
    pub end_utc: Timestamp,
    /// Number of seats; `None` without limit.
    pub capacity: Option<i64>,
    /// Seats held.
    pub seats_taken: i64,
    /// Whether people may wait for a seat.
    pub waitlist_enabled: bool,
    /// Who sees it.
    pub visibility: Visibility,
    /// How far the plans are.
    pub status: EventStatus,
    /// An array of words, as JSON.
    pub tags: Box<RawValue>,
    /// An object, as JSON.
    pub metadata: Box<RawValue>,
    /// Grows by one with each change of what is shown.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When what is shown last changed.
    pub updated_at: Timestamp,
}

impl EventView {
    /// The tag of this state.
    pub fn tag(&self) -> String {
        self.version.to_string()
    }

    /// Which state this is.
    pub const fn mark(&self) -> EventMark {
        EventMark {
            id: self.id,
            version: self.version,
            updated_at: self.updated_at,
        }
    }
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct Event {
    /// UUIDv7.
    pub id: Uuid,
    /// iCalendar `UID` (RFC 5545 §3.8.4.7); never changes.
    pub uid: String,
    /// Who made it.
    pub organizer_id: Uuid,
    /// What the organizer wrote.
    pub content: EventContent,
    /// Seats held.
    pub seats_taken: i64,
    /// See [`Seats::next_place`].
    pub next_place: i64,
    /// Grows by one with each change of what is shown.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When what is shown last changed.
    pub updated_at: Timestamp,
}

impl Event {
    /// The tag of this state.
    pub fn tag(&self) -> String {
        self.version.to_string()
    }

    /// Its seats.
    pub fn seats(&self) -> Seats {
        Seats {
            capacity: self.content.capacity,
            taken: self.seats_taken,
            waitlist_enabled: self.content.waitlist_enabled,
            next_place: self.next_place,
        }
    }
}
