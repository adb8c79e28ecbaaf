//! The cache that replicas share, in Redis, which may be slow, down, full or talk nonsense: no request fails for it, and none
//! waits for it longer than [`config::Redis::timeout`], nor at all while it is known to be in trouble.
//!
//! The breaker: closed while there is a connection; after [`FAILURES`] failures in a row the connection is given up (open), and
//! a task of its own, never a request, tries for another one (half open).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::sealed::Seal;
use crate::background::backoff::{Backoff, Bounds};
use crate::config::{self, RedisUrl, Secret};
use crate::store::{Horizon, chain};
use crate::telemetry::instruments::cache as instruments;
use crate::telemetry::traces;

/// Failures in a row before Redis is left alone.
const FAILURES: u32 = 3;
/// Time to connect, in the background.
const CONNECT: Duration = Duration::from_secs(2);
/// How often it is asked for a sign of life when nobody else asks.
const EVERY: Duration = Duration::from_secs(1);
/// Entries that wait to be written; further ones are not.
const QUEUE: usize = 256;
/// Longest pause between attempts to connect: so soon after its return is it used again.
const PAUSES: Bounds = Bounds {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
};

/// Why Redis did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RedisFault {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It refused, or could not be understood.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl RedisFault {
    /// The fault as a bounded word.
    fn error_type(&self) -> &'static str {
        let error = match self {
            Self::Timeout(_) => return "timeout",
            Self::Redis(error) => error,
        };
        match (error.kind(), error.code()) {
            (_, Some("OOM")) => "oom",
            (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) | (ErrorKind::AuthenticationFailed, _) => {
                "auth"
            }
            (ErrorKind::Server(ServerErrorKind::BusyLoading), _) => "loading",
            (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => "readonly",
            (ErrorKind::Server(_) | ErrorKind::Extension, _) => "server",
            (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => "response",
            _ if error.is_timeout() => "timeout",
            _ => "io",
        }
    }

    /// Whether the connection is the cause, not this one command.
    fn is_grave(&self) -> bool {
        !matches!(self.error_type(), "oom" | "readonly")
    }
}

/// A cache that is shared with others, as a tier sees it.
pub(super) trait Remote: Send + Sync + 'static {
    /// The key of an entry.
    fn name(&self, database: &str, cache: &str, key: &[u8]) -> String;

    /// What is kept under a name, and how far whoever read it had seen.
    fn get(&self, name: &str) -> impl Future<Output = Option<(Horizon, Vec<u8>)>> + Send;

    /// Has an entry written by and by.
    fn offer(&self, name: String, horizon: Horizon, bytes: &[u8], ttl: Duration);
}

struct Write {
    name: String,
    sealed: Vec<u8>,
    ttl: Duration,
}

struct Inner {
    url: RedisUrl,
    limit: Duration,
    seal: Seal,
    connection: RwLock<Option<MultiplexedConnection>>,
    failures: AtomicU32,
    state: Mutex<&'static str>,
    trouble: Notify,
    writes: mpsc::Sender<Write>,
    to_write: tokio::sync::Mutex<mpsc::Receiver<Write>>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shared").field(&self.0.url).finish()
    }
}

impl Shared {
    pub(super) fn new(url: &RedisUrl, settings: &config::Redis, secret: &Secret) -> Self {
        let (writes, to_write) = mpsc::channel(QUEUE);
        Self(Arc::new(Inner {
            url: url.clone(),
            limit: settings.timeout,
            seal: Seal::new(secret, settings.key_prefix.as_str()),
            connection: RwLock::default(),
            failures: AtomicU32::new(0),
            state: Mutex::new("open"),
            trouble: Notify::new(),
            writes,
            to_write: tokio::sync::Mutex::new(to_write),
        }))
    }

    /// Writes what is offered, for as long as it is polled.
    pub(super) async fn write(&self) {
        let mut to_write = self.0.to_write.lock().await;
        while let Some(Write { name, sealed, ttl }) = to_write.recv().await {
            if let Some(connection) = self.connection() {
                let mut command = redis::cmd("SET");
                let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                command.arg(name).arg(sealed).arg("PX").arg(ttl);
                self.ask::<()>("set", connection, command).await;
            }
        }
    }

