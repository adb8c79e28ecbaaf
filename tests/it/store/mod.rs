//! The database.

mod backlog;
mod cancellation;
pub(crate) mod change_log;
mod copy;
mod copy_interrupted;
mod copy_service;
mod copy_values;
mod outage;
mod pgbouncer;
mod plans;
mod read_replica;
mod replicas;
mod schemas;
mod together;
mod upgrade;
