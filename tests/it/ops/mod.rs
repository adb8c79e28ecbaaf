//! What operators see.

mod collector;
mod console;
mod hostile;
mod logs;
mod secrets;
mod telemetry;
