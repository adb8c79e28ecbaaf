//! What every request passes on its way to its handler.

pub(crate) mod client;
pub(crate) mod guard;
pub(crate) mod headers;
pub(crate) mod idempotency;
pub(crate) mod observe;
pub(crate) mod rate_limit;
mod rate_store;
