//! Files in and out, and what becomes of those that nobody needs.

mod avatars;
mod collection;
mod downloads;
mod memory;
mod migration;
mod s3;
pub(crate) mod support;
mod uploads;
