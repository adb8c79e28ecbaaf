//! The change log's entries.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::text_enum;

text_enum! {
    /// What happened.
    ChangeKind {
        /// An event was made.
        EventCreated = "event.created",
        /// Its content changed.
        EventUpdated = "event.updated",
        /// It was called off.
        EventCancelled = "event.cancelled",
        /// It was deleted.
        EventDeleted = "event.deleted",
        /// A file was added.
        AttachmentAdded = "attachment.added",
        /// A file was removed.
        AttachmentRemoved = "attachment.removed",
        /// Somebody was invited.
        ParticipantInvited = "participant.invited",
        /// Somebody was removed, or left.
        ParticipantRemoved = "participant.removed",
        /// Somebody answered.
        ParticipantStatusChanged = "participant.status_changed",
        /// Somebody got or lost a seat or a place in the queue.
        ParticipantAdmissionChanged = "participant.admission_changed",
        /// Something that only a newer version knows: it has written the entry, and this one reads on.
        Other = "other",
    }
}

/// Where an entry stands in the log. On PostgreSQL the transaction's number comes first, because a sequence alone is not
/// in commit order; on SQLite, which has one writer, it is that of the last entry that was copied from elsewhere, else 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The writing transaction.
    pub transaction: i64,
    /// The entry's number.
    pub sequence: i64,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Change {
    /// UUIDv7.
    pub id: Uuid,
    /// Where it stands.
    pub position: Position,
    /// What happened.
    pub kind: ChangeKind,
    /// To which event.
    pub event_id: Uuid,
    /// To which participant, if it is about one.
    pub user_id: Option<Uuid>,
    /// The event's version after it, or the participant's if it is about one.
    pub version: i64,
    /// Who did it; nobody when it follows from another change.
    pub actor_id: Option<Uuid>,
    /// What changed.
    pub data: Value,
    /// When.
    pub created_at: Timestamp,
}

/// Over what a recipient is told.
pub const INBOX: &str = "inbox";
/// Every channel there is.
pub const CHANNELS: &[&str] = &[INBOX];

/// Who is told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Nobody.
    Nobody,
    /// This person.
    Person(Uuid),
    /// Every participant but the one who acted.
    Participants,
}
