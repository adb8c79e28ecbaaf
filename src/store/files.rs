//! What is known of the bytes in the store of files: which belong to something, and which are to be deleted.

use sqlx::{FromRow, query, query_as, types::Json};

use super::{
    Store,
    columns::Timestamp,
    engine::{Session, Sql, reading, statement, transaction},
    error::Error,
};
use crate::domain::file::StoredFile;

/// Rows at a time.
const BITE: i64 = 500;

#[derive(FromRow)]
struct StoredFileRow {
    storage_key: String,
    size: i64,
    sha256: Vec<u8>,
}

/// Notes that nothing refers to a file any more.
pub(super) async fn retire(
    session: &mut Session,
    storage_key: &str,
    at: jiff::Timestamp,
) -> Result<(), Error> {
    const SQL: Sql =
        Sql::same("INSERT INTO deleted_files (storage_key, deleted_at) VALUES ($1, $2)");
    statement!(session, "deleted_files.insert", SQL, |sql, link| {
        query(sql)
            .bind(storage_key)
            .bind(Timestamp(at))
            .execute(link)
    })?;
    Ok(())
}

impl Store {
    /// The files that something refers to, after this key, in the order of their keys: all of them, page by page, for backups and
    /// moves. A file that is added or removed meanwhile may or may not be among them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored_files(&self, after: &str, limit: i64) -> Result<Vec<StoredFile>, Error> {
        const SQL: Sql = Sql::same(
            "SELECT storage_key, size, sha256 FROM (\
             SELECT storage_key, size, sha256 FROM attachments WHERE storage_key > $1 UNION ALL \
             SELECT avatar_key, avatar_size, avatar_sha256 FROM users WHERE avatar_key > $1) files \
             ORDER BY storage_key LIMIT $2",
        );
        let rows = reading!(self, |session| {
            statement!(session, "files.list", SQL, |sql, link| {
                query_as::<_, StoredFileRow>(sql)
                    .bind(after)
                    .bind(limit)
                    .fetch_all(link)
            })
        })?;
        let files = rows.into_iter().map(|row| StoredFile {
            storage_key: row.storage_key,
            size: row.size,
            sha256: row.sha256,
        });
        Ok(files.collect())
    }

    /// Lets go of the files of deleted events, some at a time; answers how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retire_files_of_deleted_events(&self) -> Result<u64, Error> {
        const RETIRE: Sql = Sql::same(
            "INSERT INTO deleted_files (storage_key, deleted_at) SELECT a.storage_key, e.deleted_at FROM events e \
             JOIN attachments a ON a.event_id = e.id WHERE e.deleted_at IS NOT NULL LIMIT $1",
        );
        const DELETE: Sql = Sql::same(
            "DELETE FROM attachments WHERE storage_key IN (SELECT storage_key FROM deleted_files)",
        );
        transaction!(self, "files.retire", |tx| {
            let retired = statement!(tx, "files.retire", RETIRE, |sql, link| {
                query(sql).bind(BITE).execute(link)
            })?;
            if retired > 0 {
                statement!(tx, "attachments.forget", DELETE, |sql, link| {
                    query(sql).execute(link)
                })?;
            }
            Ok(retired)
        })
    }

    /// Keys of files that nothing has referred to since before this instant, some at a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deleted_files(&self, before: jiff::Timestamp) -> Result<Vec<String>, Error> {
        const SQL: Sql = Sql::same(
            "SELECT storage_key FROM deleted_files WHERE deleted_at <= $1 ORDER BY deleted_at LIMIT $2",
        );
        reading!(self, |session| {
            statement!(session, "deleted_files.list", SQL, |sql, link| {
                sqlx::query_scalar::<_, String>(sql)
                    .bind(Timestamp(before))
                    .bind(BITE)
                    .fetch_all(link)
            })
        })
    }

    /// Forgets a file whose bytes are gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_deleted_file(&self, storage_key: &str) -> Result<(), Error> {
        const SQL: Sql = Sql::same("DELETE FROM deleted_files WHERE storage_key = $1");
        transaction!(self, "deleted_files.forget", |tx| {
            statement!(tx, "deleted_files.delete", SQL, |sql, link| {
                query(sql).bind(storage_key).execute(link)
            })?;
            Ok(())
        })
    }

    /// When files that nothing refers to were last collected, if ever.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn files_collected_at(&self) -> Result<Option<jiff::Timestamp>, Error> {
        const SQL: Sql = Sql::same(
            "SELECT done_at FROM leases WHERE name = 'files.collect' AND done_at IS NOT NULL",
        );
        let done = reading!(self, |session| {
            statement!(session, "leases.collected_at", SQL, |sql, link| {
                sqlx::query_scalar::<_, Timestamp>(sql).fetch_optional(link)
            })
        })?;
        Ok(done.map(|at| at.0))
    }

    /// Which of these keys the database knows nothing of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unknown_files(&self, keys: &[String]) -> Result<Vec<String>, Error> {
        const SQL: Sql = Sql::each(
            "SELECT k FROM jsonb_array_elements_text($1) AS given(k) \
             WHERE NOT EXISTS (SELECT 1 FROM attachments WHERE storage_key = k) \
             AND NOT EXISTS (SELECT 1 FROM users WHERE avatar_key = k) \
             AND NOT EXISTS (SELECT 1 FROM deleted_files WHERE storage_key = k)",
            "SELECT given.value FROM json_each($1) AS given \
             WHERE NOT EXISTS (SELECT 1 FROM attachments WHERE storage_key = given.value) \
             AND NOT EXISTS (SELECT 1 FROM users WHERE avatar_key = given.value) \
             AND NOT EXISTS (SELECT 1 FROM deleted_files WHERE storage_key = given.value)",
        );
        reading!(self, |session| {
            statement!(session, "files.unknown", SQL, |sql, link| {
                sqlx::query_scalar::<_, String>(sql)
                    .bind(Json(keys))
                    .fetch_all(link)
            })
        })
    }
}
