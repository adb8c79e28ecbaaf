//! Decides whether a request is traced before anything is built for it.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::context::TraceParent;

/// `OTEL_TRACES_SAMPLER` and its argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Whether a caller's decision is followed.
    pub parent_based: bool,
    /// The share of traces kept where there is no decision to follow: 0 (none) to 1 (all).
    pub ratio: f64,
}

impl Sampling {
    /// Nothing is ever traced.
    pub const OFF: Self = Self {
        parent_based: false,
        ratio: 0.0,
    };

    /// Decides for a trace; `parent` is the context that came in, if one did.
    pub fn decide(&self, parent: Option<TraceParent>, trace_id: TraceId) -> bool {
        match parent {
            Some(parent) if self.parent_based => parent.sampled,
            _ => self.keeps(trace_id),
        }
    }

    /// The specification's rule for `TraceIdRatioBased`, so that services agree on a trace.
    fn keeps(&self, trace_id: TraceId) -> bool {
        if self.ratio >= 1.0 {
            return true;
        }
        let low_half = u128::from_be_bytes(trace_id.to_bytes()) & u128::from(u64::MAX);
        let drawn = low_half >> 1;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of traces needs no more than 53 bits"
        )]
        let drawn = drawn as f64 / (1_u64 << 63) as f64;
        drawn < self.ratio
    }
}

thread_local! {
    static CHOSEN: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Gives the next span built on this thread ids that were chosen, and announced, before it existed.
pub(super) fn with_ids<T>(trace_id: TraceId, span_id: SpanId, build: impl FnOnce() -> T) -> T {
    CHOSEN.set(Some((trace_id, span_id)));
    let span = build();
    CHOSEN.set(None);
    span
}

/// Random ids, save those chosen beforehand.
#[derive(Debug, Default)]
pub(super) struct ChosenIds(RandomIdGenerator);

impl IdGenerator for ChosenIds {
    fn new_trace_id(&self) -> TraceId {
        match CHOSEN.get() {
            Some((trace_id, _)) => trace_id,
            None => self.0.new_trace_id(),
        }
    }

    fn new_span_id(&self) -> SpanId {
        match CHOSEN.get() {
            Some((_, span_id)) => span_id,
            None => self.0.new_span_id(),
        }
    }
}

/// A trace id and a span id that are valid, which is to say not zero.
pub(super) fn random_ids() -> (TraceId, SpanId) {
    let trace = rand::random::<u128>().max(1);
    let span = rand::random::<u64>().max(1);
    (TraceId::from(trace), SpanId::from(span))
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _};

    use super::*;

    fn parent(sampled: bool) -> TraceParent {
        let (trace_id, span_id) = random_ids();
        TraceParent {
            trace_id,
            span_id,
            sampled,
        }
    }

    #[test]
    fn a_parent_based_sampler_follows_the_caller_and_another_does_not() {
        let (id, _) = random_ids();
        let always = |parent_based, ratio| Sampling {
            parent_based,
            ratio,
        };
        assert!(!always(true, 1.0).decide(Some(parent(false)), id));
        assert!(always(true, 0.0).decide(Some(parent(true)), id));
        assert!(always(true, 1.0).decide(None, id));
        assert!(always(false, 1.0).decide(Some(parent(false)), id));
        assert!(!Sampling::OFF.decide(Some(parent(true)), id));
    }

    #[test]
    fn the_ratio_agrees_with_the_sdk_on_every_trace() {
        for ratio in [0.0, 0.01, 0.5, 0.99, 1.0] {
            let (ours, theirs) = (
                Sampling {
                    parent_based: false,
                    ratio,
                },
                Sampler::TraceIdRatioBased(ratio),
            );
            for _ in 0..2000 {
                let (id, _) = random_ids();
                let kind = &opentelemetry::trace::SpanKind::Server;
                let decision = theirs.should_sample(None, id, "", kind, &[], &[]).decision;
                let kept = decision == SamplingDecision::RecordAndSample;
                assert_eq!(ours.decide(None, id), kept);
            }
        }
    }
}
