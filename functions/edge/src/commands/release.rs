//! `dunlin promote`, `canary` and `rollback`: which version an alias stands for.

use clap::Args;
use dunlin_registry::{Alias, ModelRef, Selector, Version};

use super::alias;
use super::guard::{self, GuardArgs};
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// `dunlin promote`
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// MODEL@VERSION
    #[arg(value_name = "MODEL@VERSION")]
    model: ModelRef,
    /// The alias that moves
    #[arg(long, value_name = "ALIAS", default_value_t = Alias::production())]
    alias: Alias,
    /// Why; kept in the alias's history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    guard: GuardArgs,
}

/// `dunlin canary`
#[derive(Debug, Args)]
pub(crate) struct CanaryArgs {
    /// MODEL@VERSION; MODEL alone with --watch or --advance
    #[arg(value_name = "MODEL@VERSION")]
    model: ModelRef,
    /// The alias whose requests are shared
    #[arg(long, value_name = "ALIAS", default_value_t = Alias::production())]
    alias: Alias,
    /// The version's share of the requests
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=99))]
    percent: u32,
    /// Why; kept in the alias's history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    guard: GuardArgs,
    /// Look once at the guarded canary that there is, and move it on or back
    #[arg(long, conflicts_with_all = ["guard", "watch"])]
    advance: bool,
}

/// `dunlin rollback`
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// MODEL (its alias "production") or MODEL@ALIAS
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// Why; kept in the alias's history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn promote(arguments: PromoteArgs, context: &Context) -> Result<(), Failure> {
    let version = version(&arguments.model, "promote")?;
    let registry = context.registry().await?;
    let (name, alias) = (&arguments.model.name, &arguments.alias);
    let reason = arguments.reason.as_deref();
    if let Some(plan) = guard::plan(&arguments.guard, None) {
        let release = (name, alias, version);
        return guard::begin(&registry, release, &plan, reason, &arguments.guard, context).await;
    }
    let record = registry.promote(name, alias, version, reason).await?;
    alias::tell_moved(name, &record, context)
}

pub(crate) async fn canary(arguments: CanaryArgs, context: &Context) -> Result<(), Failure> {
    let registry = context.registry().await?;
    let (name, alias) = (&arguments.model.name, &arguments.alias);
    let looks = arguments.advance || arguments.guard.watch && arguments.guard.guard.is_none();
    if looks && arguments.model.selector == Selector::Default {
        return guard::look(&registry, (name, alias), &arguments.guard, context).await;
    }
    let version = version(&arguments.model, "canary")?;
    let (percent, reason) = (arguments.percent, arguments.reason.as_deref());
    if let Some(plan) = guard::plan(&arguments.guard, Some(percent)) {
        let release = (name, alias, version);
        return guard::begin(&registry, release, &plan, reason, &arguments.guard, context).await;
    }
    let record = registry
        .canary(name, alias, version, percent, reason)
        .await?;
    alias::tell_moved(name, &record, context)
}

pub(crate) async fn roll_back(arguments: RollbackArgs, context: &Context) -> Result<(), Failure> {
    let name = &arguments.model.name;
    let alias = match arguments.model.selector {
        Selector::Default => Alias::production(),
        Selector::Alias(alias) => alias,
        Selector::Version(version) => {
            return Err(Exit::Usage.failure(format!(
                "an alias is rolled back, not a version; to serve version {version}: dunlin promote {name}@{version}"
            )));
        }
    };
    let registry = context.registry().await?;
    let reason = arguments.reason.as_deref();
    let record = registry.roll_back(name, &alias, reason).await?;
    alias::tell_moved(name, &record, context)
}

/// The number that a release must name: what an alias means may change meanwhile.
fn version(model: &ModelRef, command: &str) -> Result<Version, Failure> {
    match model.selector {
        Selector::Version(version) => Ok(version),
        _ => Err(Exit::Usage.failure(format!(
            "name the version by its number, as in dunlin {command} {}@3 (dunlin show {} lists them)",
            model.name, model.name
        ))),
    }
}
