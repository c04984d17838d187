//! The `dunlin-train` command; `dunlin train` runs it.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser as _;
use dunlin_trainer::cli::Cli;
use dunlin_trainer::{Error, ErrorKind, Result, job, sagemaker};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let result = match sagemaker::Job::of(&arguments) {
        Some(job) => job.run(run),
        None => run(&Cli::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
            error.kind().into()
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let failed =
        |error| Error::new(ErrorKind::Failed, "the process can't be set up").because(error);
    let runtime = Runtime::new().map_err(failed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let _inside = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            // The second one means now.
            if told.swap(true, Ordering::Relaxed) {
                std::process::exit(ErrorKind::Stopped as i32);
            }
        }
    });
    job::run(cli, runtime.handle(), &stop)
}
