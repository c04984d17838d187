//! The router over a directory store with the digits model in it, published as users publish.

mod admin;
mod batch;
mod errors;
mod later;
mod life;
mod predict;
mod protocol;
mod support;
mod texts;
mod watch;
