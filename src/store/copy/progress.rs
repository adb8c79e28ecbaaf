//! How far a copy has come, kept in the target until it was verified. While it is there the service does not start on it.

use std::collections::BTreeMap;

use super::{CopyError, cell::Cell, order::Renumber, side::Side};
use crate::store::error::Error;

/// The state of a copy.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Progress {
    /// The identity of the source.
    pub(super) source: String,
    /// The tables that were begun.
    pub(super) tables: BTreeMap<String, TableProgress>,
}

/// The state of a table.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct TableProgress {
    /// Rows written.
    pub(super) rows: u64,
    /// The key of the last of them, in the source.
    pub(super) after: Option<Vec<Cell>>,
    /// Nothing follows.
    pub(super) done: bool,
    /// Where the numbering of the change log stands.
    #[serde(default)]
    pub(super) renumber: Renumber,
}

impl Progress {
    pub(super) fn to_text(&self) -> Result<String, CopyError> {
        serde_json::to_string(self).map_err(|failure| {
            CopyError::Refused(format!("the progress cannot be noted: {failure}"))
        })
    }
}

const READ: &str = "SELECT value FROM meta WHERE name = 'copy'";
const FORGET: &str = "DELETE FROM meta WHERE name = 'copy'";

impl Side {
    /// The copy that was begun into this database and not finished.
    pub(super) async fn unfinished(&mut self) -> Result<Option<Progress>, CopyError> {
        match self.text(READ).await? {
            None => Ok(None),
            Some(text) => serde_json::from_str(&text).map(Some).map_err(|failure| {
                CopyError::Refused(format!("the progress of a copy cannot be read: {failure}"))
            }),
        }
    }

    /// Notes that a copy begins. What `meta` says of the empty database goes: the source's rows take its place.
    pub(super) async fn start(&mut self, progress: &Progress) -> Result<(), CopyError> {
        self.run("DELETE FROM meta").await?;
        self.note(progress).await
    }

    /// The copy is whole: the service may start on it. On SQLite all of it is on the disk by then.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        match self {
            // The planner would know nothing of the new rows until autovacuum came by.
            Self::Postgres(_) => self.run("ANALYZE").await?,
            Self::Sqlite(_) => self.run("PRAGMA synchronous = full").await?,
        }
        self.run(FORGET).await?;
        match self {
            Self::Postgres(_) => Ok(()),
            Self::Sqlite(_) => self.run("PRAGMA wal_checkpoint(truncate)").await,
        }
    }
}
