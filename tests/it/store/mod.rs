//! The database.

mod cancellation;
mod change_log;
mod outage;
mod plans;
mod replicas;
mod schemas;
