//! Which backups are kept.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::name::Name;

/// How many backups are kept; with three zeros every one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest of each of so many days on which there is one, in UTC.
    pub daily: u32,
    /// The newest of each of so many weeks, from Monday on.
    pub weekly: u32,
    /// The newest of each of so many months.
    pub monthly: u32,
}

impl Keep {
    /// Whether any backup is ever deleted.
    pub fn is_limited(self) -> bool {
        self != Self::default()
    }

    /// Those to delete of the database that `made` was just made of, oldest first. Neither that one is among them nor any that is
    /// newer by its name: whatever its date says, it takes nobody's place.
    pub fn superfluous(self, names: &[Name], made: Name) -> Vec<Name> {
        if !self.is_limited() {
            return Vec::new();
        }
        let candidate = |name: &&Name| **name < made && name.is_of_database_of(made);
        let mut names: Vec<Name> = names.iter().filter(candidate).copied().collect();
        names.push(made);
        names.sort_unstable();
        let mut kept = BTreeSet::from([made]);
        let date = |name: &Name| name.taken_at().to_zoned(TimeZone::UTC).date();
        let day = |name: &Name| date(name).to_string();
        let week = |name: &Name| {
            let week = date(name).iso_week_date();
            format!("{}-{}", week.year(), week.week())
        };
        let month = |name: &Name| date(name).strftime("%Y-%m").to_string();
        newest(&names, self.daily, day, &mut kept);
        newest(&names, self.weekly, week, &mut kept);
        newest(&names, self.monthly, month, &mut kept);
        names.retain(|name| !kept.contains(name));
        names
    }
}

/// Keeps the newest of each of the last `count` periods that have one.
fn newest(names: &[Name], count: u32, period: impl Fn(&Name) -> String, kept: &mut BTreeSet<Name>) {
    let mut seen = BTreeSet::new();
    for name in names.iter().rev() {
        if seen.len() >= count as usize {
            return;
        }
        if seen.insert(period(name)) {
            kept.insert(*name);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const OURS: Uuid = Uuid::from_u128(1);

    fn name(text: &str) -> Name {
        Name::of(text.parse().unwrap(), OURS)
    }

    /// What is left when the last of them was just made.
    fn left(keep: Keep, times: &[&str]) -> Vec<String> {
        let names: Vec<Name> = times.iter().map(|one| name(one)).collect();
        let gone = keep.superfluous(&names, *names.last().unwrap());
        let kept = names.iter().filter(|one| !gone.contains(one));
        kept.map(|one| one.taken_at().to_string()).collect()
    }

    #[test]
    fn without_limits_all_are_kept() {
        let times = ["2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"];
        assert_eq!(left(Keep::default(), &times), times);
    }

    #[test]
    fn the_newest_of_each_day_week_and_month_is_kept() {
        let times = [
            "2026-09-30T03:00:00Z",
            "2026-10-31T03:00:00Z",
            "2026-11-09T03:00:00Z", // a Monday
            "2026-11-15T03:00:00Z", // the Sunday of its week
            "2026-11-20T03:00:00Z",
            "2026-11-21T03:00:00Z",
            "2026-11-22T03:00:00Z",
            "2026-11-22T15:00:00Z",
        ];
        let keep = Keep {
            daily: 2,
            weekly: 2,
            monthly: 3,
        };
        assert_eq!(
            left(keep, &times),
            [
                "2026-09-30T03:00:00Z", // the third month
                "2026-10-31T03:00:00Z", // the second
                "2026-11-15T03:00:00Z", // the second week
                "2026-11-21T03:00:00Z", // the second day
                "2026-11-22T15:00:00Z", // today, this week, this month
            ]
        );
    }

    #[test]
    fn days_without_a_backup_do_not_count() {
        let times = ["2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z"];
        let keep = Keep {
            daily: 2,
            ..Keep::default()
        };
        assert_eq!(left(keep, &times), times);
    }

    #[test]
    fn the_newest_is_never_deleted() {
        for keep in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
            let (daily, weekly, monthly) = keep;
            let keep = Keep {
                daily,
                weekly,
                monthly,
            };
            let times = ["2026-11-22T03:00:00Z", "2026-11-22T15:00:00Z"];
            assert_eq!(left(keep, &times), ["2026-11-22T15:00:00Z"]);
        }
    }

    #[test]
    fn what_is_dated_later_takes_no_place_and_is_not_deleted() {
        let keep = Keep {
            daily: 1,
            ..Keep::default()
        };
        let names = [
            "2099-01-01T00:00:00Z",
            "2026-11-21T03:00:00Z",
            "2026-11-22T03:00:00Z",
        ]
        .map(name);
        assert_eq!(keep.superfluous(&names, names[2]), [names[1]]);
        // Nor does it matter whether a list shows the new one yet.
        assert_eq!(keep.superfluous(&names[..2], names[2]), [names[1]]);
    }

    #[test]
    fn those_of_others_and_of_nobody_known_are_left_alone() {
        let keep = Keep {
            daily: 1,
            ..Keep::default()
        };
        let other = Name::of("2026-11-20T03:00:00Z".parse().unwrap(), Uuid::from_u128(2));
        let unknown = Name::parse("convoke-20261120T030000Z.backup").unwrap();
        let made = name("2026-11-22T03:00:00Z");
        assert_eq!(keep.superfluous(&[other, unknown, made], made), []);
    }
}
