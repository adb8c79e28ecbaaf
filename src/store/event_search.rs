//! How a list finds the words that it is asked for.
//!
//! PostgreSQL decides anew for each search, by how often its words occur. SQLite would not: its index of words gives events in the
//! order of their numbers in it, whatever they are. So the numbers are made from the start (migration `0006`), and a list by start
//! looks at as many hits as it shows, however many there are.

use jiff::{SignedDuration, Timestamp};

use super::{
    engine::Engine,
    event_going_on::LENGTHS,
    event_list::{Bind, Builder, EventKey, EventQuery, Sort},
};
use crate::domain::words::query_words;

/// An event's number in SQLite's index of words: its start in units of 2^26 µs, a little more than a minute, times 2^30; and the
/// number of its row.
const START_BITS: u32 = 26;
const ROW_BITS: u32 = 30;
const ROW_MASK: i64 = (1 << ROW_BITS) - 1;

/// Events `e` out of SQLite's index of words `s`; with `ROW_MASK`.
pub(super) const HITS: &str =
    "events_search s CROSS JOIN events e ON e.row_id = s.rowid & 1073741823";
const NOTHING: &str = " AND 1 = 0";

/// Events of these classes of length that go on at an instant are found among the hits that start before it. Longer ones are
/// few, and found by their length.
pub(super) const CLASSES_OF_HITS: usize = 4;

/// When the earliest of those hits starts.
pub(super) fn earliest_hit(from: Timestamp) -> Timestamp {
    let length = SignedDuration::from_hours(LENGTHS[CLASSES_OF_HITS - 1]);
    from.checked_sub(length).unwrap_or(Timestamp::MIN)
}

/// The numbers of events that start in the same unit as this instant, the least and the greatest.
fn numbers(start: Timestamp) -> (i64, i64) {
    let least = start.as_microsecond() >> START_BITS << ROW_BITS;
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

    /// What must be true of [`HITS`] besides the `conditions` on events. In a list by start they are no more than its first
    /// `limit`, and those that start within the same unit as the last of these.
    pub(super) fn hits(
        &mut self,
        text: &str,
        conditions: &str,
        query: &EventQuery,
        after: Option<EventKey>,
        limit: i64,
    ) -> String {
        let Some(bound) = self.match_text(text) else {
            return NOTHING.into();
        };
        let hits = format!(" AND s.words MATCH {bound}");
        if query.sort != Sort::Start {
            return hits;
        }
        let after = after.map(|(micros, _)| instant(micros));
        let (above, below) = if query.descending {
            (None, after)
        } else {
            (after, None)
        };
        // One bound each: of two, the index would heed the first.
        let least = query.from.map(earliest_hit).into_iter().chain(above).max();
        let most = query.to.into_iter().chain(below).min();
        let least = least.map_or(i64::MIN, |start| numbers(start).0);
        let most = most.map_or(i64::MAX, |start| numbers(start).1);
        let [least, most] = [least, most].map(|number| self.bind(Bind::Number(number)));
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
            (format!("COALESCE({enough}, {least})"), most)
        } else {
            (least, format!("COALESCE({enough}, {most})"))
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
        let starts = [
            Timestamp::MIN,
            at(-1),
            at(0),
            at(1 << START_BITS),
            Timestamp::MAX,
        ];
        let all: Vec<(i64, i64)> = starts.into_iter().map(numbers).collect();
        assert!(all.is_sorted_by(|one, next| one.1 < next.0), "{all:?}");
        assert_eq!(all[1].1, -1);
        assert_eq!(all[2], (0, ROW_MASK));
        assert_eq!(numbers(at((1 << START_BITS) - 1)), all[2]);
        for (least, most) in all {
            assert_eq!((least & ROW_MASK, most & ROW_MASK), (0, ROW_MASK));
        }
        assert!(HITS.ends_with(&format!("& {ROW_MASK}")));
    }
}
