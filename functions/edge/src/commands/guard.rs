//! Guarded canaries: begun by `promote` and `canary`, moved on or back by `canary --watch`.

use std::time::Duration;

use clap::Args;
use dunlin_registry::{Advance, Alias, Gates, ModelName, Outcome, Plan, Registry, Version};
use serde::Serialize;

use super::alias;
use crate::context::Context;
use crate::exit::Failure;

/// How a guarded canary goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Guard")]
pub(crate) struct GuardArgs {
    /// Go by steps while these gates hold, else back: `errors=1%,p95=50ms,p95=1.5x,agreement=98%`
    #[arg(long, value_name = "GATES")]
    pub(crate) guard: Option<Gates>,
    /// The version's shares in percent, step by step [default: 5,25,50; of canary: from --percent on]
    #[arg(
        long,
        value_name = "N,N,…",
        value_delimiter = ',',
        requires = "guard",
        value_parser = clap::value_parser!(u32).range(1..=99)
    )]
    pub(crate) steps: Vec<u32>,
    /// Requests that each gate wants to see on a step
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) min_requests: u64,
    /// How long a step lasts at least
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub(crate) hold_seconds: u32,
    /// Stay, and move it on or back until it ends
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often --watch looks
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) every_seconds: u32,
}

/// The steps of a version that is promoted.
const STEPS: [u32; 3] = [5, 25, 50];

/// What was done to an alias.
#[derive(Serialize)]
struct Told<'a> {
    model: &'a ModelName,
    alias: &'a Alias,
    #[serde(flatten)]
    progress: &'a Advance,
}

/// How the canary is to go, if it is guarded; `first`: its first step, where none are given.
pub(crate) fn plan(arguments: &GuardArgs, first: Option<u32>) -> Option<Plan> {
    let steps = match (arguments.steps.as_slice(), first) {
        ([], None) => STEPS.to_vec(),
        ([], Some(first)) => {
            let later = STEPS.into_iter().filter(|step| *step > first);
            std::iter::once(first).chain(later).collect()
        }
        (steps, _) => steps.to_vec(),
    };
    Some(Plan {
        steps,
        min_requests: arguments.min_requests,
        hold: Duration::from_secs(arguments.hold_seconds.into()),
        gates: arguments.guard?,
    })
}

pub(crate) async fn begin(
    registry: &Registry,
    (name, alias, version): (&ModelName, &Alias, Version),
    plan: &Plan,
    reason: Option<&str>,
    arguments: &GuardArgs,
    context: &Context,
) -> Result<(), Failure> {
    let begun = registry.guarded_canary(name, alias, version, plan, reason);
    let record = begun.await?;
    alias::tell_moved(name, &record, context)?;
    if arguments.watch {
        return watch(registry, (name, alias), arguments, context).await;
    }
    context.output.note(&format!(
        "gates: {}; moved on or back by dunlin canary {name} --alias {alias} --watch",
        plan.gates
    ));
    Ok(())
}

/// Looks at the guarded canary that there is: once, or until it ends.
pub(crate) async fn look(
    registry: &Registry,
    (name, alias): (&ModelName, &Alias),
    arguments: &GuardArgs,
    context: &Context,
) -> Result<(), Failure> {
    if arguments.watch {
        return watch(registry, (name, alias), arguments, context).await;
    }
    let progress = registry.advance(name, alias).await?;
    tell(name, alias, &progress, context)?;
    end(name, alias, &progress)
}

async fn watch(
    registry: &Registry,
    (name, alias): (&ModelName, &Alias),
    arguments: &GuardArgs,
    context: &Context,
) -> Result<(), Failure> {
    let mut last = None;
    loop {
        let progress = registry.advance(name, alias).await?;
        // What is as it was a moment ago is not told again.
        if last.as_ref() != Some(&progress) {
            tell(name, alias, &progress, context)?;
        }
        if !matches!(progress.outcome, Outcome::Waiting | Outcome::Advanced) {
            return end(name, alias, &progress);
        }
        last = Some(progress);
        tokio::time::sleep(Duration::from_secs(arguments.every_seconds.into())).await;
    }
}

fn tell(
    name: &ModelName,
    alias: &Alias,
    progress: &Advance,
    context: &Context,
) -> Result<(), Failure> {
    let told = Told {
        model: name,
        alias,
        progress,
    };
    context.output.line(&told, || {
        let version = progress.version.map(|version| format!(" {version}"));
        let version = version.unwrap_or_default();
        let (percent, why) = (progress.percent, &progress.why);
        match progress.outcome {
            Outcome::Unguarded => why.clone(),
            Outcome::Waiting => {
                format!("{name}@{alias}: version{version} waits at {percent} %: {why}")
            }
            Outcome::Advanced => {
                format!("{name}@{alias}: version{version} goes on to {percent} %: {why}")
            }
            Outcome::Promoted => format!(
                "{name}@{alias} -> {version}: {why}",
                version = version.trim()
            ),
            Outcome::RolledBack => format!("{name}@{alias} is rolled back: {why}"),
        }
    })
}

/// A version that was found wanting ends the command so.
fn end(name: &ModelName, alias: &Alias, progress: &Advance) -> Result<(), Failure> {
    match progress.outcome {
        Outcome::RolledBack => Err(Failure::failed(format!(
            "{name}@{alias} is rolled back: {}",
            progress.why
        ))),
        Outcome::Unguarded => Err(Failure::failed(progress.why.clone())),
        _ => Ok(()),
    }
}
