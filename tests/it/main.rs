//! The integration tests: the real binary in processes of its own, on both engines, seen from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and own their tasks and clocks"
)]

#[macro_use]
mod support;

mod api;
mod background;
mod backup;
mod cache;
mod config;
mod files;
mod monitoring;
mod ops;
mod store;
