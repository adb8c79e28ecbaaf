//! What is known of backups, whichever process made them.

use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Sql, reading, statement, transaction},
    error::Error,
};

/// A backup that was made, or was tried.
#[derive(Clone, Debug)]
pub struct BackupRun {
    /// Its own id.
    pub id: Uuid,
    /// Made by the service's schedule rather than by a command.
    pub scheduled: bool,
    /// When it was begun: everything acknowledged before is in it.
    pub started_at: jiff::Timestamp,
    /// When it ended.
    pub finished_at: jiff::Timestamp,
    /// Where it is, or was to be; without credentials.
    pub location: String,
    /// What was made, or why it failed, in one line.
    pub result: Result<BackupFile, String>,
}

/// The file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of the whole file, in hexadecimal digits.
    pub checksum: String,
}

/// What gauges and alerts are told of backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupState {
    /// When the last good one was begun.
    pub last_started: Option<jiff::Timestamp>,
    /// When it was finished.
    pub last_finished: Option<jiff::Timestamp>,
    /// Its size in bytes.
    pub size: u64,
    /// How many failed, ever.
    pub failures: u64,
    /// When a backup was last restored for a trial and found whole.
    pub last_verified: Option<jiff::Timestamp>,
    /// How many were found damaged when they were restored for a trial.
    pub verification_failures: u64,
}

#[derive(FromRow)]
struct StateRow {
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    size_bytes: Option<i64>,
    failures: i64,
    verified_at: Option<Timestamp>,
    verification_failures: i64,
}

impl Store {
    /// Notes a backup that has ended, well or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_backup(&self, run: &BackupRun) -> Result<(), Error> {
        const SQL: Sql = Sql::same(
            "INSERT INTO backups (id, made_by, outcome, started_at, finished_at, location, size_bytes, checksum, error) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        );
        let made_by = if run.scheduled { "schedule" } else { "command" };
        let file = run.result.as_ref().ok();
        let size = file.map(|one| i64::try_from(one.size).unwrap_or(i64::MAX));
        transaction!(self, "backups.note", |tx| {
            statement!(tx, "backups.insert", SQL, |sql, link| {
                query(sql)
                    .bind(run.id)
                    .bind(made_by)
                    .bind(if file.is_some() {
                        "succeeded"
                    } else {
                        "failed"
                    })
                    .bind(Timestamp(run.started_at))
                    .bind(Timestamp(run.finished_at))
                    .bind(&run.location)
                    .bind(size)
                    .bind(file.map(|one| &one.checksum))
                    .bind(run.result.as_ref().err())
                    .execute(link)
            })
        })
        .map(drop)
    }

    /// Notes that the backup with this checksum was restored for a trial, and whether it was whole; `false` when no such
    /// backup is known here.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_verification(&self, checksum: &str, passed: bool) -> Result<bool, Error> {
        const SQL: Sql =
            Sql::same("UPDATE backups SET verified_at = $2, verification = $3 WHERE checksum = $1");
        let now = Timestamp(self.clock().now());
        let word = if passed { "passed" } else { "failed" };
        let noted = transaction!(self, "backups.verified", |tx| {
            statement!(tx, "backups.verified", SQL, |sql, link| query(sql)
                .bind(checksum)
                .bind(now)
                .bind(word)
                .execute(link))
        })?;
        Ok(noted > 0)
    }

    /// Notes that the newest backup of this name is damaged; `false` when no such backup is known here.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_damage(&self, name: &str) -> Result<bool, Error> {
        const SQL: Sql = Sql::same(
            "UPDATE backups SET verified_at = $2, verification = 'failed' WHERE location LIKE $1 AND outcome = 'succeeded'",
        );
        let now = Timestamp(self.clock().now());
        // The names of backups hold nothing that LIKE takes for itself.
        let pattern = format!("%/{name}");
        let noted = transaction!(self, "backups.damaged", |tx| {
            statement!(tx, "backups.damaged", SQL, |sql, link| query(sql)
                .bind(&pattern)
                .bind(now)
                .execute(link))
        })?;
        Ok(noted > 0)
    }

    /// What is known of backups.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn backup_state(&self) -> Result<BackupState, Error> {
        const SQL: Sql = Sql::same(
            "SELECT last.started_at, last.finished_at, last.size_bytes, \
             (SELECT CAST(COUNT(*) AS BIGINT) FROM backups WHERE outcome = 'failed') AS failures, \
             (SELECT MAX(verified_at) FROM backups WHERE verification = 'passed') AS verified_at, \
             (SELECT CAST(COUNT(*) AS BIGINT) FROM backups WHERE verification = 'failed') AS verification_failures \
             FROM (SELECT 1 AS one) AS always LEFT JOIN (SELECT started_at, finished_at, size_bytes FROM backups \
             WHERE outcome = 'succeeded' ORDER BY started_at DESC LIMIT 1) AS last ON always.one = 1",
        );
        let row = reading!(self, |session| {
            statement!(session, "backups.state", SQL, |sql, link| {
                query_as::<_, StateRow>(sql).fetch_optional(link)
            })
        })?;
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok(row.map_or_else(BackupState::default, |row| BackupState {
            last_started: row.started_at.map(|at| at.0),
            last_finished: row.finished_at.map(|at| at.0),
            size: count(row.size_bytes.unwrap_or_default()),
            failures: count(row.failures),
            last_verified: row.verified_at.map(|at| at.0),
            verification_failures: count(row.verification_failures),
        }))
    }
}
