//! The table of settings: name, type, default, range and meaning of each, once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::amount::{ByteSize, Rate};
use super::database_url::{DatabaseUrl, in_folder};
use super::media_range::MediaRange;
use super::net::{CorsOrigin, HostName};
use super::reader::Reader;
use super::recipient::Recipient;
use super::redis_url::{KeyPrefix, RedisUrl};
use super::secret::Secret;
use super::setting::Default::{Absent, Found, Text};
use super::setting::{Group, Setting, group};
use super::storage_url::{Region, S3Endpoint, StorageUrl};
use super::value::{Environment, LogFilter, LogFormat, Synchronous, Value};

/// Every group, in the order of the reference.
pub(super) static GROUPS: [Group; 15] = [
    Server::GROUP,
    Log::GROUP,
    Limits::GROUP,
    Shutdown::GROUP,
    Auth::GROUP,
    RateLimit::GROUP,
    Cache::GROUP,
    Redis::GROUP,
    Database::GROUP,
    Sqlite::GROUP,
    Outbox::GROUP,
    Storage::GROUP,
    Backup::GROUP,
    Attachments::GROUP,
    Avatars::GROUP,
];

group! {
    /// Who the service is, where it listens, and whom it trusts.
    Server, "Server" {
        /// How much the service forgives. In `development` a secret key is made and weak settings are
        /// warnings; in `production` they stop the start.
        "env" => env: Environment = Text("development");
        /// Address of the public listener: the API and its documentation.
        "listen" => listen: SocketAddr = Text("127.0.0.1:8080");
        /// Address of the ops listener: metrics, probes, log level, console. Never make it public.
        "ops_listen" => ops_listen: SocketAddr = Text("127.0.0.1:9464");
        /// Names at which the ops listener shows its console and what is below `/debug/`, besides IP addresses and names
        /// without a dot: others may be a web page's own. Probes and metrics are answered at any name.
        "ops_hosts" => ops_hosts: Vec<HostName> = Text("");
        /// Folder of the SQLite database and of the secret key that development makes.
        "data_dir" => data_dir: PathBuf = Text("data");
        /// Key that signs access tokens and seals the answers kept for an `Idempotency-Key`: at least 32 random
        /// bytes as hex, base64 or text, the same on every replica. Make one with `openssl rand -base64 32`.
        "secret_key" => secret_key: Secret =
            Absent("none in production; in development made and kept in `{data_dir}/secret_key`");
        /// Keys that are accepted beside it and sign nothing: the one before, or the next before it signs. With it the
        /// key is changed without a failed request (docs/security.md). None may hold a comma.
        "secret_key_previous" => secret_key_previous: Vec<Secret> = Text("");
        /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        "trusted_proxies" => trusted_proxies: Vec<IpNet> = Text("");
        /// Web origins that may call the API from a browser. `*` is refused, because calls carry credentials.
        "cors_origins" => cors_origins: Vec<CorsOrigin> = Text("");
        /// Send `Strict-Transport-Security` on requests that reached a trusted proxy over TLS. It binds the
        /// whole host for two years, so it is off until asked for.
        "hsts" => hsts: bool = Text("false");
    }
}

group! {
    /// What is logged, and how.
    Log, "Logs" {
        /// Which lines are written: a level, or directives such as `info,sqlx=debug`. Can be changed at run
        /// time on the ops listener.
        "log" => filter: LogFilter = Text("info");
        /// One JSON object a line, or text for people.
        "log_format" => format: LogFormat = Found("`pretty` on a terminal, else `json`", |surroundings| {
            if surroundings.terminal { "pretty" } else { "json" }.to_owned()
        });
    }
}

