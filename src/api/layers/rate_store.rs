//! A bounded memory of who has asked how often, for governor.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use governor::{nanos::Nanos, state::StateStore};

/// Locks, so that callers with different keys seldom meet.
const SHARDS: usize = 32;

/// The state of each key: the instant from which its quota is whole again. When a shard is full, the key whose instant is the
/// earliest makes room: it has the least to lose, and a flood of new keys displaces one another before it displaces anybody who
/// is really limited. (governor's own map grows with every key that comes.)
#[derive(Debug)]
pub(super) struct BoundedStore<K>(Arc<Shards<K>>);

impl<K> Clone for BoundedStore<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shards<K> {
    all: Vec<Mutex<HashMap<K, Nanos>>>,
    per_shard: usize,
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone> BoundedStore<K> {
    pub(super) fn new(max_keys: usize) -> Self {
        Self(Arc::new(Shards {
            all: (0..SHARDS).map(|_| Mutex::default()).collect(),
            per_shard: max_keys.div_ceil(SHARDS).max(1),
            hasher: RandomState::new(),
        }))
    }

    pub(super) fn len(&self) -> usize {
        self.0
            .all
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }
}

impl<K: Hash + Eq + Clone> StateStore for BoundedStore<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = usize::try_from(self.0.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        let mut shard = self.0.all[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = shard.get(key).copied();
        let (decision, state) = decide(known)?;
        if known.is_none() && shard.len() >= self.0.per_shard {
            let earliest = shard
                .iter()
                .min_by_key(|(_, whole)| **whole)
                .map(|(key, _)| key.clone());
            if let Some(earliest) = earliest {
                shard.remove(&earliest);
            }
        }
        shard.insert(key.clone(), state);
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_the_most_limited() {
        let store = BoundedStore::new(64);
        let put = |key: u32, nanos: u64| {
            store
                .measure_and_replace(&key, |_| Ok::<_, ()>(((), Nanos::from(nanos))))
                .unwrap();
        };
        put(0, u64::MAX);
        for key in 1..10_000 {
            put(key, u64::from(key));
        }
        assert!(store.len() <= 64, "{}", store.len());
        let kept = store
            .measure_and_replace(&0, Err::<((), Nanos), _>)
            .unwrap_err();
        assert_eq!(kept, Some(Nanos::from(u64::MAX)));
    }
}
