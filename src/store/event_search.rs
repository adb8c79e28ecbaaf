//! How a list finds the words that it is asked for.
//!
//! PostgreSQL decides anew for each search, by how often its words occur. SQLite would not: its index of words gives events in the
//! order of their numbers in it, whatever they are. So the numbers are made from the start (migration `0006`), and a list by start
//! looks at as many hits as it shows, however many there are.

use jiff::{SignedDuration, Timestamp};

use super::{
    engine::Engine,
    event_going_on::LENGTHS,
    event_list::{
        Bind, Branch, Builder, EventKey, EventQuery, PARTICIPATING_BY_TIMES, PRIVATE, Sort,
    },
};
use crate::domain::{actor::Actor, event::Visibility, words::query_words};

/// An event's number in SQLite's index of words: its start since the earliest of all in units of 2^27 µs, a little more than two
/// minutes, times 2^30, and the number of its row; less 2^63 for a private one.
const EPOCH: i64 = 377_705_116_800_000_000;
const START_BITS: u32 = 27;
const ROW_BITS: u32 = 30;
const ROW_MASK: i64 = (1 << ROW_BITS) - 1;

/// Events `e` out of SQLite's index of words `s`; with `ROW_MASK`.
const HITS: &str = "events_search s CROSS JOIN events e ON e.row_id = s.rowid & 1073741823";
const NOTHING: &str = " AND 1 = 0";
/// One organizer's events: an index has who may see them, so that of the public ones only that is read.
const ORGANIZED: &str = "events e INDEXED BY events_organizer_created";
/// Events of one organizer that are looked at one by one; beyond, the index of words knows better.
const FEW: i64 = 1000;

/// Events of these classes of length that go on at an instant are found among the hits that start before it. Longer ones are
/// few, and found by their length.
pub(super) const CLASSES_OF_HITS: usize = 4;

/// When the earliest of those hits starts.
pub(super) fn earliest_hit(from: Timestamp) -> Timestamp {
    let length = SignedDuration::from_hours(LENGTHS[CLASSES_OF_HITS - 1]);
    from.checked_sub(length).unwrap_or(Timestamp::MIN)
}

/// The numbers that events of a visibility can have.
fn all_numbers(visibility: Visibility) -> (i64, i64) {
    match visibility {
        Visibility::Public => (0, i64::MAX),
        Visibility::Private => (i64::MIN, -1),
    }
}

/// Those of them that start in the same unit as an instant, the least and the greatest.
fn numbers(visibility: Visibility, start: Timestamp) -> (i64, i64) {
    let units = (start.as_microsecond() + EPOCH) >> START_BITS;
    let least = all_numbers(visibility).0 + (units << ROW_BITS);
    (least, least | ROW_MASK)
}

impl Builder {
    /// The words as the engine's index takes them; `None` if there is none.
    fn match_text(&mut self, text: &str) -> Option<String> {
        let words = query_words(text);
        let (each, join): (fn(&String) -> String, _) = match self.engine {
            Engine::Postgres => (|word| format!("'{word}':*"), " & "),
            Engine::Sqlite => (|word| format!("\"{word}\"*"), " "),
        };
        let all: Vec<String> = words.iter().map(each).collect();
        (!all.is_empty()).then(|| self.bind(Bind::Text(all.join(join))))
    }

    /// A condition for events that are found by something else.
    pub(super) fn holds_words(&mut self, text: &str) -> String {
        let Some(bound) = self.match_text(text) else {
            return NOTHING.into();
        };
        match self.engine {
            Engine::Postgres => format!(" AND e.search @@ CAST({bound} AS tsquery)"),
            Engine::Sqlite => format!(
                " AND e.row_id IN (SELECT rowid & {ROW_MASK} FROM events_search WHERE events_search MATCH {bound})"
            ),
        }
    }

    /// The same on SQLite for a few events: what is looked at are their own words, and not where else the words are.
    pub(super) fn holds_words_itself(&mut self, text: &str) -> String {
        let words = query_words(text);
        if words.is_empty() {
            return NOTHING.into();
        }
        let bound = self.bind(Bind::Text(serde_json::json!(words).to_string()));
        format!(
            " AND NOT EXISTS (SELECT 1 FROM json_each({bound}) w WHERE instr(' ' || e.search_words, ' ' || w.value) = 0)"
        )
    }

    /// Whether events come out of the index of words, in its order.
    pub(super) fn finds_by_words(&self, query: &EventQuery) -> bool {
        self.engine == Engine::Sqlite
            && query.text.is_some()
            && !query.participating
            && query.organizer_id.is_none()
    }