group! {
    /// What one request, and all of them together, may take.
    Limits, "Requests" {
        /// Time one request may take before it is answered 503.
        "request_timeout" => request_timeout: Duration = Text("10s"), from "10ms" to "10m";
        /// Requests in flight at once; further ones are answered 503 with `Retry-After`.
        "max_in_flight" => max_in_flight: usize = Text("512"), from "1" to "100000";
        /// Connections open at once on the public listener.
        "max_connections" => max_connections: usize = Text("10000"), from "1" to "1000000";
        /// Time a client has to send the head of its next request before its connection is closed; so long is an idle
        /// connection kept, too. Longer than a proxy keeps one (often 60 s), or the proxy sends into a closed connection.
        "header_read_timeout" => header_read_timeout: Duration = Text("75s"), from "100ms" to "5m";
        /// Largest body of a request, in bytes; larger ones are answered 413.
        "body_limit" => body_limit: ByteSize = Text("1MiB"), from "1KiB" to "64MiB";
        /// Time the answer to an `Idempotency-Key` is kept.
        "idempotency_ttl" => idempotency_ttl: Duration = Text("24h"), from "1s" to "30d";
        /// Time a cursor of a list stays valid; an older one is answered 410.
        "cursor_ttl" => cursor_ttl: Duration = Text("24h"), from "1s" to "30d";
    }
}

group! {
    /// How the service ends.
    Shutdown, "Shutdown" {
        /// Time between readiness turning false and the listener closing, in which load balancers notice.
        "shutdown.grace" => grace: Duration = Text("2s"), from "0s" to "5m";
        /// Time running requests and the delivery in hand have to finish after that.
        "shutdown.timeout" => timeout: Duration = Text("30s"), from "100ms" to "1h";
        /// Time the last spans have to leave at the very end.
        "telemetry_shutdown_timeout" => telemetry_timeout: Duration = Text("5s"), from "100ms" to "1m";
    }
}

group! {
    /// Tokens and passwords.
    Auth, "Authentication" {
        /// Time an access token is valid.
        "access_token_ttl" => access_token_ttl: Duration = Text("15m"), from "1s" to "24h";
        /// Time a refresh token is valid when it is not used.
        "refresh_token_ttl" => refresh_token_ttl: Duration = Text("30d"), from "1s" to "365d";
        /// Memory of one Argon2id password hash, in KiB.
        "password_hash.memory" => hash_memory_kib: u32 = Text("19456"), from "8" to "4194304";
        /// Passes of one Argon2id password hash over its memory.
        "password_hash.iterations" => hash_iterations: u32 = Text("2"), from "1" to "100";
        /// Password hashes computed at once; further ones wait. Each holds its memory meanwhile.
        "password_hash.concurrency" => hash_concurrency: usize =
            Found("number of CPUs", |surroundings| surroundings.cpus.clamp(1, 1024).to_string()),
            from "1" to "1024";
    }
}

group! {
    /// How often a client may ask.
    RateLimit, "Rate limits" {
        /// Count requests, and answer 429 beyond the rates below.
        "rate_limit.enabled" => enabled: bool = Text("true");
        /// Reads of one principal, or of one address without one.
        "rate_limit.reads" => reads: Rate = Text("600/60s");
        /// Writes of one principal, or of one address without one.
        "rate_limit.writes" => writes: Rate = Text("120/60s");
        /// Registrations, logins and refreshes of one client address.
        "rate_limit.login" => login: Rate = Text("20/60s");
        /// Logins to one account, from wherever they come.
        "rate_limit.login_account" => login_account: Rate = Text("10/15m");
        /// Clients tracked at once, which bounds the memory.
        "rate_limit.max_keys" => max_keys: usize = Text("100000"), from "100" to "10000000";
    }
}

group! {
    /// What is remembered between requests.
    Cache, "Cache" {
        /// Time an entry serves while nobody would tell of a change. At most one second, because a disabled user must be
        /// stopped within that time on every replica; `0s` switches the cache off.
        "cache.ttl" => ttl: Duration = Text("800ms"), from "0s" to "1s";
        /// Time an entry serves while PostgreSQL tells every replica of each change as it is committed (`LISTEN`), and has
        /// just proved that it does. What is changed by hand in SQL is seen after this time. `0s` does without listening.
        "cache.heard_ttl" => heard_ttl: Duration = Text("10s"), from "0s" to "5m";
        /// Entries kept at once.
        "cache.max_entries" => max_entries: u64 = Text("10000"), from "1" to "10000000";
    }
}

