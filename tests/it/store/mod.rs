//! The database.

mod cancellation;
pub(crate) mod change_log;
mod outage;
mod plans;
mod replicas;
mod schemas;
