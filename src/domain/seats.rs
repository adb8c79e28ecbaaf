//! Who has a seat and who waits: the one place that decides admission.

use super::text_enum;

text_enum! {
    /// Whether a participant has a seat.
    #[derive(Default)]
    Admission {
        /// Neither a seat nor a place in the queue.
        #[default]
        None = "none",
        /// Has a seat.
        Confirmed = "confirmed",
        /// Waits for one.
        Waitlisted = "waitlisted",
    }
}

/// What a participant holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    #[default]
    Nothing,
    /// A seat.
    Seat,
    /// This place in the queue; smaller is earlier.
    Place(i64),
}

impl Hold {
    /// What an admission and a place in the queue, as they are stored, come to.
    pub fn stored(admission: Admission, place: Option<i64>) -> Self {
        match (admission, place) {
            (Admission::Confirmed, _) => Self::Seat,
            (_, Some(place)) => Self::Place(place),
            _ => Self::Nothing,
        }
    }

    /// How it is shown.
    pub fn admission(self) -> Admission {
        match self {
            Self::Nothing => Admission::None,
            Self::Seat => Admission::Confirmed,
            Self::Place(_) => Admission::Waitlisted,
        }
    }

    /// The place in the queue, if that is what is held.
    pub fn place(self) -> Option<i64> {
        match self {
            Self::Place(place) => Some(place),
            _ => None,
        }
    }
}

/// An event's seats. Used only while the event's row is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// How many there are; `None` without limit.
    pub capacity: Option<i64>,
    /// How many are held.
    pub taken: i64,
    /// Whether people may wait.
    pub waitlist_enabled: bool,
    /// The place that the next to wait is given.
    pub next_place: i64,
}

/// There is no seat and no queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Seats {
    /// How many are free; `None` without limit.
    pub fn free(&self) -> Option<i64> {
        self.capacity.map(|capacity| (capacity - self.taken).max(0))
    }

    /// What somebody holds after asking for a seat: what they held, else a seat, else a place in the queue.
    ///
    /// # Errors
    /// [`Full`] when there is neither.
    pub fn ask(&mut self, held: Hold) -> Result<Hold, Full> {
        if held != Hold::Nothing {
            return Ok(held);
        }
        if self.free() != Some(0) {
            self.taken += 1;
            return Ok(Hold::Seat);
        }
        if !self.waitlist_enabled {
            return Err(Full);
        }
        let place = self.next_place;
        self.next_place += 1;
        Ok(Hold::Place(place))
    }

    /// Gives back what was held.
    pub fn release(&mut self, held: Hold) {
        if held == Hold::Seat {
            self.taken -= 1;
        }
    }

    /// Gives seats to those who wait, `waiting` being how many are next in the queue; returns how many get one.
    pub fn promote(&mut self, waiting: i64) -> i64 {
        let promoted = self.free().map_or(waiting, |free| free.min(waiting));
        self.taken += promoted;
        promoted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(capacity: i64) -> Seats {
        Seats {
            capacity: Some(capacity),
            taken: 0,
            waitlist_enabled: true,
            next_place: 1,
        }
    }

    #[test]
    fn a_seat_while_there_is_room_then_a_place_in_the_queue() {
        let mut seats = seats(1);
        assert_eq!(seats.ask(Hold::Nothing), Ok(Hold::Seat));
        assert_eq!(seats.ask(Hold::Nothing), Ok(Hold::Place(1)));
        assert_eq!(seats.ask(Hold::Nothing), Ok(Hold::Place(2)));
        assert_eq!(seats.taken, 1);
    }

    #[test]
    fn asking_twice_changes_nothing() {
        let mut seats = seats(1);
        assert_eq!(seats.ask(Hold::Seat), Ok(Hold::Seat));
        assert_eq!(seats.ask(Hold::Place(7)), Ok(Hold::Place(7)));
        assert_eq!(seats.taken, 0);
    }

    #[test]
    fn without_a_queue_a_full_event_refuses() {
        let mut seats = Seats {
            waitlist_enabled: false,
            ..seats(0)
        };
        assert_eq!(seats.ask(Hold::Nothing), Err(Full));
    }

    #[test]
    fn a_freed_seat_is_promoted_once_and_never_beyond_capacity() {
        let mut seats = Seats {
            taken: 3,
            ..seats(3)
        };
        assert_eq!(seats.promote(5), 0);
        seats.release(Hold::Seat);
        assert_eq!(seats.promote(5), 1);
        assert_eq!(seats.taken, 3);
        seats.release(Hold::Place(4));
        assert_eq!(seats.promote(5), 0);
    }

    #[test]
    fn lifting_the_limit_promotes_everybody() {
        let mut seats = Seats {
            capacity: None,
            taken: 3,
            ..seats(3)
        };
        assert_eq!(seats.promote(5), 5);
        assert_eq!(seats.taken, 8);
    }
}