group! {
    /// The cache that replicas share. Optional: without it, while it is down, or slow, each asks the database.
    Redis, "Redis" {
        /// Where Redis is: `redis://`, or `rediss://` for TLS. Works only with PostgreSQL, and while replicas hear of changes
        /// (`cache.heard_ttl`): else an entry of it could be older than a second.
        "redis.url" => url: Option<RedisUrl> = Absent("none: replicas share no cache");
        /// Time one operation may take; after three failures in a row Redis is left alone until it answers again.
        "redis.timeout" => timeout: Duration = Text("50ms"), from "1ms" to "2s";
        /// What the keys begin with, for a Redis that others use too.
        "redis.key_prefix" => key_prefix: KeyPrefix = Text("convoke");
    }
}

group! {
    /// The database and its pool of connections.
    Database, "Database" {
        /// Where the data is: a SQLite file, or PostgreSQL.
        "database.url" => url: DatabaseUrl =
            Found("`sqlite://{data_dir}/convoke.db`", |surroundings| in_folder(&surroundings.data_dir));
        /// Where PostgreSQL itself is, when `database.url` leads to a pooler: migrations, backups and `LISTEN` need a
        /// session of their own.
        "database.direct_url" => direct_url: Option<DatabaseUrl> = Absent("none: `database.url` is direct");
        /// `database.url` and `database.read_url` lead to a pooler in transaction mode (PgBouncer): each read is a transaction
        /// too, and no statement stays prepared.
        "database.pgbouncer" => pgbouncer: bool = Text("false");
        /// A streaming replica of the same PostgreSQL for lists and searches. It is asked when it has replayed all that was
        /// committed when the request came; while it is behind or down, `database.url` is.
        "database.read_url" => read_url: Option<DatabaseUrl> = Absent("none: all is read from `database.url`");
        /// Connections kept open when nobody asks.
        "database.min_connections" => min_connections: u32 = Text("1"), from "0" to "1000";
        /// Connections open at once, per replica.
        "database.max_connections" => max_connections: u32 = Text("10"), from "1" to "1000";
        /// Age at which a connection is replaced.
        "database.max_lifetime" => max_lifetime: Duration = Text("30m"), from "1s" to "24h";
        /// Idle time after which a connection is closed.
        "database.idle_timeout" => idle_timeout: Duration = Text("10m"), from "1s" to "24h";
        /// Time a request waits for a busy connection before it is answered 503. While the server does not answer at all,
        /// requests are refused at once.
        "database.acquire_timeout" => acquire_timeout: Duration = Text("8s"), from "10ms" to "1m";
        /// Time one statement may run.
        "database.statement_timeout" => statement_timeout: Duration = Text("5s"), from "10ms" to "10m";
        /// Time the start waits for the database to answer.
        "database.startup_timeout" => startup_timeout: Duration = Text("30s"), from "0s" to "1h";
        /// Times a transaction is tried in all when the database asks to repeat it.
        "database.retry_attempts" => retry_attempts: u32 = Text("5"), from "1" to "20";
        /// Bring the schema up to date at start. Without it, run `convoke migrate` first.
        "migrate_on_start" => migrate_on_start: bool = Text("true");
    }
}

group! {
    /// What only SQLite knows.
    Sqlite, "SQLite" {
        /// When a commit waits for the disk. `normal` can lose acknowledged writes in a power cut.
        "sqlite.synchronous" => synchronous: Synchronous = Text("full");
        /// Time to wait for a lock that another process holds.
        "sqlite.busy_timeout" => busy_timeout: Duration = Text("5s"), from "0s" to "5m";
        /// Connections that read, beside the one that writes.
        "sqlite.readers" => readers: u32 = Text("4"), from "1" to "64";
    }
}

