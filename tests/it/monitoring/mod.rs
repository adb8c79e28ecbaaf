//! What operators build upon: the exposition, what it is declared to hold, and what a real Prometheus makes of it.

mod contract;
mod exemplars;
mod health;
mod signals;
mod workload;
