//! Metrics of the database client: operations by name, retries and the pool.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::family::{Family, OTHER};

static OPERATIONS: Family<Histogram, 3> = Family::new("db_client_operation_duration_seconds");
static RETRIES: Family<Counter, 2> = Family::new("db_client_operation_retries_total");
static CONNECTIONS: Family<Gauge, 2> = Family::new("db_client_connection_count");
static CONNECTIONS_MAX: Family<Gauge, 1> = Family::new("db_client_connection_max");
static PENDING: Family<Gauge, 1> = Family::new("db_client_connection_pending_requests");
static WAITS: Family<Histogram, 1> = Family::new("db_client_connection_wait_time_seconds");
static TIMEOUTS: Family<Counter, 1> = Family::new("db_client_connection_timeouts_total");

/// Makes the series of every named operation, every reason to retry, and the pools exist.
pub fn prime(
    system: &'static str,
    summaries: impl IntoIterator<Item = &'static str>,
    retry_reasons: impl IntoIterator<Item = &'static str>,
    pools: impl IntoIterator<Item = &'static str>,
) {
    for summary in summaries {
        OPERATIONS.prime([system, summary, ""]);
    }
    for reason in retry_reasons {
        RETRIES.prime([system, reason]);
    }
    for pool in pools {
        CONNECTIONS.prime([pool, "idle"]);
        CONNECTIONS.prime([pool, "used"]);
        CONNECTIONS_MAX.prime([pool]);
        PENDING.prime([pool]);
        WAITS.prime([pool]);
        TIMEOUTS.prime([pool]);
    }
}

/// Records a named operation; `error_type` is a value of [`error_type`], or `None` when it succeeded.
pub fn operation(
    system: &'static str,
    summary: &'static str,
    error_type: Option<&'static str>,
    duration: Duration,
) {
    OPERATIONS.with([system, summary, error_type.unwrap_or_default()], |one| {
        one.record(duration.as_secs_f64());
    });
}

/// Counts an operation that is tried again.
pub fn retried(system: &'static str, reason: &'static str) {
    RETRIES.with([system, reason], |one| one.increment(1));
}

/// Sets the state of a pool.
pub fn pool(name: &'static str, idle: u32, used: u32, max: u32) {
    CONNECTIONS.with([name, "idle"], |one| one.set(idle));
    CONNECTIONS.with([name, "used"], |one| one.set(used));
    CONNECTIONS_MAX.with([name], |one| one.set(max));
}

/// Counts an operation as waiting for a connection until the answer is dropped, whatever ends the wait.
pub fn waiting(pool: &'static str) -> Waiting {
    let pending = PENDING.get([pool]);
    pending.increment(1.0);
    Waiting(pending)
}

/// An operation that waits for a connection.
#[derive(Debug)]
#[must_use = "it counts as waiting for as long as this lives"]
pub struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Records how long an operation waited for its connection.
pub fn waited(pool: &'static str, duration: Duration) {
    WAITS.with([pool], |one| one.record(duration.as_secs_f64()));
}

/// Counts a wait for a connection that was given up.
pub fn wait_timed_out(pool: &'static str) {
    TIMEOUTS.with([pool], |one| one.increment(1));
}

/// The bounded `error_type` of an engine's error code: a known SQLSTATE, the head of a known class
/// (PostgreSQL manual, appendix A), the name of a known SQLite result code, else `_OTHER`.
pub fn error_type(system: &str, code: &str) -> &'static str {
    if system == "sqlite" {
        sqlite_name(code)
    } else {
        sqlstate(code)
    }
}

fn sqlstate(code: &str) -> &'static str {
    const KNOWN: &[&str] = &[
        "08000", "08001", "08003", "08004", "08006", "22001", "22003", "22007", "22008", "22P02",
        "23502", "23503", "23505", "23514", "23P01", "25006", "25P02", "40001", "40P01", "42501",
        "42601", "42703", "42804", "42P01", "53100", "53200", "53300", "55P03", "57014", "57P01",
        "57P02", "57P03", "58030",
    ];
    const CLASSES: &[&str] = &[
        "0A000", "22000", "23000", "25000", "28000", "40000", "42000", "53000", "54000", "55000",
        "57000", "58000", "XX000",
    ];
    let known = KNOWN.iter().chain(CLASSES).find(|known| **known == code);
    let class = || {
        let class = code.get(..2).filter(|_| code.len() == 5)?;
        let heads = CLASSES.iter().chain(&["08000"]);
        heads.into_iter().find(|head| head.starts_with(class))
    };
    known.or_else(class).copied().unwrap_or(OTHER)
}

/// The numbers are extended result codes (SQLite documentation, "Result and Error Codes").
fn sqlite_name(code: &str) -> &'static str {
    let Ok(number) = code.parse::<u32>() else {
        return OTHER;
    };
    match number {
        275 => "SQLITE_CONSTRAINT_CHECK",
        787 => "SQLITE_CONSTRAINT_FOREIGNKEY",
        1299 => "SQLITE_CONSTRAINT_NOTNULL",
        1555 => "SQLITE_CONSTRAINT_PRIMARYKEY",
        2067 => "SQLITE_CONSTRAINT_UNIQUE",
        517 => "SQLITE_BUSY_SNAPSHOT",
        // The low byte is the primary code.
        _ => match number & 0xff {
            1 => "SQLITE_ERROR",
            5 => "SQLITE_BUSY",
            6 => "SQLITE_LOCKED",
            8 => "SQLITE_READONLY",
            9 => "SQLITE_INTERRUPT",
            10 => "SQLITE_IOERR",
            11 => "SQLITE_CORRUPT",
            13 => "SQLITE_FULL",
            14 => "SQLITE_CANTOPEN",
            19 => "SQLITE_CONSTRAINT",
            20 => "SQLITE_MISMATCH",
            26 => "SQLITE_NOTADB",
            _ => OTHER,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_types_are_bounded() {
        for (system, code, wanted) in [
            ("postgresql", "23505", "23505"),
            ("postgresql", "23001", "23000"),
            ("postgresql", "08P01", "08000"),
            ("postgresql", "ZZ999", "_OTHER"),
            ("postgresql", "23", "_OTHER"),
            ("postgresql", "", "_OTHER"),
            ("sqlite", "2067", "SQLITE_CONSTRAINT_UNIQUE"),
            ("sqlite", "773", "SQLITE_BUSY"),
            ("sqlite", "words", "_OTHER"),
        ] {
            assert_eq!(error_type(system, code), wanted, "{code}");
        }
    }
}
