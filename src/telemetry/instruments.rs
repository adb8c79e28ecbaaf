//! Every metric of the service, declared once: name, kind, unit, help, labels and bucket bounds.

pub mod backups;
pub mod cache;
pub mod database;
pub mod error_types;
mod family;
pub mod files;
pub mod health;
pub mod outbox;
pub mod pipeline;
pub mod process;
pub mod product;
pub mod protection;
mod reference;
pub mod replica;
pub mod requests;
pub mod storage;

pub use self::reference::{reference_json, reference_markdown};

pub(super) use self::family::{render, render_to, run_upkeep};

/// What a metric does over time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts observations in buckets.
    Histogram,
}

impl Kind {
    /// The kind as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    /// The name in full, with its unit and `_total` where they belong.
    pub name: &'static str,
    /// What it does over time.
    pub kind: Kind,
    /// The unit in words; empty for a plain number.
    pub unit: &'static str,
    /// What it tells, in one sentence.
    pub help: &'static str,
    /// The labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
    /// The upper bounds of a histogram's buckets.
    pub bounds: &'static [f64],
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Instrument {
    Instrument {
        name,
        kind: Kind::Counter,
        unit: "",
        help,
        labels,
        bounds: &[],
    }
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Instrument {
    Instrument {
        name,
        kind: Kind::Gauge,
        unit,
        help,
        labels,
        bounds: &[],
    }
}

const fn seconds(
    name: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    help: &'static str,
) -> Instrument {
    Instrument {
        name,
        kind: Kind::Histogram,
        unit: "seconds",
        help,
        labels,
        bounds,
    }
}

/// Bounds of the semantic conventions for HTTP servers; 0.25 and 0.5 are the latency objectives.
const REQUEST_BOUNDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// From a row found in memory to a statement that should have been stopped.
const DATABASE_BOUNDS: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0,
];
/// From a row in the inbox to a mail server that takes its time.
const DELIVERY_BOUNDS: &[f64] = &[0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// 29.5 stands for the freshness objective of 30 s: a bound used by an objective is no whole number.
const LAG_BOUNDS: &[f64] = &[0.1, 0.5, 1.5, 2.5, 5.5, 10.5, 29.5, 60.5, 300.5, 900.5];
/// From a small file on a local disk to a part on its way to a store far away.
const STORAGE_BOUNDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// From an idle runtime to one that is blocked.
const SCHEDULING_BOUNDS: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];

/// From a word on the same machine to one that is too late to be relied on.
const CHANNEL_BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0,
];

