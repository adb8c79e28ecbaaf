//! A checksum of a table that is the same on either engine and in whatever order the rows are read.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::cell::{Cell, Kind};
use super::json::{Numbers, canonical};

/// The rows of a table: how many, and the sum of their SHA-256 digests, lane by lane. A sum needs no order (collations differ),
/// and rows are distinct by their keys, so nothing cancels out. It finds faults; it is no defence against forgery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// Rows.
    pub rows: u64,
    lanes: [u64; 4],
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lanes
            .iter()
            .try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

impl Checksum {
    /// Adds a row, its cells in the order of the columns' names.
    pub(super) fn add<'a>(
        &mut self,
        cells: impl Iterator<Item = (Kind, &'a Cell)>,
    ) -> Result<(), serde_json::Error> {
        let mut digest = Sha256::new();
        // The length goes first, so that no two rows are the same bytes.
        let mut field = |tag: u8, bytes: &[u8]| {
            digest.update([tag]);
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        for (kind, cell) in cells {
            match (kind, cell) {
                (_, Cell::Null) => field(0, &[]),
                (_, Cell::Integer(number)) => field(1, &number.to_be_bytes()),
                (_, Cell::Bytes(bytes)) => field(2, bytes),
                (Kind::Json, Cell::Text(text)) => {
                    field(3, canonical(text, Numbers::ByValue)?.as_bytes());
                }
                (_, Cell::Text(text)) => field(4, text.as_bytes()),
            }
        }
        for (lane, bytes) in self.lanes.iter_mut().zip(digest.finalize().chunks_exact(8)) {
            let part = bytes
                .iter()
                .fold(0, |all, byte| all << 8 | u64::from(*byte));
            *lane = lane.wrapping_add(part);
        }
        self.rows += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[(Kind, Cell)]]) -> Checksum {
        let mut sum = Checksum::default();
        for row in rows {
            sum.add(row.iter().map(|(kind, cell)| (*kind, cell)))
                .unwrap();
        }
        sum
    }

    fn text(text: &str) -> (Kind, Cell) {
        (Kind::Text, Cell::Text(text.into()))
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_everything_else_does() {
        let (a, b) = ([text("a"), text("bc")], [text("ab"), text("c")]);
        assert_eq!(sum(&[&a, &b]), sum(&[&b, &a]));
        assert_ne!(sum(&[&a]), sum(&[&b]));
        assert_ne!(sum(&[&a, &a]), sum(&[&a]));
        let null = [(Kind::Text, Cell::Null), text("")];
        assert_ne!(sum(&[&null]), sum(&[&[text(""), (Kind::Text, Cell::Null)]]));
        assert_ne!(
            sum(&[&[(Kind::Bytes, Cell::Bytes(vec![97]))]]),
            sum(&[&[text("a")]])
        );
    }

    #[test]
    fn json_counts_by_what_it_says_and_text_by_its_letters() {
        let json = |text: &str| sum(&[&[(Kind::Json, Cell::Text(text.into()))]]);
        assert_eq!(json(r#"{"a":1.0,"bb":2}"#), json(r#"{"bb": 2, "a": 1}"#));
        assert_ne!(json(r#"{"a":1}"#), json(r#"{"a":2}"#));
        assert_ne!(sum(&[&[text("[1]")]]), sum(&[&[text("[ 1]")]]));
    }
}
