//! Work that nobody waits for: inputs named by events and messages, answered into storage, each
//! once.
//!
//! | part | file |
//! | --- | --- |
//! | an input, and how it ended | `work` |
//! | which model serves which prefix, queue, topic or rule | `route` |
//! | where results and dead letters lie, and what is in them | `record` |
//! | `fetch` → predict → store, in time | `run` |
//!
//! # Exactly one result
//! An input's result has one key, made of the reference that serves it, the input's own name and
//! (for an object) its content's `ETag`. It is created only if absent. So events that come twice,
//! in any order, at the same time or after a crash leave one result; an input that is written
//! anew is a new one.
//!
//! # What fails
//! - An input that can never be answered (not what the model takes, too large, gone) is *dead*: a
//!   dead letter says why, and where the input is.
//! - All else (the store in trouble, a model that does not load, no time left) is *returned*: the
//!   caller gives the input back to where it came from, and it comes again.

pub(crate) mod record;
mod route;
mod run;
mod work;

pub use route::{Routes, Where};
pub use run::{Batch, BatchOptions};
pub use work::{Input, Outcome, Work};
