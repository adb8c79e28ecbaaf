//! What a backup says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format that this program writes and the only one it reads.
pub(super) const FORMAT: u32 = 1;

/// The last member of a backup's content: what must be in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the file.
    pub format: u32,
    /// The version of the program that made it.
    pub convoke: String,
    /// `sqlite` or `postgresql`.
    pub engine: String,
    /// The number of the last migration.
    pub schema: i64,
    /// When the snapshot was begun: what was acknowledged before is in it.
    pub taken_at: jiff::Timestamp,
    /// The database before compression.
    pub database: Content,
    /// Rows of each table, counted in the snapshot.
    pub tables: BTreeMap<String, u64>,
    /// The uploaded files that the snapshot names.
    pub files: Files,
}

/// A content and its checksum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// The uploaded files, all together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// How many.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// SHA-256 of one line for each, in order: its SHA-256, two spaces, its key.
    pub sha256: String,
    /// How many the database names that the storage lacks, or has otherwise than they were uploaded.
    pub faulty: u64,
    /// The keys of the first of those.
    pub faults: Vec<String>,
}

/// How many faulty files are named.
const NAMED: usize = 100;

impl Files {
    pub(super) fn fault(&mut self, key: &str) {
        self.faulty += 1;
        if self.faults.len() < NAMED {
            self.faults.push(key.to_owned());
        }
    }
}

impl Manifest {
    /// All rows.
    pub fn rows(&self) -> u64 {
        self.tables.values().sum()
    }
}
