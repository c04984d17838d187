//! `dunlin alias`: what aliases stand for, and stood for before.

use std::fmt::Write as _;
use std::str::FromStr;

use clap::Args;
use dunlin_registry::{
    Alias, AliasRecord, Change, ModelName, ModelRef, Registry, Selector, Target, Version,
};
use dunlin_storage::ETag;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{printable, table};

/// `dunlin alias`
#[derive(Debug, Args)]
pub(crate) struct AliasArgs {
    /// MODEL, or MODEL@ALIAS
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// What the alias is to stand for: versions, each with a weight of its own or 1
    #[arg(value_name = "VERSION[=WEIGHT]")]
    targets: Vec<Weighted>,
    /// Only if the alias is still in this state (`etag` of --json)
    #[arg(long, value_name = "ETAG", requires = "targets")]
    if_match: Option<String>,
    /// Only if there is no such alias yet
    #[arg(long, requires = "targets", conflicts_with = "if_match")]
    new: bool,
    /// Delete the alias
    #[arg(long, conflicts_with = "targets")]
    delete: bool,
}

/// A version and its weight, as `3` or `3=90`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weighted(Version, u32);

impl FromStr for Weighted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (version, weight) = text.split_once('=').unwrap_or((text, "1"));
        let version = version
            .parse()
            .map_err(|error: dunlin_registry::Error| error.to_string())?;
        match weight.parse() {
            Ok(weight) if weight > 0 => Ok(Self(version, weight)),
            _ => Err(format!("{weight:?} is not a weight: a whole number from 1")),
        }
    }
}

/// An alias and its state, for a compare-and-swap.
#[derive(Serialize)]
struct Shown {
    model: ModelName,
    etag: String,
    #[serde(flatten)]
    record: AliasRecord,
}

#[derive(Serialize)]
struct Deleted<'a> {
    model: &'a ModelName,
    deleted: &'a Alias,
}

pub(crate) async fn alias(arguments: AliasArgs, context: &Context) -> Result<(), Failure> {
    let name = &arguments.model.name;
    let alias = match &arguments.model.selector {
        Selector::Alias(alias) => alias,
        Selector::Default if arguments.targets.is_empty() && !arguments.delete => {
            return list(name, context).await;
        }
        Selector::Default | Selector::Version(_) => {
            return Err(Exit::Usage.failure(format!(
                "name the alias, as in dunlin alias {name}@production"
            )));
        }
    };
    let registry = context.registry().await?;
    if arguments.delete {
        // One that is not there is told of, as `show` would.
        registry.alias(name, alias).await?;
        registry.delete_alias(name, alias).await?;
        let deleted = Deleted {
            model: name,
            deleted: alias,
        };
        let text = || format!("deleted the alias {alias} of {name}");
        return context.output.answer(&deleted, text);
    }
    if arguments.targets.is_empty() {
        let shown = read(&registry, name, alias).await?;
        return context.output.answer(&shown, || describe(&shown));
    }
    let targets = arguments.targets.iter();
    let targets: Vec<(Version, u32)> = targets
        .map(|Weighted(version, weight)| (*version, *weight))
        .collect();
    let record = match arguments.if_match.map(ETag::new) {
        Some(seen) => {
            registry
                .swap_alias(name, alias, targets, Some(&seen))
                .await?
        }
        None if arguments.new => registry.swap_alias(name, alias, targets, None).await?,
        None => registry.set_alias(name, alias, targets).await?,
    };
    tell_moved(name, &record, context)
}

async fn list(name: &ModelName, context: &Context) -> Result<(), Failure> {
    let registry = context.registry().await?;
    let mut found = Vec::new();
    for alias in registry.aliases(name).await? {
        found.push(read(&registry, name, &alias).await?);
    }
    if found.is_empty() && registry.versions(name).await?.is_empty() {
        return Err(Exit::NotFound.failure(format!("no model \"{name}\"; dunlin ls lists them")));
    }
    context.output.answer(&found, || {
        if found.is_empty() {
            return format!("{name} has no alias: its newest version serves");
        }
        let rows: Vec<Vec<String>> = found.iter().map(Shown::row).collect();
        table(&["ALIAS", "STANDS FOR", "SINCE", "WHY"], &[], &rows)
    })
}

async fn read(registry: &Registry, name: &ModelName, alias: &Alias) -> Result<Shown, Failure> {
    let (record, etag) = registry.alias(name, alias).await?;
    Ok(Shown {
        model: name.clone(),
        etag: etag.as_str().to_owned(),
        record,
    })
}

/// Says what an alias stands for now.
pub(crate) fn tell_moved(
    name: &ModelName,
    record: &AliasRecord,
    context: &Context,
) -> Result<(), Failure> {
    context.output.answer(record, || {
        let mut text = format!(
            "{name}@{} -> {}",
            record.alias,
            versions(&record.targets, &record.change)
        );
        if let Some(before) = record.history.first() {
            let _ = write!(text, " (was {})", versions(&before.targets, &before.change));
        }
        text
    })
}

impl Shown {
    fn row(&self) -> Vec<String> {
        let record = &self.record;
        row(
            record.alias.as_str(),
            &record.targets,
            &record.updated,
            &record.change,
        )
    }
}

/// The alias now, then its earlier states.
fn describe(shown: &Shown) -> String {
    let record = &shown.record;
    let mut rows = vec![shown.row()];
    let history = record.history.iter();
    rows.extend(history.map(|state| row("", &state.targets, &state.updated, &state.change)));
    table(&["ALIAS", "STANDS FOR", "SINCE", "WHY"], &[], &rows)
}

fn row(alias: &str, targets: &[Target], updated: &str, change: &Change) -> Vec<String> {
    let why = change.reason.as_deref().unwrap_or_default();
    let why = match (change.restores, why) {
        (None, why) => why.to_owned(),
        (Some(_), "") => "rolled back".to_owned(),
        (Some(_), why) => format!("rolled back: {why}"),
    };
    vec![
        alias.to_owned(),
        versions(targets, change),
        printable(updated),
        printable(&why),
    ]
}

/// Versions with their shares of the requests: `4`, or `3 (90 %), 4 (10 %, canary)`.
fn versions(targets: &[Target], change: &Change) -> String {
    if let [target] = targets {
        return target.version.to_string();
    }
    let total: f64 = targets.iter().map(|target| f64::from(target.weight)).sum();
    let targets = targets.iter().map(|target| {
        let share = f64::from(target.weight) / total * 100.0;
        let trial = if change.canary == Some(target.version) {
            ", canary"
        } else {
            ""
        };
        format!(
            "{} ({} %{trial})",
            target.version,
            (share * 10.0).round() / 10.0
        )
    });
    targets.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_weights() {
        let weighted = |text: &str| text.parse::<Weighted>();
        let three = Version::new(3).expect("a number");
        assert_eq!(weighted("3"), Ok(Weighted(three, 1)));
        assert_eq!(weighted("3=90"), Ok(Weighted(three, 90)));
        for bad in ["", "x", "0", "3=", "3=0", "3=-1", "3=x", "3=1=1", "=3"] {
            assert!(weighted(bad).is_err(), "{bad:?}");
        }
    }
}