group! {
    /// Deliveries of notifications.
    Outbox, "Deliveries" {
        /// Attempts before a delivery is dead.
        "outbox.max_attempts" => max_attempts: u32 = Text("12"), from "1" to "100";
        /// Wait before the second attempt; it doubles with each one, with jitter.
        "outbox.backoff_base" => backoff_base: Duration = Text("500ms"), from "1ms" to "1h";
        /// Longest wait between two attempts.
        "outbox.backoff_max" => backoff_max: Duration = Text("5m"), from "1ms" to "24h";
        /// Time a replica holds deliveries that it tries one by one, before another may take them over.
        "outbox.lease" => lease: Duration = Text("30s"), from "1s" to "1h";
        /// Deliveries claimed at once.
        "outbox.batch_size" => batch_size: u32 = Text("100"), from "1" to "10000";
        /// Time a finished delivery is kept.
        "outbox.retention" => retention: Duration = Text("7d"), from "1m" to "365d";
    }
}

group! {
    /// Where files are kept: attachments, avatars, and what commands are told to put there.
    Storage, "Storage" {
        /// The store of files: a folder, or a bucket of S3.
        "storage.url" => url: StorageUrl = Text("file:files");
        /// The store that was used before, while `convoke files migrate` moves its files: what is not in `storage.url` is read from here,
        /// and what is deleted is deleted in both.
        "storage.fallback_url" => fallback_url: Option<StorageUrl> = Absent("none");
        /// Where the S3 server answers, for one that is not Amazon's.
        "storage.s3_endpoint" => s3_endpoint: Option<S3Endpoint> = Absent("none: `AWS_ENDPOINT_URL`, else Amazon's");
        /// Region of the bucket.
        "storage.s3_region" => s3_region: Option<Region> = Absent("none: `AWS_REGION`, else `us-east-1`");
        /// Name of the key that signs requests to S3.
        "storage.s3_access_key_id" => s3_access_key_id: Secret =
            Absent("none: `AWS_ACCESS_KEY_ID`, else what the machine's role gives");
        /// The key that signs requests to S3.
        "storage.s3_secret_access_key" => s3_secret_access_key: Secret =
            Absent("none: `AWS_SECRET_ACCESS_KEY`, else what the machine's role gives");
        /// Name the bucket in the host instead of the path.
        "storage.s3_virtual_hosted" => s3_virtual_hosted: bool = Text("false");
        /// Time one call to the store may take, repetitions included. A file goes in parts, each a call of its own.
        "storage.timeout" => timeout: Duration = Text("30s"), from "100ms" to "10m";
        /// Times a call to S3 is repeated when the server fails or cannot be reached.
        "storage.retries" => retries: usize = Text("3"), from "0" to "10";
        /// Time a file is kept that nothing refers to any more, or not yet: for downloads under way and backups being made.
        "storage.grace" => grace: Duration = Text("24h"), from "1s" to "30d";
        /// Time between two searches for such files; one replica makes them.
        "storage.collect_every" => collect_every: Duration = Text("1h"), from "1s" to "6h";
    }
}

group! {
    /// Files of events.
    Attachments, "Attachments" {
        /// Largest file, in bytes; larger ones are answered 413.
        "attachments.max_size" => max_size: ByteSize = Text("100MiB"), from "1KiB" to "48GiB";
        /// Files of one event.
        "attachments.max_per_event" => max_per_event: u32 = Text("100"), from "1" to "10000";
        /// Bytes that the files of one event may have together.
        "attachments.event_quota" => event_quota: ByteSize = Text("1GiB"), from "1KiB" to "1024GiB";
        /// Bytes that the files of one user may have together.
        "attachments.user_quota" => user_quota: ByteSize = Text("5GiB"), from "1KiB" to "65536GiB";
        /// Media types that are taken, each in full or up to a `*`. What a browser would run is never taken.
        "attachments.types" => types: Vec<MediaRange> = Text("image/*, audio/*, video/*, text/*, application/pdf, \
            application/json, application/zip, application/gzip, application/msword, application/vnd.ms-*, \
            application/vnd.oasis.opendocument.*, application/vnd.openxmlformats-officedocument.*, application/rtf");
        /// Time in which an upload must bring 32 KiB more; a slower one is answered 408. `request_timeout` is not for uploads.
        "attachments.idle_timeout" => idle_timeout: Duration = Text("30s"), from "100ms" to "10m";
        /// Uploads at once, per replica, which bounds the memory: 5 MiB each on S3, 512 KiB on a disk. Further ones are
        /// answered 503 with `Retry-After`.
        "attachments.uploads_at_once" => uploads_at_once: usize = Text("16"), from "1" to "10000";
        /// Downloads at once, per replica. Further ones are answered 503 with `Retry-After`.
        "attachments.downloads_at_once" => downloads_at_once: usize = Text("128"), from "1" to "100000";
        /// Send downloads on to the store, where that can sign URLs (S3 can): clients must be able to reach it.
        "attachments.redirect" => redirect: bool = Text("false");
        /// Time a signed URL serves. Whoever has it needs nothing else.
        "attachments.redirect_ttl" => redirect_ttl: Duration = Text("60s"), from "1s" to "1h";
    }
}

