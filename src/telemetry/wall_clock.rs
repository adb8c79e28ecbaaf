//! The machine's clock, for what operators read.

use std::time::{Duration, SystemTime};

/// The time since the epoch by the machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a log line or an exemplar tells when it was made, whatever the injected clock says"
)]
pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Appends a time since the epoch as RFC 3339 with microseconds, in UTC.
pub(super) fn push(out: &mut String, since_epoch: Duration) {
    let seconds = since_epoch.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let micros = u64::from(since_epoch.subsec_micros());
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    // Each number, and where its digits are.
    for (mut number, from, to) in [
        (year, 0, 4),
        (month, 5, 7),
        (day, 8, 10),
        (hour, 11, 13),
        (minute, 14, 16),
        (second, 17, 19),
        (micros, 20, 26),
    ] {
        for digit in text[from..to].iter_mut().rev() {
            *digit += u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
    }
    out.push_str(str::from_utf8(&text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_with_microseconds() {
        for (seconds, micros, wanted) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_827_696, 123_456, "2000-02-29T12:34:56.123456Z"),
            (1_709_251_199, 999_999, "2024-02-29T23:59:59.999999Z"),
            (1_735_689_600, 1, "2025-01-01T00:00:00.000001Z"),
        ] {
            let mut text = String::new();
            push(&mut text, Duration::new(seconds, micros * 1000));
            assert_eq!(text, wanted);
        }
    }
}
