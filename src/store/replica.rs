//! Lists from a streaming replica, never older than what was committed when they were asked for.
//!
//! The primary is asked how far its log is, which touches no table, and the replica is read once it has replayed that much. So
//! a list shows every write that was acknowledged before it, whoever made it and through whichever replica of the service, and
//! no client has to carry anything. A replica that is a moment behind is waited for; one that is further behind, down, slow, in
//! conflict with its recovery, promoted, or another cluster's altogether, is passed over: the primary answers.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::postgres::PgConnectOptions;
use tokio::time::{sleep, timeout};

use super::{
    READ_POOL, Settings, Store,
    engine::{Session, Sql, statement},
    error::{Error, Transient},
    gate::Gate,
    open::Access,
};
use crate::telemetry::instruments::{database, replica as metrics};

/// Where lists are read from; the `target` label.
pub const TARGETS: [&str; 2] = ["primary", "replica"];
/// Why the primary was asked in the replica's stead; the `reason` label.
pub const FALLBACKS: [&str; 5] = ["behind", "busy", "conflict", "down", "slow"];

/// Wait for a replica that is a moment behind.
const CATCH_UP: Duration = Duration::from_millis(50);
/// Pause between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(2);
/// Wait for one of its connections.
const PATIENCE: Duration = Duration::from_millis(250);
/// Time a list may take on it before the primary is asked.
pub(super) const LIMIT: Duration = Duration::from_secs(2);
/// Positions of the primary that are remembered to tell how late the replica is, one a second.
const SIGHTINGS: usize = 3600;

/// What was last seen of the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// There is none.
    NotConfigured,
    /// It replays what the primary writes; how late it is.
    Replays(Duration),
    /// It is of no use, and why.
    Unusable(String),
}

/// A replica and what is known of it.
pub(super) struct Replica {
    pub(super) gate: Gate,
    usable: AtomicBool,
    /// How far the primary was when.
    sightings: Mutex<VecDeque<(Instant, i64)>>,
}

impl Replica {
    /// Opens no connection yet: a replica that is down must not keep the service from starting.
    pub(super) fn open(settings: &Settings, options: PgConnectOptions) -> Self {
        Self {
            gate: Gate::open(settings, options, 0).with_patience(PATIENCE),
            usable: AtomicBool::new(false),
            sightings: Mutex::default(),
        }
    }

    pub(super) fn observe_pool(&self, max: u32) {
        let pool = self.gate.pool();
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        database::pool(READ_POOL, idle, pool.size().saturating_sub(idle), max);
    }

    /// Notes where the primary is, and tells how late a replica is that has replayed up to here: for how long the oldest
    /// position that it has not reached has been known.
    fn lag(&self, primary: i64, replayed: i64) -> Duration {
        let mut seen = self
            .sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        seen.push_back((Instant::now(), primary));
        while seen
            .front()
            .is_some_and(|(_, position)| *position <= replayed)
            || seen.len() > SIGHTINGS
        {
            seen.pop_front();
        }
        seen.front()
            .map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    fn set_usable(&self, usable: bool) {
        self.usable.store(usable, Ordering::Relaxed);
        metrics::up(usable);
    }
}

/// How far the log is that a client may have been told of: what is flushed, or written at all where commits do not wait.
const POSITION: Sql = Sql::same(
    "SELECT (CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn() \
     ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint",
);
/// How far a replica has replayed; null on a server that replays nothing.
const REPLAYED: Sql = Sql::same(
    "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint END",
);
/// Which cluster it is: a replica has its primary's.
const CLUSTER: Sql = Sql::same("SELECT system_identifier FROM pg_control_system()");

impl Store {
    /// A session on the replica that shows all that is committed by now; none when the primary is to be asked.
    pub(super) async fn replica_session(&self) -> Option<Session> {
        let replica = self.inner.replica.as_ref()?;
        if !replica.usable.load(Ordering::Relaxed) {
            metrics::fell_back("down");
            return None;
        }
        // A primary that does not answer tells so again when it is asked for the list.
        let wanted = self.log_position().await.ok()?;
        let Ok(session) = timeout(LIMIT, self.caught_up(replica, wanted)).await else {
            self.replica_is_slow();
            return None;
        };
        match session {
            Ok(Some(session)) => Some(session),
            Ok(None) => {
                metrics::fell_back("behind");
                None
            }
            Err(failure) => {
                self.replica_failed(&failure);
                None
            }
        }
    }

    async fn caught_up(&self, replica: &Replica, wanted: i64) -> Result<Option<Session>, Error> {
        let mut session = self.on_replica(replica).await?;
        let began = Instant::now();
        loop {
            match replayed(&mut session).await? {
                Some(replayed) if replayed >= wanted => return Ok(Some(session)),
                Some(_) if began.elapsed() < CATCH_UP => sleep(LOOK).await,
                Some(_) => return Ok(None),
                None => {
                    replica.set_usable(false);
                    return Ok(None);
                }
            }
        }
    }

