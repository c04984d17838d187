//! The built `dunlin`, as a person and a script use it.

mod commands;
mod deploy;
mod exit;
mod process;
mod release;
mod trouble;
