//! The database's own clock, to compare ours with.

use super::{
    Store,
    columns::Timestamp,
    engine::{Engine, Sql, reading, statement},
    error::Error,
};

impl Store {
    /// What time the database says it is; `None` on SQLite, which has no clock of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn database_clock(&self) -> Result<Option<jiff::Timestamp>, Error> {
        const SQL: Sql = Sql::each("SELECT clock_timestamp()", "");
        if self.engine() == Engine::Sqlite {
            return Ok(None);
        }
        let now = reading!(self, |session| {
            statement!(session, "database.clock", SQL, |sql, link| {
                sqlx::query_scalar::<_, Timestamp>(sql).fetch_optional(link)
            })
        })?;
        Ok(now.map(|now| now.0))
    }
}
