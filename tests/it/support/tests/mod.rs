//! The support's own tests: what the others stand on must stand.

mod history;
mod openmetrics;
mod otlp;
mod postgres;
mod scrape;
