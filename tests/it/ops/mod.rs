//! What operators see.

mod collector;
mod console;
mod debug;
mod hostile;
mod logs;
mod rolling;
mod secrets;
mod slow_clients;
mod telemetry;
