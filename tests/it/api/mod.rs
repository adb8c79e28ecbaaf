//! The HTTP surface.

mod flow;
mod idempotency;
mod seats;
