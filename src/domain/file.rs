//! Files: attachments of events, and pictures of users. Their bytes lie in the store of files, under a key.

use jiff::Timestamp;
use uuid::Uuid;

/// The folder of attachments in the store.
pub const ATTACHMENTS: &str = "attachments";
/// The folder of users' pictures in the store.
pub const AVATARS: &str = "avatars";

/// A new key in one of the folders, with 256 folders below it. Nothing of it comes from a client.
pub fn storage_key(folder: &str, id: Uuid) -> String {
    let last = id.as_bytes()[15];
    format!("{folder}/{last:02x}/{id}")
}

/// What the database knows of a file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Where they are in the store.
    pub storage_key: String,
    /// What they are, without parameters.
    pub media_type: String,
    /// How many.
    pub size: i64,
    /// Their SHA-256.
    pub sha256: Vec<u8>,
}

/// A file of an event. It never changes: another file is another attachment.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// UUIDv7.
    pub id: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// Who brought it.
    pub uploaded_by: Uuid,
    /// What they call it.
    pub name: String,
    /// Its bytes.
    pub blob: Blob,
    /// When.
    pub created_at: Timestamp,
}

/// A picture of a user.
#[derive(Clone, Debug)]
pub struct Avatar {
    /// Its bytes.
    pub blob: Blob,
    /// When it was set.
    pub updated_at: Timestamp,
}

/// What the files of an event, and those of a user, may come to.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Files of the event.
    pub event_files: i64,
    /// Bytes of the event.
    pub event_bytes: i64,
    /// Bytes of the user.
    pub user_bytes: i64,
}

/// A file as backups and moves see it: its key, and what its bytes must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Where it is in the store.
    pub storage_key: String,
    /// Its size in bytes.
    pub size: i64,
    /// The SHA-256 of its bytes.
    pub sha256: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_over_folders() {
        let id = Uuid::parse_str("0193a0c4-5b7e-7cc0-9a57-3f1f6b6f6e0a").unwrap();
        assert_eq!(storage_key(AVATARS, id), format!("avatars/0a/{id}"));
    }
}
