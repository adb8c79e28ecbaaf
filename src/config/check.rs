//! What settings must be together, and what is allowed but deserves a warning.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;

use super::Engine;
use super::fault::{Source, did_you_mean};
use super::reader::Reader;
use super::secret::{ADVICE, weakness};
use super::setting::variables;
use super::storage_url::S3Endpoint;
use super::value::{Environment, Synchronous};
use super::{Config, Database, key_file};

/// Faults of settings that contradict each other.
pub(super) fn contradictions(config: &Config, reader: &mut Reader<'_>) {
    let (server, database, outbox) = (&config.server, &config.database, &config.outbox);
    reader.require(
        &["ops_listen", "listen"],
        !collide(server.listen, server.ops_listen),
        format!(
            "listen ({}) and ops_listen ({}) take the same port",
            server.listen, server.ops_listen
        ),
        "two different ports, or port 0",
    );
    reader.require(
        &["access_token_ttl", "refresh_token_ttl"],
        config.auth.access_token_ttl < config.auth.refresh_token_ttl,
        format!(
            "access_token_ttl ({:?}) is not shorter than refresh_token_ttl ({:?})",
            config.auth.access_token_ttl, config.auth.refresh_token_ttl
        ),
        "an access_token_ttl shorter than refresh_token_ttl",
    );
    reader.require(
        &["database.min_connections", "database.max_connections"],
        database.min_connections <= database.max_connections,
        format!(
            "database.min_connections ({}) is larger than database.max_connections ({})",
            database.min_connections, database.max_connections
        ),
        "a minimum that is at most the maximum",
    );
    backups_and_caches(config, reader);
    ways(database, reader);
    reader.require(
        &["outbox.backoff_base", "outbox.backoff_max"],
        outbox.backoff_base <= outbox.backoff_max,
        format!(
            "outbox.backoff_base ({:?}) is longer than outbox.backoff_max ({:?})",
            outbox.backoff_base, outbox.backoff_max
        ),
        "a base that is at most the maximum",
    );
    of_storage(config, reader);
}

/// The same for the store of files.
fn of_storage(config: &Config, reader: &mut Reader<'_>) {
    let storage = &config.storage;
    reader.require(
        &["storage.url", "storage.fallback_url"],
        storage
            .fallback_url
            .as_ref()
            .is_none_or(|fallback| !fallback.overlaps(&storage.url, &config.server.data_dir)),
        "storage.fallback_url leads to the same store as storage.url, or one lies in the other"
            .to_owned(),
        "the store that was used before, apart from the new one, or none",
    );
    reader.require(
        &["storage.s3_access_key_id", "storage.s3_secret_access_key"],
        storage.s3_access_key_id.is_missing() == storage.s3_secret_access_key.is_missing(),
        "storage.s3_access_key_id and storage.s3_secret_access_key are not both given".to_owned(),
        "both, or neither",
    );
    let open = storage
        .s3_endpoint
        .as_ref()
        .is_some_and(S3Endpoint::is_open);
    reader.require(
        &["storage.s3_endpoint", "env"],
        !open || config.server.env == Environment::Development,
        "storage.s3_endpoint would send credentials and files unencrypted to another machine"
            .to_owned(),
        "https://, or http:// to this machine, in production",
    );
}

/// Faults of backups and of the caches.
fn backups_and_caches(config: &Config, reader: &mut Reader<'_>) {
    let backup = &config.backup;
    reader.require(
        &["backup.every", "backup.to"],
        backup.every.is_none() || backup.to.is_some(),
        "backup.every is set and backup.to is not".to_owned(),
        "a place for the backups that the service makes",
    );
    reader.require(
        &["backup.verify", "backup.recipients"],
        !backup.verify || backup.recipients.is_empty(),
        "backup.verify is on, and the service cannot read backups that are encrypted to backup.recipients".to_owned(),
        "one of the two; `convoke backup verify` where the key is",
    );
    reader.require(
        &["backup.s3_access_key_id", "backup.s3_secret_access_key"],
        backup.s3_access_key_id.given().is_some() == backup.s3_secret_access_key.given().is_some(),
        "one of backup.s3_access_key_id and backup.s3_secret_access_key is set without the other"
            .to_owned(),
        "both or neither",
    );
    reader.require(
        &["cache.ttl", "cache.heard_ttl"],
        config.cache.heard_ttl.is_zero() || config.cache.ttl <= config.cache.heard_ttl,
        format!(
            "cache.heard_ttl ({:?}) is shorter than cache.ttl ({:?})",
            config.cache.heard_ttl, config.cache.ttl
        ),
        "a cache.heard_ttl that is at least cache.ttl, or 0s",
    );
}

/// Faults of the ways to PostgreSQL.
fn ways(database: &Database, reader: &mut Reader<'_>) {
    let postgres = database.url.engine() == Engine::Postgres;
    reader.require(
        &["database.pgbouncer", "database.url"],
        postgres || !database.pgbouncer,
        "database.pgbouncer is set, and database.url names SQLite".to_owned(),
        "a PostgreSQL URL, or database.pgbouncer = false",
    );
    for (key, url) in [
        ("database.direct_url", &database.direct_url),
        ("database.read_url", &database.read_url),
    ] {
        reader.require(
            &[key, "database.url"],
            url.as_ref()
                .is_none_or(|url| postgres && url.engine() == Engine::Postgres),
            format!("{key} and database.url do not both name PostgreSQL"),
            "two PostgreSQL URLs, or database.url alone",
        );
    }
    reader.require(
        &["database.direct_url", "migrate_on_start"],
        !(database.pgbouncer && database.migrate_on_start && database.direct_url.is_none()),
        "migrations hold a lock of their session, which a pooler in transaction mode gives to others".to_owned(),
        "database.direct_url, or migrate_on_start = false and `convoke migrate` elsewhere",
    );
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let shared = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && shared
}

