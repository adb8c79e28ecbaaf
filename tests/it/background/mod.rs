//! What runs beside requests.

mod durability;
mod scheduled;
mod writers;