/// From a writer that nobody shares to one that commits for a crowd.
const BATCH_BOUNDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The inventory. What is not here cannot be emitted, and what is here is emitted.
#[rustfmt::skip]
pub static INSTRUMENTS: &[Instrument] = &[
    // The HTTP server.
    seconds("http_server_request_duration_seconds", &["http_request_method", "http_route", "http_response_status_code", "error_type"], REQUEST_BOUNDS, "Time from a request's head to the end of its response."),
    gauge("http_server_active_requests", "", &["http_request_method"], "Requests being worked on."),
    counter("http_server_requests_cancelled_total", &["http_route"], "Requests whose client went away before the response was complete."),
    counter("http_server_requests_shed_total", &["reason"], "Requests refused to protect the service: too many at once, over their deadline, or during shutdown."),
    gauge("http_server_open_connections", "", &[], "Connections open on the public listener."),
    // The database client.
    seconds("db_client_operation_duration_seconds", &["db_system_name", "db_query_summary", "error_type"], DATABASE_BOUNDS, "Time of a named database operation; error_type is empty when it succeeded."),
    counter("db_client_operation_errors_total", &["db_system_name", "error_type"], "Database operations that failed, by what went wrong; some are no fault, such as a unique constraint at work or a transaction to be tried again."),
    Instrument { unit: "", ..seconds("db_client_read_batch_size", &[], BATCH_BOUNDS, "Look-ups of events that shared one statement.") },
    Instrument { unit: "", ..seconds("db_client_write_batch_size", &[], BATCH_BOUNDS, "Writes that shared one commit of SQLite's writer; empty on PostgreSQL.") },
    counter("db_client_operation_retries_total", &["db_system_name", "reason"], "Database operations tried again, by what went wrong before."),
    gauge("db_client_connection_count", "", &["pool_name", "state"], "Connections of a pool, by state (idle or used)."),
    gauge("db_client_connection_max", "", &["pool_name"], "Connections a pool may open at most."),
    gauge("db_client_connection_pending_requests", "", &["pool_name"], "Operations waiting for a connection."),
    seconds("db_client_connection_wait_time_seconds", &["pool_name"], DATABASE_BOUNDS, "Time an operation waited for a connection."),
    counter("db_client_connection_timeouts_total", &["pool_name"], "Waits for a connection that were given up."),
    gauge("db_schema_pending_migrations", "", &[], "Migrations that this program brings and the database lacks."),
    // The read replica.
    gauge("db_replica_configured", "", &[], "1 when there is a read replica for lists, else 0."),
    gauge("db_replica_up", "", &[], "1 when lists may be read from the replica, 0 when it does not answer, replays no log, or there is none; looked at each second."),
    gauge("db_replica_lag_seconds", "seconds", &[], "Age of the oldest position of the primary's log that the replica has not replayed; 0 when it has replayed all or there is none, NaN while it cannot be used."),
    counter("db_list_reads_total", &["target"], "Lists and searches, by where they were read from (primary or replica)."),
    counter("db_replica_fallbacks_total", &["reason"], "Lists and searches read from the primary because the replica was behind, busy, in conflict with its recovery, down or slow."),
    // The outbox.
    gauge("outbox_pending", "", &["channel"], "Deliveries waiting, those to be tried again included; of the database, so the same on every replica, and NaN while it does not answer."),
    gauge("outbox_oldest_age_seconds", "seconds", &["channel"], "Age of the oldest delivery that waits, those to be tried again included; 0 when none does, NaN while the database does not answer."),
    gauge("outbox_dead", "", &["channel"], "Deliveries given up after their last attempt; NaN while the database does not answer."),
    counter("outbox_deliveries_total", &["channel", "outcome"], "Delivery attempts, by outcome."),
    seconds("outbox_delivery_duration_seconds", &["channel", "outcome"], DELIVERY_BOUNDS, "Time of one delivery attempt."),
    seconds("outbox_delivery_lag_seconds", &["channel"], LAG_BOUNDS, "Time from when a delivery was due to its first attempt."),
    // The stores of files.
    seconds("storage_operation_duration_seconds", &["storage", "operation", "error_type"], STORAGE_BOUNDS, "Time of one call to a store of files, repetitions included; error_type is empty when it succeeded."),
    counter("storage_operation_errors_total", &["storage", "error_type"], "Calls to a store of files that failed, by what went wrong; not_found can be no fault."),
    counter("storage_fallback_reads_total", &["storage"], "Reads of files that were still in the store of CONVOKE_STORAGE_FALLBACK_URL; storage is its kind. When it stands still after `convoke files migrate`, that setting can go."),
    Instrument { unit: "bytes", ..counter("storage_transferred_bytes_total", &["storage", "direction"], "Bytes read from and written to a store of files.") },
    counter("file_uploads_total", &["file", "outcome"], "Uploads that ended; the outcome is stored, client_gone, or the code of the problem that was answered."),
    counter("file_downloads_total", &["file", "outcome"], "Downloads that began: whole, partial, redirected to the store, or unchanged since the client's copy."),
    counter("file_collections_deleted_total", &["reason"], "Files deleted from the store because nothing refers to them: deleted, unknown to the database, or never finished."),
    gauge("file_collection_age_seconds", "seconds", &[], "Time since files that nothing refers to were last collected, by whichever replica; 0 before the first time."),
    // What protects and speeds up.
    counter("rate_limit_decisions_total", &["policy", "outcome"], "Decisions of the rate limiter."),
    gauge("rate_limit_tracked_keys", "", &["policy"], "Clients that the rate limiter remembers."),
    counter("cache_requests_total", &["cache", "outcome"], "Cache look-ups, by outcome: hit in this process, shared_hit in Redis, miss (the database was asked)."),
    gauge("cache_entries", "", &["cache"], "Entries in a cache of this process, some of them outdated."),
    counter("cache_invalidations_total", &["source", "outcome"], "Changes that made cached entries doubtful, by who made or told of them (process, channel) and what they made doubtful (entry, everything, unreadable: everything, for a later version's word)."),
    gauge("cache_channel_state", "", &["state"], "1 for the state of the channel that tells of changes on other replicas: heard, lost (entries serve a second), or off (not listening, as set up)."),
    seconds("cache_channel_lag_seconds", &[], CHANNEL_BOUNDS, "Time a word of the channel took to come back from the database."),
    gauge("cache_shared_breaker_state", "", &["state"], "1 for the state of the breaker before Redis: closed (in use), open, half_open (being tried), or off (none is set up)."),
    seconds("cache_shared_operation_duration_seconds", &["operation", "error_type"], DATABASE_BOUNDS, "Time of an operation of Redis; error_type is empty when it succeeded."),
    counter("auth_attempts_total", &["method", "outcome"], "Attempts to authenticate."),
    counter("secret_key_uses_total", &["purpose", "key"], "Access tokens verified and kept answers opened, by the key that was good: the current one, or one of secret_key_previous."),
    counter("idempotency_requests_total", &["outcome"], "Requests with an idempotency key, by what was found under it."),
    // What the product does.
    counter("events_written_total", &["operation"], "Events created, updated, cancelled and deleted."),
    counter("participant_status_changes_total", &["status"], "Answers of participants, by their new status."),
    counter("participant_admission_changes_total", &["admission"], "Changes of a participant's place, by the new one."),
    counter("participants_invited_total", &[], "Participants invited."),
    counter("users_registered_total", &[], "Users registered."),
    counter("api_keys_created_total", &[], "API keys created."),
    counter("notifications_created_total", &["kind"], "Notifications written to the outbox."),
    // Backups, whoever made them: read from the database.
    gauge("backup_last_success_timestamp_seconds", "seconds", &[], "When the last good backup was begun, since the Unix epoch; 0 when there is none."),
    gauge("backup_duration_seconds", "seconds", &[], "Time the last good backup took."),
    gauge("backup_size_bytes", "bytes", &[], "Size of the last good backup."),
    counter("backup_failures_total", &[], "Backups that failed, by whichever process they were tried."),
    gauge("backup_last_verified_timestamp_seconds", "seconds", &[], "When a backup was last restored for a trial and found whole, since the Unix epoch; 0 for never."),
    counter("backup_verification_failures_total", &[], "Backups that were found damaged when they were restored for a trial."),
    gauge("backup_expected_interval_seconds", "seconds", &["task"], "Time within which a backup is to be made, or one is to be restored for a trial (backup or trial); 0 when none is asked for."),
    // The program and what it stands on.
    gauge("readiness_check_status", "", &["check"], "1 when the check passed at its last run, 0 when it failed; run every 5 s and by each probe of /readyz."),
    gauge("system_filesystem_available_bytes", "bytes", &["volume"], "Room left for the service's user on the file system of a folder (data)."),
    gauge("system_filesystem_size_bytes", "bytes", &["volume"], "Size of the file system of a folder (data)."),
    gauge("system_clock_time_seconds", "seconds", &[], "The machine's clock at this exposition, since the Unix epoch; compare it with the time of the scrape."),
    counter("panics_total", &[], "Panics caught or fatal; each is a defect."),
    gauge("build_info", "", &["version", "revision"], "Always 1; the labels tell the build."),
    gauge("config_info", "", &["deployment_environment_name", "db_system_name", "rate_limit"], "Always 1; the labels tell how the service was set up."),
    // The telemetry itself.
    counter("telemetry_spans_total", &["outcome"], "Spans finished, by what became of them (exported, failed or dropped)."),
    counter("telemetry_log_lines_dropped_total", &[], "Log lines lost to a slow or broken standard output."),
    gauge("telemetry_series", "", &[], "Series in this exposition."),
    gauge("telemetry_scrape_duration_seconds", "seconds", &[], "Time the previous exposition took to render."),
    // The runtime.
    gauge("tokio_runtime_workers", "", &[], "Worker threads."),
    gauge("tokio_runtime_alive_tasks", "", &[], "Tasks that have not ended."),
    gauge("tokio_runtime_global_queue_depth", "", &[], "Tasks waiting in the global queue."),
    Instrument { unit: "seconds", ..counter("tokio_runtime_worker_busy_seconds_total", &[], "Time that all workers together were busy.") },
    seconds("tokio_runtime_scheduling_delay_seconds", &[], SCHEDULING_BOUNDS, "How much later than asked a timer's task ran."),
    // The process, under the names that every Prometheus client uses.
    Instrument { unit: "seconds", ..counter("process_cpu_seconds_total", &[], "Total user and system CPU time spent in seconds.") },
    gauge("process_open_fds", "", &[], "Number of open file descriptors."),
    gauge("process_max_fds", "", &[], "Maximum number of open file descriptors."),
    gauge("process_virtual_memory_bytes", "bytes", &[], "Virtual memory size in bytes."),
    gauge("process_virtual_memory_max_bytes", "bytes", &[], "Maximum amount of virtual memory available in bytes."),
    gauge("process_resident_memory_bytes", "bytes", &[], "Resident memory size in bytes."),
    gauge("process_memory_limit_bytes", "bytes", &[], "Memory this process may use: the smallest limit of its control groups, else the machine's memory."),
    gauge("process_start_time_seconds", "seconds", &[], "Start time of the process since unix epoch in seconds."),
    gauge("process_threads", "", &[], "Number of OS threads in the process."),
];

/// Finds a metric by its name.
pub fn find(name: &str) -> Option<&'static Instrument> {
    INSTRUMENTS
        .iter()
        .find(|instrument| instrument.name == name)
}

#[cfg(test)]
#[path = "instruments/tests.rs"]
mod tests;
