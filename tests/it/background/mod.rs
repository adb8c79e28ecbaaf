//! What runs beside requests.

mod durability;
mod writers;
