//! A transaction on PostgreSQL. sqlx's own begins with one statement of ours, but forgets one that fails or is dropped half-way:
//! the connection would go back to the pool inside the transaction, with the locks that it took.

use sqlx::{
    AssertSqlSafe, PgConnection, Postgres, SqlSafeStr, SqlStr, pool::PoolConnection, raw_sql,
};

use super::gate::{Entry, Place};

/// A transaction, and the connection it runs on.
#[derive(Debug)]
pub struct PgTransaction {
    /// Given back when the transaction ends.
    place: Option<Place>,
}

/// Ends whatever transaction there is, and closes the connection where that cannot be done.
async fn undo(mut connection: PoolConnection<Postgres>) {
    if raw_sql("ROLLBACK").execute(&mut *connection).await.is_err() {
        connection.close_on_drop();
    }
}

impl PgTransaction {
    /// Begins with this text, which is sent as it stands: `BEGIN`, and what else belongs to it.
    pub(super) async fn begin(place: Place, text: String) -> Result<Self, sqlx::Error> {
        let mut begun = Self { place: Some(place) };
        let text: SqlStr = AssertSqlSafe(text).into_sql_str();
        match raw_sql(text).execute(begun.parts().0).await {
            Ok(_) => Ok(begun),
            Err(failure) => {
                begun.roll_back().await;
                Err(failure)
            }
        }
    }

    pub(super) fn parts(&mut self) -> (&mut PgConnection, &Entry) {
        // A transaction has its connection until it ends, and ending takes the transaction.
        #[expect(clippy::expect_used, reason = "see above")]
        let place = self
            .place
            .as_mut()
            .expect("a transaction in use has its connection");
        (&mut place.connection, &place.entry)
    }

    /// If it fails, the connection is not used again.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let result = raw_sql("COMMIT").execute(self.parts().0).await;
        if let Some(mut place) = self.place.take()
            && result.is_err()
        {
            place.connection.close_on_drop();
        }
        result.map(drop)
    }

    pub(super) async fn roll_back(mut self) {
        if raw_sql("ROLLBACK").execute(self.parts().0).await.is_ok() {
            self.place = None;
        } else if let Some(mut place) = self.place.take() {
            place.connection.close_on_drop();
        }
    }
}

impl Drop for PgTransaction {
    /// Dropped half-way: what runs on the connection is let finish, then undone. Its place is kept until then.
    fn drop(&mut self) {
        let Some(Place { connection, entry }) = self.place.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                undo(connection).await;
                drop(entry);
            });
        }
    }
}