/// Judges the secret key, or makes one in development. Made last and only when all else is well, so
/// that a start that fails leaves nothing behind.
pub(super) fn secret(config: &mut Config, reader: &mut Reader<'_>, warnings: &mut Vec<String>) {
    const KEY: &str = "secret_key";
    if reader.is_faulty("env") || reader.is_faulty(KEY) {
        return;
    }
    let production = config.server.env == Environment::Production;
    let key = &mut config.server.secret_key;
    let refused = match (production, key.is_missing()) {
        (true, true) => Some((
            Source::Variable("CONVOKE_SECRET_KEY".to_owned()),
            "is missing, and production has no default".to_owned(),
        )),
        (true, false) => weakness(key.expose()).map(|problem| {
            (
                reader.source(KEY),
                format!("the value (not shown) {problem}"),
            )
        }),
        (false, false) => {
            if let Some(problem) = weakness(key.expose()) {
                warnings.push(format!(
                    "secret_key {problem}, and production will refuse it; accepted there: {ADVICE}"
                ));
            }
            None
        }
        (false, true) if reader.has_faults() => None,
        (false, true) => match key_file::obtain(&config.server.data_dir) {
            Ok(made) => {
                *key = made;
                None
            }
            Err(problem) => Some((Source::Default, problem)),
        },
    };
    if let Some((source, problem)) = refused {
        reader.fault(KEY, source, problem, ADVICE.to_owned());
    }
}

/// Judges the keys that are accepted beside the secret key as that one is judged: they open the same doors.
pub(super) fn previous_secrets(
    config: &Config,
    reader: &mut Reader<'_>,
    warnings: &mut Vec<String>,
) {
    const KEY: &str = "secret_key_previous";
    if reader.is_faulty("env") || reader.is_faulty(KEY) {
        return;
    }
    for (place, key) in (1..).zip(&config.server.secret_key_previous) {
        match weakness(key.expose()) {
            Some(problem) if config.server.env == Environment::Production => {
                let problem = format!("key {place} of the list (not shown) {problem}");
                reader.fault(KEY, reader.source(KEY), problem, ADVICE.to_owned());
            }
            Some(problem) => warnings.push(format!(
                "secret_key_previous: key {place} {problem}, and production will refuse it; accepted there: {ADVICE}"
            )),
            None if key.expose() == config.server.secret_key.expose() => warnings.push(format!(
                "secret_key_previous: key {place} is secret_key itself and has no effect"
            )),
            None => {}
        }
    }
}

/// What is allowed, and should be known.
pub(super) fn doubts(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |holds: bool, text: &str| {
        if holds {
            warnings.push(text.to_owned());
        }
    };
    let server = &config.server;
    let production = server.env == Environment::Production;
    let open = |address: SocketAddr| !address.ip().is_loopback();
    warn(
        !production && (open(server.listen) || open(server.ops_listen)),
        "env is development, yet other machines can reach the service: set env to production",
    );
    warn(
        server
            .trusted_proxies
            .iter()
            .any(|net| net.prefix_len() == 0),
        "trusted_proxies holds every address there is: any client can forge its own",
    );
    warn(
        server.hsts && server.trusted_proxies.is_empty(),
        "hsts has no effect without trusted_proxies: no request is known to have come over TLS",
    );
    warn(
        config.limits.request_timeout >= config.shutdown.timeout,
        "request_timeout is not shorter than shutdown.timeout: a shutdown may cut a running request off",
    );
    warn(
        production && !config.rate_limit.enabled,
        "rate_limit.enabled is false: logins can be guessed without limit",
    );
    let listens = config.database.url.engine() == Engine::Postgres
        && !config.cache.ttl.is_zero()
        && !config.cache.heard_ttl.is_zero();
    warn(
        config.redis.url.is_some() && !listens,
        "redis.url has no effect: a shared cache needs PostgreSQL, cache.ttl and cache.heard_ttl, to hear of changes",
    );
    warn(
        production
            && config
                .redis
                .url
                .as_ref()
                .is_some_and(|url| !url.is_private()),
        "redis.url is neither rediss:// nor on this machine: its password travels in the clear",
    );
    // The smallest set that the OWASP password storage cheat sheet recommends is 7 MiB with 5 passes.
    warn(
        production && config.auth.hash_memory_kib < 7168,
        "password_hash.memory is below 7168 KiB: stolen hashes are cheap to break",
    );
    warn(
        production && config.sqlite.synchronous == Synchronous::Normal,
        "sqlite.synchronous is normal: a power cut can take writes that were acknowledged",
    );
    warnings
}

/// Variables that do nothing.
pub(super) fn without_effect(environment: &BTreeMap<String, OsString>) -> Vec<String> {
    let unknown = environment.keys().filter(|name| {
        name.starts_with("CONVOKE_") && *name != "CONVOKE_CONFIG" && !variables().contains(name)
    });
    let warning = |name: &String| {
        let near = did_you_mean(name, variables().iter().map(String::as_str));
        format!("{name} is not a setting and has no effect{near}")
    };
    unknown.map(warning).collect()
}
