//! The commands, each in a file of its own.

pub(crate) mod alias;
pub(crate) mod batch;
pub(crate) mod bench;
pub(crate) mod compile;
pub(crate) mod cost;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod gc;
pub(crate) mod guard;
pub(crate) mod inspect;
pub(crate) mod key;
mod ls;
pub(crate) mod precision;
pub(crate) mod push;
pub(crate) mod release;
pub(crate) mod rm;
mod routes;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod shadow;
pub(crate) mod show;
pub(crate) mod sign;
mod source;
pub(crate) mod train;
pub(crate) mod verify;
mod version;

use self::train::TrainCommand;
use crate::cli::Command;
use crate::context::Context;
use crate::exit::Failure;

/// Does what was asked for.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Serve(arguments) => serve::serve(arguments, context).await,
        Command::Run(arguments) => run::run(arguments, context).await,
        Command::Batch(arguments) => batch::batch(arguments, context).await,
        Command::Push(arguments) => push::push(arguments, context).await,
        Command::Compile(arguments) => compile::compile(arguments, context).await,
        Command::Ls => ls::ls(context).await,
        Command::Show(arguments) => show::show(arguments, context).await,
        Command::Rm(arguments) => rm::rm(arguments, context).await,
        Command::Gc(arguments) => gc::gc(arguments, context).await,
        Command::Key { command } => key::key(command, context),
        Command::Sign(arguments) => sign::sign(arguments, context).await,
        Command::Verify(arguments) => verify::verify(arguments, context).await,
        Command::Promote(arguments) => release::promote(arguments, context).await,
        Command::Canary(arguments) => release::canary(arguments, context).await,
        Command::Rollback(arguments) => release::roll_back(arguments, context).await,
        Command::Shadow(arguments) => shadow::shadow(arguments, context).await,
        Command::Alias(arguments) => alias::alias(arguments, context).await,
        Command::Inspect(arguments) => inspect::inspect(arguments, context).await,
        Command::Bench(arguments) => bench::bench(arguments, context).await,
        Command::Deploy(arguments) => deploy::deploy(&arguments, context),
        Command::Doctor(arguments) => doctor::doctor(arguments, context).await,
        Command::Cost(arguments) => cost::cost(arguments, context).await,
        Command::Routes => routes::routes(context),
        Command::Train { command, arguments } => match command {
            Some(TrainCommand::Submit(submit)) => train::submit(&submit, context),
            None => train::train(arguments, context),
        },
        Command::Version => version::version(context),
        Command::Completions { shell } => version::completions(shell, context),
    }
}
