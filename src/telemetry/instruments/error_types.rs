//! The bounded words for what goes wrong in the database: known, so that each has its series before it first happens.

use super::family::OTHER;

/// No connection within the time allowed.
pub const POOL_TIMEOUT: &str = "pool_timeout";
/// The connection was lost, or could not be made.
pub const IO: &str = "io";

/// What needs no code of the engine's.
const OURS: &[&str] = &[POOL_TIMEOUT, IO, OTHER];

/// SQLSTATEs that are told apart (PostgreSQL manual, appendix A).
const SQLSTATES: &[&str] = &[
    "08000", "08001", "08003", "08004", "08006", "22001", "22003", "22007", "22008", "22P02",
    "23502", "23503", "23505", "23514", "23P01", "25006", "25P02", "40001", "40P01", "42501",
    "42601", "42703", "42804", "42P01", "53100", "53200", "53300", "55P03", "57014", "57P01",
    "57P02", "57P03", "58030",
];
/// The heads of known classes, for any other SQLSTATE in them.
const CLASSES: &[&str] = &[
    "0A000", "22000", "23000", "25000", "28000", "40000", "42000", "53000", "54000", "55000",
    "57000", "58000", "XX000",
];

/// Extended result codes that are told apart (SQLite documentation, "Result and Error Codes").
const SQLITE_EXTENDED: &[(u32, &str)] = &[
    (275, "SQLITE_CONSTRAINT_CHECK"),
    (787, "SQLITE_CONSTRAINT_FOREIGNKEY"),
    (1299, "SQLITE_CONSTRAINT_NOTNULL"),
    (1555, "SQLITE_CONSTRAINT_PRIMARYKEY"),
    (2067, "SQLITE_CONSTRAINT_UNIQUE"),
    (517, "SQLITE_BUSY_SNAPSHOT"),
];
/// Primary result codes: the low byte of any other.
const SQLITE_PRIMARY: &[(u32, &str)] = &[
    (1, "SQLITE_ERROR"),
    (5, "SQLITE_BUSY"),
    (6, "SQLITE_LOCKED"),
    (8, "SQLITE_READONLY"),
    (9, "SQLITE_INTERRUPT"),
    (10, "SQLITE_IOERR"),
    (11, "SQLITE_CORRUPT"),
    (13, "SQLITE_FULL"),
    (14, "SQLITE_CANTOPEN"),
    (19, "SQLITE_CONSTRAINT"),
    (20, "SQLITE_MISMATCH"),
    (26, "SQLITE_NOTADB"),
];

/// Every `error_type` that an engine can have.
pub fn all(system: &str) -> Vec<&'static str> {
    let known: Vec<&'static str> = if system == "sqlite" {
        let codes = SQLITE_EXTENDED.iter().chain(SQLITE_PRIMARY);
        codes.map(|(_, name)| *name).collect()
    } else {
        SQLSTATES.iter().chain(CLASSES).copied().collect()
    };
    OURS.iter().copied().chain(known).collect()
}

/// The bounded `error_type` of an engine's error code: a known SQLSTATE, the head of a known class, the name of a known
/// SQLite result code, else `_OTHER`.
pub fn of_code(system: &str, code: &str) -> &'static str {
    let known = if system == "sqlite" {
        sqlite_name(code)
    } else {
        sqlstate(code)
    };
    known.unwrap_or(OTHER)
}

fn sqlstate(code: &str) -> Option<&'static str> {
    let known = SQLSTATES.iter().chain(CLASSES).find(|one| **one == code);
    let class = || {
        let class = code.get(..2).filter(|_| code.len() == 5)?;
        let heads = CLASSES.iter().chain(&["08000"]);
        heads.into_iter().find(|head| head.starts_with(class))
    };
    known.or_else(class).copied()
}

fn sqlite_name(code: &str) -> Option<&'static str> {
    let number: u32 = code.parse().ok()?;
    let named = |codes: &[(u32, &'static str)], wanted: u32| {
        let found = codes.iter().find(|(code, _)| *code == wanted);
        found.map(|(_, name)| *name)
    };
    named(SQLITE_EXTENDED, number).or_else(|| named(SQLITE_PRIMARY, number & 0xff))
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
            assert_eq!(of_code(system, code), wanted, "{code}");
            assert!(all(system).contains(&wanted), "{wanted} has its series");
        }
    }
}
