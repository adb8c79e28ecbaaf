//! The HTTP surface.

mod access;
mod flow;
mod idempotency;
mod limits;
mod lists;
mod protocol;
mod rotation;
mod seats;
