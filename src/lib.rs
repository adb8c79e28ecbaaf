//! Convoke.

pub mod config;
