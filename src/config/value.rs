//! The types a setting can have: how each is read from text and how the reference names it.

use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::fault::quoted;

/// What stands for a secret.
pub(super) const REDACTED: &str = "[redacted]";

/// A type that a setting can have. Every source is text in the end, so there is one parser per type.
pub(super) trait Value: Sized {
    /// The type as the reference names it.
    const KIND: &'static str;
    /// Whether TOML writes it without quotes.
    const BARE: bool = false;
    /// Whether TOML writes it as an array, and empty text is an empty list.
    const LIST: bool = false;
    /// Whether it may hold a secret, so that no message shows it.
    const SECRET: bool = false;

    /// What is accepted, without the range.
    fn accepts() -> String;

    /// Reads trimmed text. The error completes "the value …" and never repeats the text itself,
    /// because it may be a secret.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value as an operator may see it; `text` is what it was read from.
    fn shown(&self, text: &str) -> String {
        if Self::SECRET { REDACTED } else { text }.to_owned()
    }

    /// Whether the value is in the range; types without an order are always.
    fn within(&self, _min: &Self, _max: &Self) -> bool {
        true
    }
}

macro_rules! whole_numbers {
    ($($number:ty),+) => { $(
        impl Value for $number {
            const KIND: &'static str = "number";
            const BARE: bool = true;

            fn accepts() -> String {
                "a whole number".to_owned()
            }

            fn parse(text: &str) -> Result<Self, String> {
                // Written without underscores or sign, as every other tool that sees it expects.
                if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err("is not a whole number".to_owned());
                }
                text.parse().map_err(|_| "is too large".to_owned())
            }

            fn within(&self, min: &Self, max: &Self) -> bool {
                (min..=max).contains(&self)
            }
        }
    )+ };
}
whole_numbers!(u32, u64, usize);

impl Value for bool {
    const KIND: &'static str = "bool";
    const BARE: bool = true;

    fn accepts() -> String {
        "true or false".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("is neither true nor false".to_owned()),
        }
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";

    fn accepts() -> String {
        "the path of a folder".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("is not a path".to_owned());
        }
        Ok(Self::from(text))
    }
}

impl Value for Duration {
    const KIND: &'static str = "duration";

    fn accepts() -> String {
        "a whole number with a unit, ms, s, m, h or d, such as 500ms, 2s or 15m".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (count, unit) = split_unit(text);
        let count = u64::parse(count).map_err(|_| "is not a duration".to_owned())?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err("has no unit".to_owned()),
            _ => return Err("has an unknown unit".to_owned()),
        };
        count
            .checked_mul(millis)
            .map(Self::from_millis)
            .ok_or_else(|| "is too long".to_owned())
    }

    fn within(&self, min: &Self, max: &Self) -> bool {
        (min..=max).contains(&self)
    }
}

/// The leading digits, and what follows them without blanks.
pub(super) fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (count, unit) = text.split_at(end);
    (count, unit.trim_start())
}

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const BARE: bool = T::BARE;
    const SECRET: bool = T::SECRET;

    fn accepts() -> String {
        T::accepts()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        T::parse(text).map(Some)
    }

    fn shown(&self, text: &str) -> String {
        self.as_ref()
            .map_or_else(String::new, |value| value.shown(text))
    }
}

impl<T: Value> Value for Vec<T> {
    const KIND: &'static str = T::KIND;
    const LIST: bool = true;
    const SECRET: bool = T::SECRET;

    fn accepts() -> String {
        format!("a list, separated by commas, of {}", T::accepts())
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut items = Self::new();
        let mut wrong = Vec::new();
        let text = text.trim();
        // One comma may end it. What is empty otherwise was meant to hold something.
        let listed = text.strip_suffix(',').unwrap_or(text);
        for part in listed
            .split(',')
            .map(str::trim)
            .filter(|_| !text.is_empty())
        {
            if part.is_empty() {
                wrong.push("has an element that is empty".to_owned());
                continue;
            }
            match T::parse(part) {
                Ok(item) => items.push(item),
                Err(problem) => wrong.push(format!("holds {}, which {problem}", quoted(part))),
            }
        }
        if wrong.is_empty() {
            return Ok(items);
        }
        Err(wrong.join(" and "))
    }

    fn shown(&self, text: &str) -> String {
        if Self::SECRET {
            vec![REDACTED; self.len()].join(",")
        } else {
            text.to_owned()
        }
    }
}

/// A filter of log lines in the syntax of `tracing_subscriber::EnvFilter`, known to be readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives, such as `info,sqlx=warn`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for LogFilter {
    const KIND: &'static str = "log filter";

    fn accepts() -> String {
        "a level (error, warn, info, debug, trace, off) or directives such as info,sqlx=debug"
            .to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        EnvFilter::try_new(text)
            .map(|_| Self(text.to_owned()))
            .map_err(|error| format!("is not a log filter: {error}"))
    }
}

macro_rules! choice {
    ($(#[$meta:meta])* $name:ident, $kind:literal { $( $(#[$variant_meta:meta])* $variant:ident = $text:literal ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[$variant_meta])* $variant ),+ }

        impl $name {
            /// The word that stands for it in the settings.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text ),+ }
            }
        }

        impl Value for $name {
            const KIND: &'static str = $kind;

            fn accepts() -> String {
                [$($text),+].join(" or ")
            }

            fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $( $text => Ok(Self::$variant), )+
                    _ => Err("is not one of them".to_owned()),
                }
            }
        }
    };
}

choice! {
    /// How much the service forgives: development makes its own secret, production refuses to.
    Environment, "development \\| production" {
        /// For a laptop: weak settings are warnings.
        Development = "development",
        /// For users: weak settings stop the start.
        Production = "production",
    }
}

choice! {
    /// How log lines are written.
    LogFormat, "json \\| pretty" {
        /// One JSON object a line.
        Json = "json",
        /// Text for people, with colours.
        Pretty = "pretty",
    }
}

choice! {
    /// When SQLite waits for the disk (`PRAGMA synchronous`). `off` is left out on purpose: it loses
    /// writes that were acknowledged.
    Synchronous, "full \\| extra \\| normal" {
        /// At every commit.
        Full = "full",
        /// At every commit, and for the folder as well.
        Extra = "extra",
        /// At checkpoints: a power cut can take the last commits.
        Normal = "normal",
    }
}