group! {
    /// Pictures of users: PNG, JPEG, WebP or GIF.
    Avatars, "Avatars" {
        /// Largest picture, in bytes; larger ones are answered 413.
        "avatars.max_size" => max_size: ByteSize = Text("1MiB"), from "1KiB" to "16MiB";
        /// Largest width and height, in pixels.
        "avatars.max_pixels" => max_pixels: u32 = Text("4096"), from "16" to "65535";
    }
}

group! {
    /// Copies of the database and of uploaded files.
    Backup, "Backups" {
        /// Where backups are put: a folder, or a bucket of S3. A relative folder lies in the folder of data, and is lost with
        /// it.
        "backup.to" => to: Option<StorageUrl> = Absent("none: `convoke backup` asks for `--to`");
        /// Time between two backups that the service makes by itself; one replica makes it. Not at all without a value.
        "backup.every" => every: Option<Duration> = Absent("none"), from "1s" to "365d";
        /// Restore each backup that the service makes for a trial, at once. PostgreSQL's role needs `CREATEDB` for it.
        "backup.verify" => verify: bool = Text("false");
        /// Age at which the last good backup is too old, for backups that somebody else starts (a timer, a job of a cluster). Those
        /// that the service makes itself are too old when two are missing.
        "backup.expected_every" => expected_every: Option<Duration> = Absent("none"), from "1s" to "365d";
        /// Age at which the last trial of a backup is too old.
        "backup.verified_every" => verified_every: Option<Duration> = Absent("none"), from "1s" to "365d";
        /// Days of which the newest backup is kept, after each that was made. Every backup is kept where this and the next two
        /// are 0.
        "backup.keep_daily" => keep_daily: u32 = Text("0"), from "0" to "10000";
        /// Weeks of which the newest backup is kept.
        "backup.keep_weekly" => keep_weekly: u32 = Text("0"), from "0" to "10000";
        /// Months of which the newest backup is kept.
        "backup.keep_monthly" => keep_monthly: u32 = Text("0"), from "0" to "10000";
        /// Public keys of age to which backups are encrypted. Without one they are not.
        "backup.recipients" => recipients: Vec<Recipient> = Text("");
        /// Folder for what is needed while a backup is made or restored, with room for the database.
        "backup.scratch_dir" => scratch_dir: PathBuf =
            Found("`{data_dir}/backup-scratch`", |surroundings| format!("{}/backup-scratch", surroundings.data_dir));
        /// Folder of `pg_dump` and `pg_restore`, of the server's version or newer.
        "backup.postgres_bin" => postgres_bin: Option<PathBuf> = Absent("none: they are looked for in `PATH`");
        /// Where the S3 server of backups answers, if it is another than that of uploaded files.
        "backup.s3_endpoint" => s3_endpoint: Option<S3Endpoint> = Absent("none: `storage.s3_endpoint`");
        /// Region of the bucket of backups: another one than that of the service survives the loss of a region.
        "backup.s3_region" => s3_region: Option<Region> = Absent("none: `storage.s3_region`");
        /// Name of the key that signs requests for backups.
        "backup.s3_access_key_id" => s3_access_key_id: Secret = Absent("none: `storage.s3_access_key_id`");
        /// The key that signs requests for backups.
        "backup.s3_secret_access_key" => s3_secret_access_key: Secret =
            Absent("none: `storage.s3_secret_access_key`");
    }
}
