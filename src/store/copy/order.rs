//! The order of the change log in another database.
//!
//! Where readers go by `(xid, seq)`, the numbers of another server's transactions must not be kept: they may lie above those
//! that this server will give out for years, and readers stop below the oldest that runs. What counts is the order, so `xid`
//! becomes the number of times that `seq` steps back in it: 0 throughout where `seq` alone was the order (as on SQLite), and
//! small otherwise. `seq` itself stays, and with it every cursor of an event's history.

use super::{CopyError, cell::Cell, schema::Table, side::Side};
use crate::store::engine::Engine;

/// Numbers the log's entries anew, in the order in which they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Renumber {
    last: i64,
    steps: i64,
}

impl Renumber {
    /// The `xid` of the next entry.
    pub(super) fn next(&mut self, seq: i64) -> i64 {
        self.steps += i64::from(seq < self.last);
        self.last = seq;
        self.steps
    }

    /// Does it in a row of the log; leaves those of other tables alone.
    pub(super) fn apply(&mut self, table: &Table, cells: &mut [Cell]) {
        if !table.is_change_log() {
            return;
        }
        let seq = table.position("seq").and_then(|index| cells.get(index));
        if let Some(Cell::Integer(seq)) = seq {
            let xid = self.next(*seq);
            if let Some(cell) = table.position("xid").and_then(|index| cells.get_mut(index)) {
                *cell = Cell::Integer(xid);
            }
        }
    }
}

/// Sees to it that every transaction to come stands after the whole log. A young PostgreSQL server may not have counted as
/// far: then it counts on, some microseconds a number. Returns how many were used up.
pub(super) async fn make_room(side: &mut Side) -> Result<i64, CopyError> {
    const MISSING: &str = "SELECT coalesce(max(xid), 0) + 1 - pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM changes";
    if side.engine() == Engine::Sqlite {
        return Ok(0);
    }
    let missing = side.number(MISSING).await?.unwrap_or(0);
    if missing <= 0 {
        return Ok(0);
    }
    side.run(format!(
        "DO $$ BEGIN FOR n IN 1..{missing} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
    ))
    .await?;
    match side.number(MISSING).await?.unwrap_or(0) {
        left if left > 0 => Err(CopyError::Refused(format!(
            "the target has not counted its transactions beyond the change log; {left} are missing"
        ))),
        _ => Ok(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renumbered(log: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut renumber = Renumber::default();
        log.iter()
            .map(|(_, seq)| (renumber.next(*seq), *seq))
            .collect()
    }

    #[test]
    fn a_log_in_the_order_of_its_numbers_has_no_transactions_at_all() {
        assert_eq!(
            renumbered(&[(70, 1), (70, 2), (99, 3)]),
            [(0, 1), (0, 2), (0, 3)]
        );
    }

    #[test]
    fn the_order_stays_where_transactions_overlapped() {
        let log = [(70, 1), (70, 4), (71, 2), (72, 3), (72, 6), (75, 5)];
        let found = renumbered(&log);
        assert_eq!(found, [(0, 1), (0, 4), (1, 2), (1, 3), (1, 6), (2, 5)]);
        assert!(found.is_sorted());
        assert_eq!(renumbered(&found), found, "to do it twice changes nothing");
    }
}
