//! What runs beside requests.

mod durability;
mod scheduled;
pub(crate) mod writers;
