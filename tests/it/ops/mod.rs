//! What operators see.

mod collector;
mod hostile;
mod logs;
mod secrets;
mod telemetry;
