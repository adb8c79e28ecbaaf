//! Who acts: the caller as the rules see it.

use uuid::Uuid;

use super::user::Role;

/// An authenticated caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The user who acts, or on whose behalf a key acts.
    pub user_id: Uuid,
    /// What that user may do beyond their own events.
    pub role: Role,
}

impl Actor {
    /// Whether the caller may read and write everything.
    pub fn is_admin(self) -> bool {
        self.role == Role::Admin
    }
}