    /// Where visible events with these words come from, then: hits of a visibility that the caller may see; and what is private
    /// and the caller's. Where they organise few events these are looked at one by one, for all others may hold the words; where
    /// many, the private hits are, for all of these may be the caller's.
    pub(super) fn branches_of_words(
        &mut self,
        text: &str,
        conditions: &str,
        actor: Actor,
        query: &EventQuery,
        page: (Option<EventKey>, i64),
    ) -> Vec<Branch> {
        let mut branches = Vec::new();
        let mut hits_of = |builder: &mut Self, visibility, more: &str, unless: Option<&str>| {
            if query.visibility.is_none_or(|asked| asked == visibility) {
                let conditions = format!("{conditions}{more}");
                let hits = builder.hits((text, visibility), &conditions, unless, query, page);
                branches.push((HITS, hits + more));
            }
        };
        hits_of(self, Visibility::Public, "", None);
        if actor.is_admin() {
            hits_of(self, Visibility::Private, "", None);
            return branches;
        }
        let me = self.bind(Bind::Id(actor.user_id));
        let few = format!(
            "(SELECT COUNT(*) FROM (SELECT 1 FROM events o WHERE o.organizer_id = {me} AND o.deleted_at IS NULL LIMIT {FEW})) < {FEW}"
        );
        let mine = format!(" AND e.organizer_id = {me}");
        hits_of(self, Visibility::Private, &mine, Some(&few));
        if query.visibility == Some(Visibility::Public) {
            return branches;
        }
        let words = self.holds_words_itself(text);
        branches.extend([
            (
                PARTICIPATING_BY_TIMES,
                format!("{PRIVATE} AND p.user_id = {me}{words}"),
            ),
            // Nobody, when they are many: a condition beside it would be asked of each.
            (
                ORGANIZED,
                format!("{PRIVATE} AND e.organizer_id = CASE WHEN {few} THEN {me} END{words}"),
            ),
        ]);
        branches
    }

    /// What must be true of [`HITS`] of one visibility besides the `conditions` on events. In a list by start they are no more than
    /// its first `limit`, and those that start within the same unit as the last of these. Where `unless` is true there are none; the
    /// bounds say so, for a condition would be looked at for each hit.
    fn hits(
        &mut self,
        (text, visibility): (&str, Visibility),
        conditions: &str,
        unless: Option<&str>,
        query: &EventQuery,
        (after, limit): (Option<EventKey>, i64),
    ) -> String {
        let Some(bound) = self.match_text(text) else {
            return NOTHING.into();
        };
        let hits = format!(" AND s.words MATCH {bound}");
        // One bound on each side: of two, the index would heed the first.
        let (mut least, mut most) = all_numbers(visibility);
        if query.sort == Sort::Start {
            let after = after.map(|(micros, _)| instant(micros));
            let (above, below) = if query.descending {
                (None, after)
            } else {
                (after, None)
            };
            let starts = query.from.map(earliest_hit).into_iter().chain(above);
            least = starts.max().map_or(least, |at| numbers(visibility, at).0);
            let starts = query.to.into_iter().chain(below);
            most = starts.min().map_or(most, |at| numbers(visibility, at).1);
        }
        let [least, most] = [least, most].map(|number| self.bind(Bind::Number(number)));
        let bound = |bound: String, nothing: i64| match unless {
            Some(condition) => format!("CASE WHEN {condition} THEN {nothing} ELSE {bound} END"),
            None => bound,
        };
        if query.sort != Sort::Start {
            let most = bound(most, i64::MIN);
            return format!("{hits} AND s.rowid >= {least} AND s.rowid <= {most}");
        }
        let (direction, end) = if query.descending {
            (" DESC", format!("s.rowid & {}", !ROW_MASK))
        } else {
            ("", format!("s.rowid | {ROW_MASK}"))
        };
        let enough = format!(
            "(SELECT {end} FROM {HITS} WHERE {conditions}{hits} AND s.rowid >= {least} AND s.rowid <= {most} \
             ORDER BY s.rowid{direction} LIMIT 1 OFFSET {})",
            limit - 1
        );
        let (least, most) = if query.descending {
            let least = bound(format!("COALESCE({enough}, {least})"), i64::MAX);
            (least, most)
        } else {
            let most = bound(format!("COALESCE({enough}, {most})"), i64::MIN);
            (least, most)
        };
        format!("{hits} AND s.rowid >= {least} AND s.rowid <= {most}")
    }
}

/// A key's instant; it may be anybody's.
pub(super) fn instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_the_order_of_starts_and_hold_those_of_rows() {
        let at = |micros| Timestamp::from_microsecond(micros).unwrap();
        let unit = 1 << START_BITS;
        // The beginning of a unit.
        let new = (EPOCH >> START_BITS << START_BITS) - EPOCH;
        let starts = [
            Timestamp::MIN,
            at(new),
            at(new + unit),
            at(new + 2 * unit),
            Timestamp::MAX,
        ];
        for visibility in [Visibility::Public, Visibility::Private] {
            let all = starts.map(|start| numbers(visibility, start));
            assert!(all.is_sorted_by(|one, next| one.1 < next.0), "{all:?}");
            assert_eq!(numbers(visibility, at(new + unit - 1)), all[1]);
            let (least, most) = all_numbers(visibility);
            assert!(least <= all[0].0 && all[4].1 <= most, "{all:?}");
            for (least, most) in all {
                assert_eq!((least & ROW_MASK, most & ROW_MASK), (0, ROW_MASK));
            }
        }
        assert!(HITS.ends_with(&format!("& {ROW_MASK}")));
    }
}
