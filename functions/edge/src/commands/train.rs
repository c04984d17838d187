//! `dunlin train`: a program of its own, which takes this one's place; and its job on AWS, `submit`.

mod submit;

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use clap::Subcommand;

pub(crate) use self::submit::{SubmitArgs, submit};
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// `dunlin train`, where it is not the trainer's own
#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// Submit the training job of a deployed stack (AWS Batch), which publishes what it has trained
    Submit(SubmitArgs),
}

/// Training brings a hundred crates that serving has no use for.
const PROGRAM: &str = "dunlin-train";

/// Runs the trainer with these arguments and the store that was asked for; returns only if it is
/// not there.
pub(crate) fn train(arguments: Vec<OsString>, context: &Context) -> Result<(), Failure> {
    let error = Command::new(program())
        .args(arguments)
        .envs(context.store_environment()?)
        .exec();
    Err(match error.kind() {
        io::ErrorKind::NotFound => Exit::NotFound.failure(format!(
            "{PROGRAM} is neither beside this program nor in PATH; \
             install it with: cargo install --path models/trainer"
        )),
        _ => Failure::failed(format!("cannot start {PROGRAM}: {error}")),
    })
}

/// The trainer beside this program, else the one in `PATH`.
fn program() -> PathBuf {
    let beside = env::current_exe()
        .ok()
        .map(|own| own.with_file_name(PROGRAM));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(PROGRAM))
}
