//! Convoke, a self-hosted event API that is observable first. A request enters `api`, which asks `store`, which keeps to the
//! rules of `domain`; files go through `storage`; what follows from it happens in `background`; operators look in through `ops`; `backup` keeps a copy of all of it; `telemetry` and `config`
//! serve all of them, and `lifecycle` starts and stops them. `cli` is the way in.

pub mod api;
pub mod background;
pub mod backup;
pub mod cache;
pub mod cli;
pub mod config;
pub mod domain;
#[cfg(feature = "drills")]
mod drills;
pub mod lifecycle;
pub mod listener;
pub mod ops;
pub mod storage;
pub mod store;
pub mod telemetry;