    async fn log_position(&self) -> Result<i64, Error> {
        position(&mut self.acquire().await?).await
    }

    async fn on_replica(&self, replica: &Replica) -> Result<Session, Error> {
        let place = self.timed(READ_POOL, replica.gate.enter()).await?;
        if place.entry.prepared {
            Ok(Session::PostgresRead(place))
        } else {
            Box::pin(self.open_on(place, Access::Read, "read", None)).await
        }
    }

    /// The replica took too long: it is left alone until it is seen to answer.
    pub(super) fn replica_is_slow(&self) {
        if let Some(replica) = &self.inner.replica {
            replica.set_usable(false);
        }
        metrics::fell_back("slow");
    }

    /// The replica failed.
    pub(super) fn replica_failed(&self, failure: &Error) {
        let reason = match failure {
            Error::Unavailable(sqlx::Error::PoolTimedOut) => "busy",
            _ => match failure.retry_reason() {
                Some(Transient::ConnectionLost) | None => "down",
                Some(_) => "conflict",
            },
        };
        if let (Some(replica), "down") = (&self.inner.replica, reason) {
            replica.set_usable(false);
            replica.gate.suspect();
        }
        metrics::fell_back(reason);
    }

    /// Looks at the replica, sets its gauges, and lets lists go to it or not.
    pub async fn observe_replica(&self) -> Seen {
        let Some(replica) = &self.inner.replica else {
            return Seen::NotConfigured;
        };
        let looked = timeout(LIMIT, self.look_at(replica)).await;
        let seen = looked.unwrap_or_else(|_| Err(Error::Unavailable(sqlx::Error::PoolTimedOut)));
        match seen {
            Ok(Ok(lag)) => {
                metrics::lag(lag);
                replica.set_usable(true);
                Seen::Replays(lag)
            }
            Ok(Err(reason)) => {
                replica.set_usable(false);
                Seen::Unusable(reason.to_owned())
            }
            Err(failure) => {
                replica.set_usable(false);
                replica.gate.suspect();
                Seen::Unusable(super::chain(&failure))
            }
        }
    }

    async fn look_at(&self, replica: &Replica) -> Result<Result<Duration, &'static str>, Error> {
        let (position, cluster) = {
            let mut session = self.acquire().await?;
            (position(&mut session).await?, cluster(&mut session).await?)
        };
        let mut session = self.on_replica(replica).await?;
        let Some(replayed) = replayed(&mut session).await? else {
            return Ok(Err("it is no replica: it replays no log"));
        };
        if self::cluster(&mut session).await? != cluster {
            return Ok(Err("it is a replica of another cluster"));
        }
        Ok(Ok(replica.lag(position, replayed)))
    }
}

async fn position(session: &mut Session) -> Result<i64, Error> {
    let found = statement!(session, "wal.position", POSITION, |sql, link| {
        sqlx::query_scalar::<_, i64>(sql).fetch_optional(link)
    })?;
    found.ok_or(Error::NotFound)
}

async fn replayed(session: &mut Session) -> Result<Option<i64>, Error> {
    statement!(session, "wal.replayed", REPLAYED, |sql, link| {
        sqlx::query_scalar::<_, Option<i64>>(sql).fetch_optional(link)
    })
    .map(Option::flatten)
}

async fn cluster(session: &mut Session) -> Result<Option<i64>, Error> {
    statement!(session, "wal.cluster", CLUSTER, |sql, link| {
        sqlx::query_scalar::<_, i64>(sql).fetch_optional(link)
    })
}

/// Runs a body that lists, on the replica when it shows all that is committed, else as [`super::engine::reading!`].
macro_rules! listing {
    ($store:expr, |$session:ident| $body:expr) => {{
        let store: &$crate::store::Store = $store;
        let found = match Box::pin(store.replica_session()).await {
            None => None,
            Some(mut session) => {
                let asked = async {
                    let $session = &mut session;
                    let outcome: Result<_, $crate::store::error::Error> = async { $body }.await;
                    outcome
                };
                match tokio::time::timeout($crate::store::replica::LIMIT, Box::pin(asked)).await {
                    Ok(Ok(found)) => {
                        $crate::telemetry::instruments::replica::read("replica");
                        Some(found)
                    }
                    Ok(Err(failure)) => {
                        store.replica_failed(&failure);
                        None
                    }
                    Err(_) => {
                        store.replica_is_slow();
                        None
                    }
                }
            }
        };
        match found {
            Some(found) => Ok(found),
            None => {
                $crate::telemetry::instruments::replica::read("primary");
                $crate::store::engine::reading!(store, |$session| $body)
            }
        }
    }};
}
pub(super) use listing;
