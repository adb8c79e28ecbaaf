//! Convoke.
pub mod ops;
pub mod telemetry;
