//! The outbox dispatcher of the inbox: delivers what is due, and sees to what fails.
//!
//! It has no beat. It works when a commit of this process woke it, or when the next delivery is due by the table; only the
//! writes and crashes of other replicas are found by looking now and then.

mod attempt;

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use self::attempt::OUTCOMES;

use self::attempt::Attempt;
use super::backoff::Bounds;
use super::outage::{Outage, is_outage};
use super::pause;
use crate::domain::change::INBOX;
use crate::store::{Delivery, Error, RetryPolicy, Store};

/// Shortest pause before looking again: for a delivery that is due but that a claim did not return.
const SHORTEST: Duration = Duration::from_millis(50);

/// Pause after a commit's call, so that those who write meanwhile share a transaction. Nobody notices so short a delay, and under
/// load it saves most of the transactions.
const GATHER: Duration = Duration::from_millis(10);

/// How deliveries are made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Deliveries claimed at once.
    pub batch: u32,
    /// Time a claim holds.
    pub lease: Duration,
    /// How long to go on trying.
    pub policy: RetryPolicy,
    /// Longest time without looking.
    pub idle: Duration,
    /// Pauses while the database fails.
    pub outage: Bounds,
}

impl Options {
    /// The usual times for looking and for outages.
    pub fn new(batch: u32, lease: Duration, policy: RetryPolicy) -> Self {
        Self {
            batch,
            lease,
            policy,
            idle: Duration::from_secs(5),
            outage: Bounds::default(),
        }
    }
}

/// What one round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Deliveries claimed.
    pub claimed: usize,
    /// Delivered.
    pub delivered: usize,
    /// Failed, to be tried again.
    pub failed: usize,
    /// Given up.
    pub dead: usize,
    /// Given back untried.
    pub released: usize,
}

impl Round {
    /// Whether more may be due at once: there were as many as fit, or some were not delivered.
    fn leaves_some(self, batch: u32) -> bool {
        self.claimed > self.delivered || self.claimed >= batch as usize
    }
}

/// What became of a write that the database's condition may have kept from happening.
enum Written<T> {
    /// It happened.
    Done(T),
    /// It was refused, and would be again.
    Refused(Error),
    /// The end of the process, or of the claim, came first.
    GivenUp,
}

/// The dispatcher.
#[derive(Debug)]
pub struct Dispatcher {
    store: Store,
    options: Options,
    outage: Outage,
    /// When deliveries were last claimed.
    looked_at: jiff::Timestamp,
    stop: CancellationToken,
}

impl Dispatcher {
    /// A dispatcher that begins nothing new once `stop` is cancelled.
    pub fn new(store: Store, options: Options, stop: CancellationToken) -> Self {
        let outage = Outage::new("dispatcher", options.outage);
        Self {
            looked_at: store.clock().now(),
            store,
            options,
            outage,
            stop,
        }
    }

    /// Delivers until it is stopped; what it has in hand is finished.
    pub async fn run(mut self) {
        while !self.stop.is_cancelled() {
            match self.round().await {
                Ok(round) if round.leaves_some(self.options.batch) => {}
                Ok(_) => self.wait().await,
                Err(failure) => {
                    let rest = self.outage.failed(&failure);
                    pause(rest, &self.stop).await;
                }
            }
        }
    }

    /// Delivers one batch.
    ///
    /// # Errors
    /// When nothing could be claimed because the database fails.
    pub async fn round(&mut self) -> Result<Round, Error> {
        self.looked_at = self.store.clock().now();
        let Some((due, found)) = Box::pin(self.store.due_to_inbox(self.options.batch)).await?
        else {
            self.outage.answered();
            return Ok(Round::default());
        };
        let attempt = Attempt::start(&self.store, &found);
        match Box::pin(attempt.within(due.deliver(&found))).await {
            Ok(new) => {
                self.outage.answered();
                attempt.delivered(&found, new);
                let claimed = found.len();
                Ok(Round {
                    claimed,
                    delivered: claimed,
                    ..Round::default()
                })
            }
            Err(failure) if is_outage(&failure) => Err(failure),
            // One of them is at fault, and the database does not say which.
            Err(_) => {
                // What comes next is not of its spans.
                drop(attempt);
                self.claimed_round().await
            }
        }
    }

