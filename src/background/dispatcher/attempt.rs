//! What the operators see of an attempt: a span linked to the request that caused it, metrics, and a line of the log.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tracing::Span;

use crate::domain::change::INBOX;
use crate::store::{Delivery, Error, Store, chain};
use crate::telemetry::recording::Recording;
use crate::telemetry::ring::{MAX_CAUSES, Record, Why, Work, ring};
use crate::telemetry::traces::{self, TraceParent};
use crate::telemetry::{instruments, wall_clock};

/// Every way in which an attempt ends; the `outcome` label.
pub const OUTCOMES: &[&str] = &["delivered", "failed", "dead"];

static CHANNEL: LazyLock<Arc<str>> = LazyLock::new(|| INBOX.into());

/// One attempt at one delivery, or at several in one transaction.
#[derive(Debug)]
pub(super) struct Attempt {
    started: Instant,
    recording: Arc<Recording>,
    spans: Vec<Span>,
    /// Of each, when it is the first attempt: how long it has waited.
    lags: Vec<Option<Duration>>,
}

impl Attempt {
    pub(super) fn start(store: &Store, deliveries: &[Delivery]) -> Self {
        let now = store.clock().now();
        let waited = |delivery: &Delivery| {
            Duration::try_from(now.duration_since(delivery.created_at)).unwrap_or_default()
        };
        Self {
            started: Instant::now(),
            recording: Arc::new(Recording::start()),
            spans: deliveries
                .iter()
                .map(|one| traces::consumer_span(INBOX, one.traceparent.as_deref()))
                .collect(),
            lags: deliveries
                .iter()
                .map(|one| (one.attempt == 1).then(|| waited(one)))
                .collect(),
        }
    }

    /// Runs the work inside the first span that is recorded: a transaction that several share can be in one trace only.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        let recorded = self.spans.iter().find(|span| !span.is_disabled());
        let work = traces::within(recorded.cloned().unwrap_or_else(Span::none), work);
        self.recording.run(work).await
    }

    /// All were delivered; `new` of them for the first time.
    pub(super) fn delivered(&self, deliveries: &[Delivery], new: u64) {
        let elapsed = self.started.elapsed();
        // A repeat after a lost answer makes fewer; which ones is not known, and the total is right.
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        for delivery in deliveries.iter().take(new) {
            instruments::product::notifications_created(delivery.kind.as_str(), 1);
        }
        for (delivery, (span, lag)) in deliveries.iter().zip(self.spans.iter().zip(&self.lags)) {
            observe("delivered", elapsed, *lag);
            self.in_scope(span, || {
                tracing::debug!(
                    delivery_id = delivery.id,
                    change_id = %delivery.change_id,
                    event_id = %delivery.event_id,
                    recipient_id = %delivery.recipient_id,
                    kind = delivery.kind.as_str(),
                    attempt = delivery.attempt,
                    "delivered"
                );
            });
        }
        self.keep(deliveries, "delivered", elapsed);
    }

    /// The attempt failed and there will be another.
    pub(super) fn failed(&self, delivery: &Delivery, error: &str) {
        self.ended_badly(delivery, "failed", |span| {
            // The first failure is news; those after it are in the metrics, and the last one is an error.
            if delivery.attempt == 1 {
                self.in_scope(span, || {
                    tracing::warn!(
                        delivery_id = delivery.id,
                        change_id = %delivery.change_id,
                        error,
                        "a delivery failed and will be tried again"
                    );
                });
            }
        });
    }

    /// The last attempt failed.
    pub(super) fn dead(&self, delivery: &Delivery, error: &str) {
        self.ended_badly(delivery, "dead", |span| {
            self.in_scope(span, || {
                tracing::error!(
                    delivery_id = delivery.id,
                    change_id = %delivery.change_id,
                    attempts = delivery.attempt,
                    error,
                    "a delivery was given up"
                );
            });
        });
    }

    /// The attempt failed, and the failure could not be noted: it will be tried again when its claim ends.
    pub(super) fn stuck(&self, delivery: &Delivery, error: &str, also: &Error) {
        self.ended_badly(delivery, "failed", |span| {
            self.in_scope(span, || {
                tracing::error!(
                    delivery_id = delivery.id,
                    change_id = %delivery.change_id,
                    error,
                    also = %chain(also),
                    "a delivery failed, and so did noting it"
                );
            });
        });
    }

    fn ended_badly(&self, delivery: &Delivery, outcome: &'static str, log: impl FnOnce(&Span)) {
        let elapsed = self.started.elapsed();
        observe(outcome, elapsed, self.lags.first().copied().flatten());
        let none = Span::none();
        let span = self.spans.first().unwrap_or(&none);
        traces::failed_in(span, Some(outcome));
        log(span);
        self.keep(std::slice::from_ref(delivery), outcome, elapsed);
    }

    /// Logs in the span, and in what the ops console shows of this attempt.
    fn in_scope(&self, span: &Span, log: impl FnOnce()) {
        self.recording.enter(|| traces::enter(span, log));
    }

    /// Offers the attempt to the ring of the ops console.
    fn keep(&self, deliveries: &[Delivery], outcome: &'static str, duration: Duration) {
        let parents = deliveries
            .iter()
            .filter_map(|one| one.traceparent.as_deref());
        let mut causes: Vec<u128> = parents
            .filter_map(TraceParent::parse)
            .map(|parent| u128::from_be_bytes(parent.trace_id.to_bytes()))
            .collect();
        // Those of one request come one after the other.
        causes.dedup();
        causes.truncate(MAX_CAUSES);
        causes.shrink_to_fit();
        let trace = self.spans.iter().find_map(traces::trace_of);
        let is_bad = outcome != "delivered";
        let record = Record {
            id: 0,
            why: Why::Sampled,
            began: wall_clock().saturating_sub(self.started.elapsed()),
            duration,
            work: Work::Delivery {
                channel: Arc::clone(&CHANNEL),
                outcome,
                count: deliveries.len(),
                causes,
            },
            trace: trace.unwrap_or_default(),
            exported: trace.is_some(),
            error: is_bad.then_some(outcome),
            recorded: self.recording.take(),
        };
        ring().keep_delivery(record, is_bad);
    }
}

fn observe(outcome: &'static str, elapsed: Duration, lag: Option<Duration>) {
    instruments::outbox::delivered(INBOX, outcome, elapsed);
    if let Some(lag) = lag {
        instruments::outbox::first_attempted(INBOX, lag);
    }
}
