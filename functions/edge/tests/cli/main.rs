//! The built `dunlin`, as a person and a script use it.

mod batch;
mod commands;
mod deploy;
mod exit;
mod precision;
mod process;
mod release;
mod sign;
mod trouble;
