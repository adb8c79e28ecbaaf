//! Settings: one validated struct from defaults < `convoke.toml` < `CONVOKE_*`, or every fault at once.
//!
//! The table in `settings` is the only list there is: the structs, the reader, the checks of ranges
//! and `docs/configuration.md` all come from it. figment was tried and left: it stops at the first
//! fault, and an operator who has three to mend should start the service twice, not four times.

mod amount;
mod check;
mod database_url;
mod fault;
mod file;
mod key_file;
mod media_range;
mod net;
mod overlap;
mod reader;
mod recipient;
mod redis_url;
mod reference;
mod secret;
mod setting;
mod settings;
mod sources;
mod storage_url;
#[cfg(test)]
mod tests;
mod value;

pub use amount::{ByteSize, Rate};
pub use database_url::{DatabaseUrl, Engine};
pub use fault::{Fault, Faults, Source};
pub use media_range::MediaRange;
pub use net::{CorsOrigin, HostName};
pub use reader::Effective;
pub use recipient::Recipient;
pub use redis_url::{KeyPrefix, RedisUrl};
pub use secret::Secret;
pub use settings::{
    Attachments, Auth, Avatars, Backup, Cache, Database, Limits, Log, Outbox, RateLimit, Redis,
    Server, Shutdown, Sqlite, Storage,
};
pub use sources::{SettingsFile, Sources, process_variable};
pub use storage_url::{Region, S3Endpoint, StorageUrl};
pub use value::{Environment, LogFilter, LogFormat, Synchronous};

use std::net::SocketAddr;

use reader::Reader;

/// Every setting, checked. Printing it shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who the service is, where it listens, and whom it trusts.
    pub server: Server,
    /// What is logged, and how.
    pub log: Log,
    /// What requests may take.
    pub limits: Limits,
    /// How the service ends.
    pub shutdown: Shutdown,
    /// Tokens and passwords.
    pub auth: Auth,
    /// How often a client may ask.
    pub rate_limit: RateLimit,
    /// What is remembered between requests.
    pub cache: Cache,
    /// The cache that replicas share.
    pub redis: Redis,
    /// The database and its pool.
    pub database: Database,
    /// What only SQLite knows.
    pub sqlite: Sqlite,
    /// Deliveries of notifications.
    pub outbox: Outbox,
    /// Where files are kept.
    pub storage: Storage,
    /// Copies of the database and of uploaded files.
    pub backup: Backup,
    /// Files of events.
    pub attachments: Attachments,
    /// Pictures of users.
    pub avatars: Avatars,
}

/// Settings that can be used, and what was noticed while reading them.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Whole sentences to be logged once logging has begun: unknown `CONVOKE_*` variables, settings
    /// without effect, and what is allowed but doubtful. They hold no secret.
    pub warnings: Vec<String>,
    /// Every setting as it may be shown, in the order of the table.
    pub effective: Vec<Effective>,
}

impl Config {
    /// Reads the settings of this process.
    ///
    /// # Errors
    /// Every fault at once; see [`Config::load`].
    pub fn from_process() -> Result<Loaded, Faults> {
        Self::load(&Sources::from_process())
    }

    /// Reads the settings from `sources`. In development, when no secret key is given and nothing
    /// else is wrong, one is made and kept in the data folder.
    ///
    /// # Errors
    /// Every fault at once: values of the wrong type or out of range, unknown keys of the file,
    /// settings that contradict each other, and in production a missing or weak secret key.
    pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
        let mut reader = sources.reader();
        let mut warnings = check::without_effect(&sources.environment);
        let config = Self::read(&mut reader).map(|mut config| {
            check::contradictions(&config, &mut reader);
            warnings.extend(check::doubts(&config));
            check::previous_secrets(&config, &mut reader, &mut warnings);
            check::secret(&mut config, &mut reader, &mut warnings);
            config
        });
        match config {
            Some(config) if !reader.has_faults() => Ok(Loaded {
                config,
                warnings,
                effective: reader.take_effective(),
            }),
            _ => Err(Faults {
                faults: reader.into_faults(),
                warnings,
            }),
        }
    }

    /// Where the ops listener is, whatever is wrong with the other settings; no key is made.
    ///
    /// # Errors
    /// When that address is not known: its own faults, and those of the file.
    pub fn ops_listen(sources: &Sources) -> Result<SocketAddr, Faults> {
        let mut reader = sources.reader();
        match Server::read(&mut reader) {
            Some(server) if !reader.is_faulty("ops_listen") => Ok(server.ops_listen),
            _ => Err(Faults {
                faults: reader.into_faults(),
                warnings: Vec::new(),
            }),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let server = Server::read(reader);
        let log = Log::read(reader);
        let limits = Limits::read(reader);
        let shutdown = Shutdown::read(reader);
        let auth = Auth::read(reader);
        let rate_limit = RateLimit::read(reader);
        let cache = Cache::read(reader);
        let redis = Redis::read(reader);
        let database = Database::read(reader);
        let sqlite = Sqlite::read(reader);
        let outbox = Outbox::read(reader);
        let storage = Storage::read(reader);
        let backup = Backup::read(reader);
        let attachments = Attachments::read(reader);
        let avatars = Avatars::read(reader);
        Some(Self {
            server: server?,
            log: log?,
            limits: limits?,
            shutdown: shutdown?,
            auth: auth?,
            rate_limit: rate_limit?,
            cache: cache?,
            redis: redis?,
            database: database?,
            sqlite: sqlite?,
            outbox: outbox?,
            storage: storage?,
            backup: backup?,
            attachments: attachments?,
            avatars: avatars?,
        })
    }

    /// The labels of the `config_info` metric: always the same names, each with a value from a
    /// small fixed set.
    pub const fn describe(&self) -> [(&'static str, &'static str); 7] {
        [
            ("env", self.server.env.as_str()),
            ("database", self.database.url.engine().as_str()),
            ("log_format", self.log.format.as_str()),
            ("rate_limit", switch(self.rate_limit.enabled)),
            ("hsts", switch(self.server.hsts)),
            ("migrate_on_start", switch(self.database.migrate_on_start)),
            ("sqlite_synchronous", self.sqlite.synchronous.as_str()),
        ]
    }

    /// The text of `docs/configuration.md`, made from the table of settings.
    pub fn reference_markdown() -> String {
        reference::markdown()
    }
}

const fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
