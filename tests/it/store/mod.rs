//! The database.

mod cancellation;
pub(crate) mod change_log;
mod outage;
mod pgbouncer;
mod plans;
mod read_replica;
mod replicas;
mod schemas;
mod upgrade;
