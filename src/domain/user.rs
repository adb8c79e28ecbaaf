//! People with an account.

use jiff::Timestamp;
use uuid::Uuid;

use super::{fault::Faults, text, text_enum, when};

text_enum! {
    /// What a user may do.
    #[derive(Default)]
    Role {
        /// Owns their events, joins others'.
        #[default]
        User = "user",
        /// Reads and writes everything.
        Admin = "admin",
    }
}

text_enum! {
    /// What an API key may do.
    Scope {
        /// Safe methods only.
        Read = "read",
        /// Everything its user may do, but manage keys.
        Write = "write",
    }
}

/// Shortest password, in characters (NIST SP 800-63B §5.1.1.2).
pub const PASSWORD_MIN: usize = 8;
/// Longest password, in characters: hashing work is bounded.
pub const PASSWORD_MAX: usize = 256;
/// Longest name of a person or key, in characters.
pub const NAME_MAX: usize = 100;

/// A person's account, without the password.
#[derive(Clone, Debug)]
pub struct User {
    /// UUIDv7.
    pub id: Uuid,
    /// As given at registration; unique without regard to case.
    pub email: String,
    /// What others see.
    pub display_name: String,
    /// IANA name.
    pub time_zone: String,
    /// What the user may do.
    pub role: Role,
    /// Set when the account was disabled.
    pub disabled_at: Option<Timestamp>,
    /// Whether there is a picture.
    pub has_avatar: bool,
    /// Grows by one with each change.
    pub version: i64,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A machine's credential, without its secret.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// UUIDv7.
    pub id: Uuid,
    /// What its user calls it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// The key's first characters, to recognise it by.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// Checks what a person says of themselves.
pub fn check_profile(faults: &mut Faults, display_name: &str, time_zone: &str) {
    text::line(faults, "/display_name", display_name, NAME_MAX);
    if when::zone(time_zone).is_none() {
        faults.add(
            "/time_zone",
            "unknown_time_zone",
            "an IANA time zone name such as Europe/Berlin",
        );
    }
}
