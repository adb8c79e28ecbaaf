//! What the operators see of an attempt: a span linked to the request that caused it, metrics, and a line of the log.

use std::time::{Duration, Instant};

use tracing::{Instrument as _, Span};

use crate::domain::change::INBOX;
use crate::store::{Delivery, Error, Store, chain};
use crate::telemetry::{instruments, traces};

/// Every way in which an attempt ends; the `outcome` label.
pub const OUTCOMES: &[&str] = &["delivered", "failed", "dead"];

/// One attempt at one delivery, or at several in one transaction.
#[derive(Debug)]
pub(super) struct Attempt {
    started: Instant,
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
        work.instrument(recorded.cloned().unwrap_or_else(Span::none))
            .await
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
            span.in_scope(|| {
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
    }

    /// The attempt failed and there will be another.
    pub(super) fn failed(&self, delivery: &Delivery, error: &str) {
        self.ended_badly("failed", |span| {
            // The first failure is news; those after it are in the metrics, and the last one is an error.
            if delivery.attempt == 1 {
                span.in_scope(|| {
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
        self.ended_badly("dead", |span| {
            span.in_scope(|| {
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
        self.ended_badly("failed", |span| {
            span.in_scope(|| {
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

    fn ended_badly(&self, outcome: &'static str, log: impl FnOnce(&Span)) {
        observe(
            outcome,
            self.started.elapsed(),
            self.lags.first().copied().flatten(),
        );
        let none = Span::none();
        let span = self.spans.first().unwrap_or(&none);
        span.record("error.type", outcome);
        span.record("otel.status_code", "ERROR");
        log(span);
    }
}

fn observe(outcome: &'static str, elapsed: Duration, lag: Option<Duration>) {
    instruments::outbox::delivered(INBOX, outcome, elapsed);
    if let Some(lag) = lag {
        instruments::outbox::first_attempted(INBOX, lag);
    }
}
