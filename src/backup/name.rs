//! The name of a backup: what it is, when its snapshot was taken, of which database, and which of several.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

const TIME: &str = "convoke-%Y%m%dT%H%M%SZ";
const END: &str = ".backup";
/// Hexadecimal digits that stand for the database.
const DATABASE_DIGITS: usize = 12;
/// Those that tell one backup from all others, and put those of one database within one second in their order: the microsecond,
/// then `CHANCE_BITS` by chance.
const OWN_DIGITS: usize = 8;
const CHANCE_BITS: u32 = 12;

/// `convoke-20261122T143000Z-5f0c2a91d3b7-8e41c0aa.backup`: the time in UTC, the database, and digits of its own. Names of one
/// database sort by time.
/// The first versions wrote neither of the latter two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    taken_at: Timestamp,
    ids: Option<Ids>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ids {
    database: u64,
    own: u32,
}

impl Name {
    /// A new name for a backup of this database, taken at this moment. It is not given twice.
    pub fn of(taken_at: Timestamp, database: Uuid) -> Self {
        let microsecond = taken_at.subsec_nanosecond().unsigned_abs() / 1_000;
        let [.., high, low] = Uuid::new_v4().into_bytes();
        let chance = u32::from(u16::from_be_bytes([high, low])) % (1 << CHANCE_BITS);
        Self {
            taken_at: to_the_second(taken_at),
            ids: Some(Ids {
                database: of_database(database),
                own: microsecond << CHANCE_BITS | chance,
            }),
        }
    }

    /// Reads a name; `None` for a file that is no backup of Convoke's.
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(END)?;
        let mut parts = stem.splitn(3, '-');
        let time = format!("{}-{}", parts.next()?, parts.next()?);
        let civil = jiff::civil::DateTime::strptime(TIME, time).ok()?;
        let ids = match parts.next() {
            None => None,
            Some(ids) => {
                let (database, own) = ids.split_once('-')?;
                Some(Ids {
                    database: u64::from_str_radix(database, 16).ok()?,
                    own: u32::from_str_radix(own, 16).ok()?,
                })
            }
        };
        let taken_at = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let found = Self { taken_at, ids };
        // Nothing that merely resembles one.
        (found.to_string() == name).then_some(found)
    }

    /// When the snapshot was taken, to the second.
    pub fn taken_at(self) -> Timestamp {
        self.taken_at
    }

    /// Whether both are of one database, as far as they say.
    pub fn is_of_database_of(self, other: Self) -> bool {
        let database = |name: Self| name.ids.map(|ids| ids.database);
        database(self).is_some() && database(self) == database(other)
    }
}

fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The last digits of the id, all of them made by chance.
fn of_database(id: Uuid) -> u64 {
    id.as_u64_pair().1 & ((1 << (4 * DATABASE_DIGITS)) - 1)
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = self.taken_at.to_zoned(TimeZone::UTC);
        write!(f, "{}", time.strftime(TIME))?;
        if let Some(Ids { database, own }) = self.ids {
            write!(f, "-{database:0DATABASE_DIGITS$x}-{own:0OWN_DIGITS$x}")?;
        }
        f.write_str(END)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_nothing_else_is() {
        let (one, other) = (Uuid::from_u128(0xabc), Uuid::from_u128(0xdef));
        let at: Timestamp = "2026-11-22T14:30:00.75Z".parse().unwrap();
        let name = Name::of(at, one);
        let text = name.to_string();
        assert!(
            text.starts_with("convoke-20261122T143000Z-000000000abc-"),
            "{text}"
        );
        assert_eq!(Name::parse(&text), Some(name));
        assert_ne!(Name::of(at, one), name, "another of the same moment");
        let later = Name::of("2026-11-22T14:30:00.750001Z".parse().unwrap(), one);
        assert!(later > name, "{later} is after {name}");
        assert_eq!(Name::parse(&later.to_string()), Some(later));
        assert!(Name::of(at, one).is_of_database_of(name));
        assert!(!Name::of(at, other).is_of_database_of(name));
        let old = Name::parse("convoke-20261122T143000Z.backup").unwrap();
        assert_eq!(old.to_string(), "convoke-20261122T143000Z.backup");
        assert_eq!(old.taken_at(), name.taken_at());
        assert!(!old.is_of_database_of(name) && !old.is_of_database_of(old));
        for other in [
            "convoke.db",
            "convoke-20261122T143000Z.backup#1",
            "convoke-20261122T143000Z.backup.gz",
            "convoke-20261122T143000.backup",
            "convoke-20261322T143000Z.backup",
            "convoke-2026122T143000Z.backup",
            " convoke-20261122T143000Z.backup",
            "convoke-20261122T143000Z-.backup",
            "convoke-20261122T143000Z-abc-def.backup",
            "convoke-20261122T143000Z-000000000abc.backup",
            "convoke-20261122T143000Z-000000000ABC-0000000a.backup",
            "convoke-20261122T143000Z-000000000abc-0000000a-1.backup",
            "convoke-20261122T143000Z-+00000000abc-0000000a.backup",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
