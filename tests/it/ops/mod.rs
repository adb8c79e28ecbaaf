//! What operators see.

mod collector;
mod debug;
mod hostile;
mod logs;
mod secrets;
mod telemetry;
