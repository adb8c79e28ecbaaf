//! The name of a backup: what it is, and when its snapshot was taken, in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const FORMAT: &str = "convoke-%Y%m%dT%H%M%SZ.backup";

/// `convoke-20261122T143000Z.backup`. Names sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Timestamp);

impl Name {
    /// The name of a backup taken at this moment.
    pub fn of(taken_at: Timestamp) -> Self {
        Self(Timestamp::from_second(taken_at.as_second()).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Reads a name; `None` for a file that is no backup of Convoke's.
    pub fn parse(name: &str) -> Option<Self> {
        let civil = jiff::civil::DateTime::strptime(FORMAT, name).ok()?;
        let found = Self(civil.to_zoned(TimeZone::UTC).ok()?.timestamp());
        // Nothing that merely resembles one.
        (found.to_string() == name).then_some(found)
    }

    /// When the snapshot was taken, to the second.
    pub fn taken_at(self) -> Timestamp {
        self.0
    }

    /// The name a second later.
    pub(super) fn next(self) -> Self {
        Self(
            self.0
                .checked_add(jiff::SignedDuration::from_secs(1))
                .unwrap_or(self.0),
        )
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.to_zoned(TimeZone::UTC).strftime(FORMAT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_nothing_else_is() {
        let name = Name::of("2026-11-22T14:30:00.75Z".parse().unwrap());
        assert_eq!(name.to_string(), "convoke-20261122T143000Z.backup");
        assert_eq!(Name::parse("convoke-20261122T143000Z.backup"), Some(name));
        assert!(name.next() > name);
        for other in [
            "convoke.db",
            "convoke-20261122T143000Z.backup#1",
            "convoke-20261122T143000Z.backup.gz",
            "convoke-20261122T143000.backup",
            "convoke-20261322T143000Z.backup",
            "convoke-2026122T143000Z.backup",
            " convoke-20261122T143000Z.backup",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
