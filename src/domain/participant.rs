//! People at an event.

use jiff::Timestamp;
use uuid::Uuid;

use super::{seats::Hold, text_enum};

text_enum! {
    /// What is expected of a participant (iCalendar `ROLE`, RFC 5545 §3.2.16).
    #[derive(Default)]
    ParticipantRole {
        /// Ought to come.
        #[default]
        Required = "required",
        /// May come.
        Optional = "optional",
        /// Leads.
        Chair = "chair",
    }
}

text_enum! {
    /// A participant's answer (iCalendar `PARTSTAT`, RFC 5545 §3.2.12).
    #[derive(Default)]
    ParticipantStatus {
        /// Has not answered.
        #[default]
        NeedsAction = "needs_action",
        /// Comes.
        Accepted = "accepted",
        /// Does not come.
        Declined = "declined",
        /// May come; takes no seat.
        Tentative = "tentative",
    }
}

/// Longest comment on an answer, in characters.
pub const COMMENT_MAX: usize = 1_000;
/// Most people invited by one request.
pub const INVITE_MAX: usize = 500;

/// What somebody says with an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Comment {
    /// Nothing: what they said before stays.
    #[default]
    Unchanged,
    /// This, or that they take back what they said.
    Now(Option<String>),
}

/// One person at one event.
#[derive(Clone, Debug)]
pub struct Participant {
    /// The event.
    pub event_id: Uuid,
    /// The person.
    pub user_id: Uuid,
    /// What is expected of them.
    pub role: ParticipantRole,
    /// What they answered.
    pub status: ParticipantStatus,
    /// What they hold.
    pub hold: Hold,
    /// What they said with the answer.
    pub comment: Option<String>,
    /// When they last answered.
    pub responded_at: Option<Timestamp>,
    /// Grows by one with each change.
    pub version: i64,
    /// When they were invited, or joined.
    pub created_at: Timestamp,
    /// When this last changed.
    pub updated_at: Timestamp,
}

impl Participant {
    /// The tag of this state. Somebody may be removed and invited again, so the version alone would repeat.
    pub fn tag(&self) -> String {
        format!("{}-{:x}", self.version, self.created_at.as_microsecond())
    }
}
