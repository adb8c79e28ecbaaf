//! The database.

mod outage;
mod replicas;
