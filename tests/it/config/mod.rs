//! Settings, seen from the command line.

mod commands;
mod refusal;
