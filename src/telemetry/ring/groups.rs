//! Records by group: so many groups, so many of each, and so often.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Record;

/// Method, route or channel, and error: all of them bounded words.
pub(super) type Key = (&'static str, Arc<str>, &'static str);

#[derive(Debug)]
struct Group {
    fed: Instant,
    records: VecDeque<Arc<Record>>,
}

#[derive(Debug)]
pub(super) struct Groups {
    by_key: HashMap<Key, Group>,
    most: usize,
    of_each: usize,
    every: Duration,
}

impl Groups {
    /// Takes one record a group at most `every` so often: a flood must not cost what it would to keep all of it.
    pub(super) fn new(most: usize, of_each: usize, every: Duration) -> Self {
        Self {
            by_key: HashMap::new(),
            most,
            of_each,
            every,
        }
    }

    pub(super) fn is_due(&self, key: &Key, now: Instant) -> bool {
        let rested = |group: &Group| now.saturating_duration_since(group.fed) >= self.every;
        match self.by_key.get(key) {
            Some(group) => rested(group),
            // It would displace a group, which must have had its time too: a flood over many keys is still a flood.
            None => self.by_key.len() < self.most || self.by_key.values().any(rested),
        }
    }

    /// Adds a record; its group's oldest makes room for it, or else the group that was fed the longest ago.
    pub(super) fn put(&mut self, key: Key, record: Arc<Record>, now: Instant) {
        if !self.by_key.contains_key(&key) && self.by_key.len() >= self.most {
            let oldest = self.by_key.iter().min_by_key(|(_, group)| group.fed);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.by_key.remove(&oldest);
            }
        }
        let group = self.by_key.entry(key).or_insert_with(|| Group {
            fed: now,
            records: VecDeque::with_capacity(self.of_each),
        });
        group.fed = now;
        if group.records.len() >= self.of_each {
            group.records.pop_front();
        }
        group.records.push_back(record);
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.by_key.values().flat_map(|group| &group.records)
    }
}
