//! A connection that listens: one of its own beside the pool, for what `NOTIFY` tells.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, Row as _,
    postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    engine::{Engine, Timing},
    error::Error,
    invalidation::{CHANNEL, Heard, Horizon},
};
use crate::domain::new_id;

/// Time for the connection and each of its statements.
const LIMIT: Duration = Duration::from_secs(2);

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A change.
    Heard(Heard),
    /// One of ours: [`Listener::probe`] or [`Listener::own_channel`] with this number.
    Echo(u64),
}

/// From where on everything is heard, and in which database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The first transaction whose change is heard for certain; all before it had been begun by then.
    pub first: Horizon,
    /// The server's cluster, its time line and the database: in another one, transactions count otherwise.
    pub database: String,
}

/// A connection that listens.
#[derive(Debug)]
pub struct Listener {
    link: PgListener,
    pool: PgPool,
    own: String,
}

impl Listener {
    /// Connects and listens. From when this returns, every commit is heard of.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not listen (a standby does not).
    pub async fn open(url: &str) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("convoke listener")
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(LIMIT)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let own = format!("convoke_probe_{}", new_id().simple());
        let timing = Timing::start(Engine::Postgres, "invalidations.listen", "LISTEN");
        let opened = timing.finish(bounded(listen(&pool, &own)).await);
        Ok(Self {
            link: opened?,
            pool,
            own,
        })
    }

    /// The channel that this listener alone hears.
    pub fn own_channel(&self) -> &str {
        &self.own
    }

    /// From where on everything is heard.
    ///
    /// # Errors
    /// When the server cannot say: what only speaks PostgreSQL's protocol may not know its functions.
    pub async fn beginning(&mut self) -> Result<Beginning, Error> {
        const SQL: &str = "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS first, \
             CAST(system_identifier AS text) || ' ' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || ' ' || \
             CAST((SELECT oid FROM pg_database WHERE datname = current_database()) AS text) || ' ' || current_schema() \
             AS database FROM pg_control_system()";
        let timing = Timing::start(Engine::Postgres, "invalidations.beginning", SQL);
        let row = timing.finish(bounded(self.link.fetch_one(SQL)).await)?;
        Ok(Beginning {
            first: row.try_get("first")?,
            database: row.try_get("database")?,
        })
    }

    /// Sends a word to itself, which comes behind everything committed before.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn probe(&mut self, number: u64) -> Result<(), Error> {
        let timing = Timing::start(Engine::Postgres, "invalidations.probe", "NOTIFY");
        // Both are our own: hexadecimal digits, and a number.
        let sql = AssertSqlSafe(format!("NOTIFY {}, '{number}'", self.own));
        timing.finish(bounded(self.link.execute(sql)).await)?;
        Ok(())
    }

    /// The next word. May be dropped while it waits.
    ///
    /// # Errors
    /// When the connection is lost; what is said until another listens is not heard.
    pub async fn next(&mut self) -> Result<Word, Error> {
        loop {
            let Some(said) = self.link.try_recv().await? else {
                let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                return Err(sqlx::Error::Io(lost).into());
            };
            if said.channel() == CHANNEL {
                return Ok(Word::Heard(Heard::parse(said.payload())));
            }
            if let Ok(number) = said.payload().parse() {
                return Ok(Word::Echo(number));
            }
        }
    }

    /// Ends the connection, in a bounded time.
    pub async fn close(self) {
        let Self { link, pool, .. } = self;
        drop(link);
        // A server that does not answer is left.
        drop(timeout(LIMIT, pool.close()).await);
    }
}

async fn listen(pool: &PgPool, own: &str) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    // Reconnecting would lose words without a sign.
    listener.eager_reconnect(false);
    listener.listen_all([CHANNEL, own]).await?;
    Ok(listener)
}

async fn bounded<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    timeout(LIMIT, work).await.unwrap_or_else(late)
}
