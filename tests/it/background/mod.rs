//! What runs beside requests.

mod durability;
pub(crate) mod writers;
