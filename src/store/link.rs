//! A connection to PostgreSQL as statements are given it: behind a pooler none of them stays prepared.
//!
//! sqlx names a prepared statement by a number of the connection's own. Behind a pooler in transaction mode the server's
//! connections are shared: the name may be somebody else's there, and may be unknown where the next transaction runs. So there
//! each statement is sent without a name, inside a transaction, in which the server's connection is ours alone.

use futures_util::{future::BoxFuture, stream::BoxStream};
use sqlx::{
    Describe, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::gate::Entry;

/// A connection that prepares statements as it may.
#[derive(Debug)]
pub(super) struct PostgresLink<'c> {
    connection: &'c mut PgConnection,
    prepared: bool,
}

impl<'c> PostgresLink<'c> {
    /// To the server itself, where statements may stay prepared.
    pub(super) fn direct(connection: &'c mut PgConnection) -> Self {
        Self {
            connection,
            prepared: true,
        }
    }

    pub(super) fn new(connection: &'c mut PgConnection, entry: &Entry) -> Self {
        Self {
            connection,
            prepared: entry.prepared,
        }
    }
}

impl<'c> Executor<'c> for PostgresLink<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.prepared {
            self.connection.fetch_many(query)
        } else {
            self.connection.fetch_many(Unnamed(query))
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.prepared {
            self.connection.fetch_optional(query)
        } else {
            self.connection.fetch_optional(Unnamed(query))
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

/// A query whose statement gets no name.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
