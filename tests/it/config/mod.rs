//! Settings, seen from the command line.

mod commands;
mod health;
mod papers;
mod refusal;