    fn connection(&self) -> Option<MultiplexedConnection> {
        let connection = self.0.connection.read();
        connection.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_connection(&self, connection: Option<MultiplexedConnection>) {
        let mut kept = self
            .0
            .connection
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *kept = connection;
    }

    async fn ask<T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        mut connection: MultiplexedConnection,
        command: Cmd,
    ) -> Option<T> {
        let began = Instant::now();
        let answered = bounded(self.0.limit, command.query_async(&mut connection)).await;
        let failure = answered.as_ref().err();
        let error_type = failure.map(RedisFault::error_type);
        instruments::redis_asked(operation, error_type, began.elapsed());
        match failure {
            None => self.0.failures.store(0, Ordering::Relaxed),
            Some(failure) => {
                traces::failed(error_type);
                let grave = failure.is_grave();
                if grave && self.0.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
                    self.0.trouble.notify_one();
                    // At once, not when the task has its turn.
                    self.set_connection(None);
                }
            }
        }
        answered.ok()
    }

    /// The state of the breaker.
    pub(super) fn state(&self) -> &'static str {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_state(&self, state: &'static str) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        instruments::shared_state(state);
    }

    /// Connects, and connects again, for as long as it is polled.
    pub(super) async fn keep_connected(&self) {
        let mut backoff = Backoff::new(PAUSES);
        let mut since: Option<Instant> = None;
        loop {
            self.set_state("half_open");
            let began = Instant::now();
            let connected = connect(&self.0.url, self.0.limit).await;
            let error_type = connected.as_ref().err().map(RedisFault::error_type);
            instruments::redis_asked("connect", error_type, began.elapsed());
            let failure = match connected {
                Ok(connection) => {
                    backoff.reset();
                    self.0.failures.store(0, Ordering::Relaxed);
                    self.set_connection(Some(connection));
                    self.set_state("closed");
                    if let Some(since) = since.take() {
                        let seconds = since.elapsed().as_secs_f64();
                        tracing::info!(seconds, "Redis answers again");
                    }
                    self.watch().await;
                    format!("{FAILURES} operations in a row failed")
                }
                Err(failure) => chain(&failure),
            };
            self.set_connection(None);
            self.set_state("open");
            if since.is_none() {
                since = Some(Instant::now());
                tracing::warn!(
                    error = failure,
                    "Redis fails and is left alone; the database is asked instead"
                );
            }
            sleep(backoff.pause()).await;
        }
    }

    /// Returns when the connection is of no use any more.
    async fn watch(&self) {
        while let Some(connection) = self.connection() {
            tokio::select! {
                () = self.0.trouble.notified() => {}
                () = sleep(EVERY) => {
                    self.ask::<()>("ping", connection, redis::cmd("PING")).await;
                }
            }
        }
    }

    /// Uses Redis no more.
    pub(super) fn stop(&self) {
        self.set_connection(None);
        self.set_state("off");
    }
}

impl Remote for Shared {
    fn name(&self, database: &str, cache: &str, key: &[u8]) -> String {
        self.0.seal.name(database, cache, key)
    }

    /// Nothing when Redis is in trouble.
    async fn get(&self, name: &str) -> Option<(Horizon, Vec<u8>)> {
        let connection = self.connection()?;
        let asked = redis::cmd("GET").arg(name).to_owned();
        let span = traces::redis_span("GET");
        let asked = self.ask("get", connection, asked);
        let found: Option<Vec<u8>> = traces::within(span, asked).await?;
        let plain = found.and_then(|sealed| self.0.seal.open(name, &sealed))?;
        let (horizon, bytes) = plain.split_first_chunk()?;
        Some((Horizon::from_be_bytes(*horizon), bytes.to_vec()))
    }

    /// Unless too many wait.
    fn offer(&self, name: String, horizon: Horizon, bytes: &[u8], ttl: Duration) {
        if self.connection().is_none() {
            return;
        }
        let plain = [horizon.to_be_bytes().as_slice(), bytes].concat();
        let Some(sealed) = self.0.seal.seal(&name, &plain) else {
            return;
        };
        if self.0.writes.try_send(Write { name, sealed, ttl }).is_err() {
            instruments::redis_refused("set", "queue_full");
        }
    }
}

async fn bounded<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisFault> {
    match timeout(limit, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(RedisFault::Timeout(limit)),
    }
}

async fn connect(url: &RedisUrl, limit: Duration) -> Result<MultiplexedConnection, RedisFault> {
    if url.is_encrypted() {
        // Whoever was first installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let client = Client::open(url.expose())?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(limit.max(CONNECT)));
    bounded(CONNECT, async {
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        redis::cmd("PING")
            .query_async::<()>(&mut connection)
            .await?;
        Ok(connection)
    })
    .await
}

/// What `convoke doctor` tells of Redis.
#[derive(Clone, Debug)]
pub struct Info {
    /// The median of a few round trips.
    pub round_trip: Duration,
    /// What it calls its version.
    pub version: String,
}

/// Asks Redis how it is.
///
/// # Errors
/// When it cannot be reached, or refuses.
pub async fn look(url: &RedisUrl) -> Result<Info, RedisFault> {
    let mut connection = connect(url, CONNECT).await?;
    bounded(CONNECT, async {
        let mut trips = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            redis::cmd("PING")
                .query_async::<()>(&mut connection)
                .await?;
            trips.push(began.elapsed());
        }
        trips.sort_unstable();
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await?;
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"));
        Ok(Info {
            round_trip: trips.get(2).copied().unwrap_or_default(),
            version: version.unwrap_or("unknown").to_owned(),
        })
    })
    .await
}
