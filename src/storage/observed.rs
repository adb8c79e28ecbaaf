//! The span, the timer and the limit of one call to a store.

use std::future::Future;

use super::Storage;
use super::error::{Error, Reason, words};
use crate::telemetry::recording::{self, StepKind};
use crate::telemetry::{instruments, scope, traces};

/// The names of the calls: the label `operation` of the metrics.
pub const OPERATIONS: [&str; 9] = [
    "abort",
    "begin_parts",
    "complete",
    "delete",
    "get",
    "head",
    "list",
    "put",
    "put_part",
];

/// One call under way.
pub(super) struct Call {
    storage: Storage,
    operation: &'static str,
    step: recording::Open,
    span: tracing::Span,
    /// That there is no such file is an answer, and no failure.
    may_be_absent: bool,
    _doing: scope::Doing,
}

impl Call {
    pub(super) fn start(storage: &Storage, operation: &'static str) -> Self {
        Self {
            storage: storage.clone(),
            operation,
            step: recording::Open::start(StepKind::Storage, operation),
            span: traces::storage_span(storage.kind(), operation),
            may_be_absent: false,
            _doing: scope::doing(operation),
        }
    }

    /// A look that another store is asked after, if this one has no such file.
    pub(super) fn start_look(storage: &Storage, operation: &'static str) -> Self {
        Self {
            may_be_absent: storage.0.fallback.is_some(),
            ..Self::start(storage, operation)
        }
    }

    /// Waits for the call, no longer than the setting allows.
    pub(super) async fn run<T>(
        self,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Error> {
        let limit = self.storage.0.timeout;
        let work = traces::within(self.span.clone(), work);
        let outcome = tokio::time::timeout(limit, work).await;
        let outcome = match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => Err(typed(&self.storage, self.operation, &failure)),
            Err(_) => Err(Error::new(
                self.storage.kind(),
                self.operation,
                Reason::Timeout,
                format!("no answer within {limit:?}"),
            )),
        };
        let failed = outcome.as_ref().err().map(Error::reason);
        let failed = failed.filter(|reason| !(self.may_be_absent && *reason == Reason::NotFound));
        self.observe(failed.map(Reason::as_str));
        outcome
    }

    fn observe(&self, error_type: Option<&'static str>) {
        let elapsed = self.step.close();
        let kind = self.storage.kind();
        instruments::storage::operation(kind, self.operation, error_type, elapsed, &self.span);
        recording::step(StepKind::Storage, self.operation, elapsed, None, error_type);
        if error_type.is_some() {
            traces::failed_in(&self.span, error_type);
        }
    }
}

fn typed(storage: &Storage, operation: &'static str, failure: &object_store::Error) -> Error {
    let reason = Reason::of(storage.kind(), failure);
    let detail = words(failure, &storage.0.secrets);
    Error::new(storage.kind(), operation, reason, detail)
}

/// A failure in the middle of a stream, counted.
pub(super) fn failed(
    storage: &Storage,
    operation: &'static str,
    failure: &object_store::Error,
) -> Error {
    let failure = typed(storage, operation, failure);
    instruments::storage::failed(storage.kind(), failure.reason().as_str());
    failure
}
