//! `dunlin version` and `dunlin completions`: what this program is, and what a shell may know of it.

use clap::CommandFactory as _;
use serde::Serialize;

use crate::cli::Cli;
use crate::context::Context;
use crate::exit::Failure;

#[derive(Serialize)]
struct Program {
    version: &'static str,
    os: &'static str,
    cpu: &'static str,
}

pub(crate) fn version(context: &Context) -> Result<(), Failure> {
    let program = Program {
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        cpu: std::env::consts::ARCH,
    };
    context.output.answer(&program, || {
        format!(
            "dunlin {} ({}, {})",
            program.version, program.os, program.cpu
        )
    })
}

pub(crate) fn completions(shell: clap_complete::Shell, context: &Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dunlin", &mut script);
    context.output.text(&String::from_utf8_lossy(&script))
}
