//! Which state of the accounts and keys a copy of them is of: counters that every change moves on.
//!
//! A copy is taken under the generation that was current *before* its row was read, and is looked up under the generation that
//! is current now. So one that was read before a change, and kept after it, is never found again. Subjects share counters by
//! their hashes: a change makes some others' copies be read anew, and the memory is bounded.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use uuid::Uuid;

/// Counters; a change makes one copy in so many be read anew without need.
const SHARDS: u64 = 4096;

/// What copies are kept of: the same number for it in every process. Two that share one are read anew together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject(pub(super) u64);

impl Subject {
    /// A user's standing.
    pub fn user(id: Uuid) -> Self {
        // Half of an id is time; this is the other.
        Self(id.as_u64_pair().1)
    }

    /// An API key, by its SHA-256.
    pub fn key(hash: &[u8]) -> Self {
        Self(
            hash.first_chunk()
                .map_or(0, |head| u64::from_be_bytes(*head)),
        )
    }
}

struct Shard {
    count: AtomicU64,
    /// The latest transaction that is known to have changed a subject here.
    changed_by: AtomicI64,
}

/// See the module.
pub struct Generations {
    /// Counts what made every copy doubtful at once.
    all: AtomicU64,
    shards: Vec<Shard>,
}

impl std::fmt::Debug for Generations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Generations")
    }
}

impl Default for Generations {
    fn default() -> Self {
        let shard = || Shard {
            count: AtomicU64::new(0),
            changed_by: AtomicI64::new(i64::MIN),
        };
        Self {
            all: AtomicU64::new(0),
            shards: std::iter::repeat_with(shard)
                .take(usize::try_from(SHARDS).unwrap_or(1))
                .collect(),
        }
    }
}

impl Generations {
    /// The present generation of a subject. Only that it differs from another's means something. Both counters only grow, so
    /// no sum comes back, and one that was read while they moved is below the sum that is current by then.
    pub fn current(&self, subject: Subject) -> u64 {
        let count = self.shard(subject).count.load(Ordering::SeqCst);
        count.wrapping_add(self.all.load(Ordering::SeqCst))
    }

    /// Makes every copy of a subject doubtful.
    pub fn advance(&self, subject: Subject) {
        self.shard(subject).count.fetch_add(1, Ordering::SeqCst);
    }

    /// Makes every copy doubtful.
    pub fn advance_all(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    /// As [`Self::advance`], by this transaction.
    pub fn changed(&self, subject: Subject, transaction: i64) {
        let shard = self.shard(subject);
        shard.changed_by.fetch_max(transaction, Ordering::SeqCst);
        shard.count.fetch_add(1, Ordering::SeqCst);
    }

    /// The latest transaction that is known to have changed a subject, or one that shares its counter.
    pub fn changed_by(&self, subject: Subject) -> i64 {
        self.shard(subject).changed_by.load(Ordering::SeqCst)
    }

    fn shard(&self, subject: Subject) -> &Shard {
        let place = usize::try_from(subject.0 % SHARDS).unwrap_or(0);
        &self.shards[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_moves_its_own_subject_on_and_not_all_others() {
        let generations = Generations::default();
        let users: Vec<Subject> = (0..100)
            .map(|n| Subject::user(Uuid::from_u128(n)))
            .collect();
        let before: Vec<u64> = users.iter().map(|one| generations.current(*one)).collect();
        generations.advance(users[7]);
        let moved = |before: &[u64]| {
            let now = users.iter().map(|one| generations.current(*one));
            now.zip(before)
                .filter(|(now, before)| now != *before)
                .count()
        };
        assert_ne!(generations.current(users[7]), before[7]);
        assert!(moved(&before) < 10);
        generations.advance_all();
        assert_eq!(moved(&before), users.len());
    }

    #[test]
    fn a_change_by_a_transaction_is_remembered_until_a_later_one() {
        let generations = Generations::default();
        let user = Subject::user(Uuid::from_u128(7));
        assert_eq!(generations.changed_by(user), i64::MIN);
        generations.changed(user, 9);
        generations.changed(user, 8);
        assert_eq!(generations.changed_by(user), 9);
    }
}
