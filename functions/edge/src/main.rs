//! The `dunlin` command: publish, serve and run models, on this machine.

mod aws;
mod cli;
mod commands;
mod context;
mod cost;
mod exit;
mod inputs;
mod net;
mod npz;
mod output;
mod progress;
mod sample;
mod template;
mod twin;

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::Cli;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the runtime may take to end: work that nobody waits for any more is left behind.
const SHUTDOWN: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = match Cli::from_environment() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let output = Output::new(cli.common.json, cli.common.quiet);
    match run(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    dunlin_telemetry::init(cli.common.log_format, cli.log_filter())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let context = Context::new(cli.store, output);
    let done = runtime.block_on(commands::run(cli.command, &context));
    runtime.shutdown_timeout(SHUTDOWN);
    done
}
