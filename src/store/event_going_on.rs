//! What ends after an instant, in the order of its start, without being led past everything that has ever ended.
//!
//! What starts at that instant or later is one part of the list; it need not be looked at for when it ends. What has started and
//! still goes on is the other: an event of a certain length cannot have started earlier than that length ago.

use jiff::SignedDuration;

use super::{
    engine::Engine,
    event_list::{Bind, Branch, Builder, EVENTS, EventKey, EventQuery, Sort},
    event_search::{CLASSES_OF_HITS, earliest_hit},
};
use crate::domain::actor::Actor;

/// Lengths of events, in hours, up to which they are classed; see the migration `0004_lengths`.
pub(super) const LENGTHS: [i64; 6] = [1, 4, 16, 64, 256, 1024];

/// The parts of a list for what has started already.
#[derive(Default)]
pub(super) struct GoingOn {
    /// What they are joined to, each with it: on `PostgreSQL`, where many parts take longer to plan than to run.
    each: Option<String>,
    branches: Vec<Branch>,
}

impl GoingOn {
    pub(super) fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// Statements for them, each around what is selected from a branch.
    pub(super) fn selects(
        &self,
        select: impl Fn(&Branch) -> String,
    ) -> impl Iterator<Item = String> {
        let before = match &self.each {
            Some(each) => format!("SELECT b.* FROM {each} CROSS JOIN LATERAL "),
            None => "SELECT * FROM ".to_owned(),
        };
        self.branches
            .iter()
            .map(move |branch| format!("{before}{}", select(branch)))
    }
}

impl Builder {
    /// Whether what ends after an instant is looked for in parts, and not by when each event ends.
    pub(super) fn splits(&self, query: &EventQuery) -> bool {
        query.from.is_some() && query.sort == Sort::Start && !self.finds_by_words(query)
    }

    /// Limits the `branches` to what starts after the instant that is asked for, if there is one, and gives those for what has
    /// started. Hits of words hold what started a little before.
    pub(super) fn going_on(
        &mut self,
        branches: &mut [Branch],
        actor: Actor,
        query: &EventQuery,
        after: Option<EventKey>,
    ) -> GoingOn {
        let (Some(from), Sort::Start) = (query.from, query.sort) else {
            return GoingOn::default();
        };
        let by_words = query.text.as_deref().filter(|_| self.finds_by_words(query));
        let (starts, known) = match by_words {
            None => (from, 0),
            Some(_) => (earliest_hit(from), CLASSES_OF_HITS),
        };
        let at = self.bind(Bind::Time(starts));
        for (_, condition) in branches.iter_mut() {
            *condition += " AND e.start_utc >= ";
            *condition += &at;
        }
        let over = after.is_some_and(|(micros, _)| micros >= starts.as_microsecond());
        if over && !query.descending {
            return GoingOn::default();
        }
        let goes_on = match by_words {
            None => format!(" AND e.end_utc > {at}"),
            Some(text) => self.holds_words_itself(text),
        };
        let seen = self.seen(actor, query);
        let condition = format!(" AND e.start_utc < {at}{goes_on}{seen}");
        let length = self.length();
        let longest = LENGTHS.iter().map(|hours| Some(*hours)).chain([None]);
        let classes = longest.enumerate().skip(known).map(|(class, hours)| {
            let earliest =
                hours.and_then(|hours| from.checked_sub(SignedDuration::from_hours(hours)).ok());
            (class, earliest.map(|at| self.bind(Bind::Time(at))))
        });
        let classes: Vec<(usize, Option<String>)> = classes.collect();
        match self.engine {
            Engine::Postgres => {
                let row = |(class, earliest): (usize, Option<String>)| {
                    let earliest = earliest.unwrap_or("'-infinity'".into());
                    format!("({class}, {earliest}::timestamptz)")
                };
                let rows: Vec<String> = classes.into_iter().map(row).collect();
                let each = format!("(VALUES {}) c (class, earliest)", rows.join(", "));
                let of_class =
                    format!(" AND {length} = c.class AND e.start_utc >= c.earliest{condition}");
                GoingOn {
                    each: Some(each),
                    branches: vec![(EVENTS, of_class)],
                }
            }
            Engine::Sqlite => {
                let of_class = |(class, earliest): (usize, Option<String>)| {
                    let earliest = earliest.map(|at| format!(" AND e.start_utc >= {at}"));
                    let earliest = earliest.unwrap_or_default();
                    (
                        EVENTS,
                        format!(" AND {length} = {class}{earliest}{condition}"),
                    )
                };
                GoingOn {
                    each: None,
                    branches: classes.into_iter().map(of_class).collect(),
                }
            }
        }
    }

    /// The class of an event's length, as the index `events_length` has it.
    fn length(&self) -> String {
        let cases: Vec<String> = LENGTHS
            .iter()
            .enumerate()
            .map(|(class, hours)| match self.engine {
                Engine::Postgres => {
                    format!("WHEN e.end_utc - e.start_utc <= interval '{hours} hours' THEN {class}")
                }
                Engine::Sqlite => {
                    format!("WHEN e.end_utc - e.start_utc <= {hours} * 3600000000 THEN {class}")
                }
            })
            .collect();
        format!("CASE {} ELSE {} END", cases.join(" "), LENGTHS.len())
    }
}
