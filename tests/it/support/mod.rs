//! What the tests stand on: PostgreSQL, the service, a client of its API, a trace collector and Prometheus, all real.

#[macro_use]
pub(crate) mod engines;
pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod commands;
pub(crate) mod history;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod moto;
pub(crate) mod nginx;
pub(crate) mod openmetrics;
pub(crate) mod otlp;
pub(crate) mod pgbouncer;
pub(crate) mod polling;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod scrape;
pub(crate) mod service;
mod tests;