    /// Claims one batch and sees to all of it.
    async fn claimed_round(&mut self) -> Result<Round, Error> {
        let Options { batch, lease, .. } = self.options;
        let claimed = Box::pin(self.store.claim_deliveries(INBOX, batch, lease)).await?;
        self.outage.answered();
        let mut round = Round {
            claimed: claimed.len(),
            ..Round::default()
        };
        if claimed.is_empty() {
            return Ok(round);
        }
        // Another may take over when the lease ends; it began a little before we were answered.
        let limit = Instant::now() + lease.mul_f64(0.9);
        let attempt = Attempt::start(&self.store, &claimed);
        match self.deliver(&claimed, &attempt, limit).await {
            Written::Done(new) => {
                attempt.delivered(&claimed, new);
                round.delivered = claimed.len();
            }
            Written::Refused(failure) if claimed.len() == 1 => {
                self.see_to_failed(&claimed, &attempt, &failure, limit, &mut round)
                    .await;
            }
            // One of them is at fault, and the database does not say which.
            Written::Refused(_) => {
                drop(attempt);
                self.one_by_one(&claimed, limit, &mut round).await;
            }
            Written::GivenUp => {}
        }
        Ok(round)
    }

    /// Tries each alone, in order. After a failure, what comes after it for the same person and event is given back, so that
    /// nobody learns of a change before the one that came first.
    async fn one_by_one(&mut self, claimed: &[Delivery], limit: Instant, round: &mut Round) {
        let mut held = std::collections::HashSet::new();
        for delivery in claimed {
            let place = (delivery.recipient_id, delivery.event_id);
            if held.contains(&place) || self.stop.is_cancelled() {
                self.release(delivery, limit, round).await;
                continue;
            }
            let one = std::slice::from_ref(delivery);
            let attempt = Attempt::start(&self.store, one);
            match self.deliver(one, &attempt, limit).await {
                Written::Done(new) => {
                    attempt.delivered(one, new);
                    round.delivered += 1;
                }
                Written::Refused(failure) => {
                    held.insert(place);
                    self.see_to_failed(one, &attempt, &failure, limit, round)
                        .await;
                }
                Written::GivenUp => return,
            }
        }
    }

    async fn deliver(
        &mut self,
        batch: &[Delivery],
        attempt: &Attempt,
        limit: Instant,
    ) -> Written<u64> {
        let store = self.store.clone();
        self.insist(limit, || {
            Box::pin(attempt.within(store.deliver_to_inbox(batch)))
        })
        .await
    }

    async fn see_to_failed(
        &mut self,
        one: &[Delivery],
        attempt: &Attempt,
        failure: &Error,
        limit: Instant,
        round: &mut Round,
    ) {
        let Some(delivery) = one.first() else { return };
        let (store, policy) = (self.store.clone(), self.options.policy);
        let text = crate::store::chain(failure);
        match self
            .insist(limit, || {
                Box::pin(store.fail_delivery(delivery, &text, &policy))
            })
            .await
        {
            Written::Done(true) => {
                attempt.dead(delivery, &text);
                round.dead += 1;
            }
            Written::Done(false) => {
                attempt.failed(delivery, &text);
                round.failed += 1;
            }
            Written::Refused(also) => attempt.stuck(delivery, &text, &also),
            Written::GivenUp => {}
        }
    }

    async fn release(&mut self, delivery: &Delivery, limit: Instant, round: &mut Round) {
        let store = self.store.clone();
        if let Written::Done(()) = self
            .insist(limit, || Box::pin(store.release_delivery(delivery)))
            .await
        {
            round.released += 1;
        }
    }

    /// Writes through an outage of the database: again and again, for as long as the claim holds. Every write of the
    /// dispatcher may be repeated, also when it is not known whether it happened.
    async fn insist<T, F>(&mut self, limit: Instant, mut write: impl FnMut() -> F) -> Written<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            match write().await {
                Ok(value) => {
                    self.outage.answered();
                    return Written::Done(value);
                }
                Err(failure) if is_outage(&failure) => {
                    let rest = self.outage.failed(&failure);
                    if Instant::now() + rest >= limit || !pause(rest, &self.stop).await {
                        return Written::GivenUp;
                    }
                }
                Err(failure) => return Written::Refused(failure),
            }
        }
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self) {
        let due = match self.store.next_delivery_due(INBOX, self.looked_at).await {
            Ok(due) => due,
            Err(failure) => Some(self.outage.failed(&failure)),
        };
        let longest = self.options.idle;
        let due = due.unwrap_or(longest).clamp(SHORTEST.min(longest), longest);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.store.outbox_woken() => {
                // A stop is seen by whoever waits next.
                let _stopped = pause(GATHER, &self.stop).await;
            }
            () = tokio::time::sleep(due) => {}
        }
    }
}
