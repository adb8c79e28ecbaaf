//! Amounts with a unit: sizes in bytes, and rates.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::value::{Value, split_unit};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(usize);

impl ByteSize {
    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl Value for ByteSize {
    const KIND: &'static str = "size";

    fn accepts() -> String {
        "a whole number of bytes, or with the unit KiB, MiB or GiB, such as 1MiB".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (count, unit) = split_unit(text);
        let count = usize::parse(count).map_err(|_| "is not a size".to_owned())?;
        let factor: usize = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err("has an unknown unit".to_owned()),
        };
        count
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| "is too large".to_owned())
    }

    fn within(&self, min: &Self, max: &Self) -> bool {
        (min..=max).contains(&self)
    }
}

/// How often something may happen: `count` times in each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many times.
    pub count: NonZeroU32,
    /// In how much time; one second to one day.
    pub period: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.count, self.period.as_secs())
    }
}

impl Value for Rate {
    const KIND: &'static str = "rate";

    fn accepts() -> String {
        "COUNT/DURATION, such as 600/60s, with a count from 1 to 1000000 and a duration from 1s to 1d"
            .to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        const DAY: Duration = Duration::from_hours(24);
        let (count, period) = text
            .split_once('/')
            .ok_or_else(|| "is not COUNT/DURATION".to_owned())?;
        let count = u32::parse(count.trim())
            .ok()
            .filter(|count| *count <= 1_000_000)
            .and_then(NonZeroU32::new)
            .ok_or_else(|| "has a count that is not a number from 1 to 1000000".to_owned())?;
        let period = Duration::parse(period.trim())
            .map_err(|problem| format!("has a duration that {problem}"))?;
        // Whole seconds, because the RateLimit header fields have no smaller unit.
        if period < Duration::from_secs(1) || period > DAY || period.subsec_nanos() != 0 {
            return Err("has a duration that is not whole seconds from 1s to 1d".to_owned());
        }
        Ok(Self { count, period })
    }
}
