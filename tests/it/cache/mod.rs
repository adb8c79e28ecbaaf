//! What is remembered between requests, and how replicas hear that it changed.

mod proxy;
mod redis;
mod revocation;
mod scene;
