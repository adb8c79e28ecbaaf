//! What runs beside requests.

mod durability;
mod jobs;
mod scheduled;
pub(crate) mod writers;
