//! End-to-end suites, others' clients, benchmarks against peers.

// A suite fails by panicking: that is what it is for.
#![allow(clippy::missing_panics_doc)]

pub mod conformance;
pub mod hosts;
pub mod registry_suite;
pub mod requests;
pub mod s3_server;
