//! The store as the settings want it.

use std::time::Duration;

use crate::config::{Config, Engine, Synchronous};
use crate::domain::clock::Clock;
use crate::lifecycle::Lifecycle;
use crate::store::{self, Store};

/// The store's settings.
pub(super) fn store_settings(config: &Config) -> store::Settings {
    let database = &config.database;
    let max_connections = match database.url.engine() {
        Engine::Sqlite => config.sqlite.readers,
        Engine::Postgres => database.max_connections,
    };
    store::Settings {
        url: database.url.expose().to_owned(),
        direct_url: database.direct().expose().to_owned(),
        read_url: database
            .read_url
            .as_ref()
            .map(|url| url.expose().to_owned()),
        pooled: database.pgbouncer,
        min_connections: database.min_connections.min(max_connections),
        max_connections,
        max_lifetime: database.max_lifetime,
        idle_timeout: database.idle_timeout,
        acquire_timeout: database.acquire_timeout,
        statement_timeout: database.statement_timeout,
        startup_timeout: database.startup_timeout,
        attempts: database.retry_attempts,
        synchronous: match config.sqlite.synchronous {
            Synchronous::Full => "full",
            Synchronous::Extra => "extra",
            Synchronous::Normal => "normal",
        },
        busy_timeout: config.sqlite.busy_timeout,
    }
}

/// Opens the store; it waits for its database as long as the settings allow.
///
/// # Errors
/// When the database cannot be reached in time.
pub async fn open_store(config: &Config, lifecycle: &Lifecycle) -> Result<Store, store::Error> {
    let lifecycle = lifecycle.clone();
    // Nobody waits for it at the end: closing the store makes the last commit.
    let spawn = move |task| lifecycle.spawn_unwatched("store writer", task);
    Box::pin(Store::open(store_settings(config), Clock::system(), spawn)).await
}

/// As [`open_store`], for a command at which somebody waits.
pub(super) async fn open_store_within(
    config: &Config,
    limit: Duration,
) -> Result<Store, store::Error> {
    let mut config = config.clone();
    config.database.startup_timeout = limit.min(config.database.startup_timeout);
    open_store(&config, &Lifecycle::new()).await
}
