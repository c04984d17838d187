//! `dunlin ls`: the models of the store.

use std::collections::BTreeMap;

use dunlin_registry::{Alias, ModelName, ModelRef, Registry, Version};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::source;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output;

/// Models that are looked up at one time: a store far away answers slowly.
const AT_ONCE: usize = 16;

/// One line of the list.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    pub(crate) name: ModelName,
    pub(crate) versions: Vec<Version>,
    /// The version that the bare name means.
    pub(crate) default: Option<Version>,
    pub(crate) aliases: BTreeMap<String, Vec<Version>>,
    pub(crate) task: Option<String>,
    pub(crate) size: u64,
    pub(crate) created: String,
    /// Why it can't be told more.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

pub(crate) async fn ls(context: &Context) -> Result<(), Failure> {
    let registry = context.registry().await?;
    let models = list(&registry).await?;
    context.output.answer(&models, || {
        if models.is_empty() {
            return format!(
                "no models in {}; publish one with: dunlin push model.onnx",
                registry.store().url()
            );
        }
        let rows: Vec<Vec<String>> = models.iter().map(row).collect();
        output::table(
            &[
                "NAME",
                "VERSIONS",
                "SERVES",
                "ALIASES",
                "TASK",
                "SIZE",
                "PUBLISHED",
            ],
            &[1, 2, 5],
            &rows,
        )
    })
}

/// All models, each as its default version describes it.
pub(crate) async fn list(registry: &Registry) -> Result<Vec<Listed>, Failure> {
    let names = registry.models().await?;
    stream::iter(names)
        .map(|name| look_up(registry, name))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// One damaged model doesn't hide the others.
async fn look_up(registry: &Registry, name: ModelName) -> Result<Listed, Failure> {
    let mut listed = Listed {
        versions: registry.versions(&name).await?,
        name,
        default: None,
        aliases: BTreeMap::new(),
        task: None,
        size: 0,
        created: String::new(),
        problem: None,
    };
    match describe(registry, &mut listed).await {
        Err(failure) if failure.exit != Exit::Store => listed.problem = Some(failure.error),
        described => described?,
    }
    Ok(listed)
}

async fn describe(registry: &Registry, listed: &mut Listed) -> Result<(), Failure> {
    let manifest = source::manifest(registry, &ModelRef::from(listed.name.clone())).await?;
    for (alias, targets) in aliases(registry, &listed.name).await? {
        let versions = targets.iter().map(|target| target.0).collect();
        listed.aliases.insert(alias.to_string(), versions);
    }
    listed.default = Some(manifest.version);
    listed.size = manifest
        .artifacts
        .iter()
        .map(|artifact| artifact.size)
        .sum();
    listed.task = manifest.task;
    listed.created = manifest.created;
    Ok(())
}

/// What each alias of a model stands for: versions with their weights.
pub(crate) async fn aliases(
    registry: &Registry,
    name: &ModelName,
) -> Result<Vec<(Alias, Vec<(Version, u32)>)>, Failure> {
    let mut found = Vec::new();
    for alias in registry.aliases(name).await? {
        let (record, _) = registry.alias(name, &alias).await?;
        let targets = record
            .targets
            .iter()
            .map(|target| (target.version, target.weight))
            .collect();
        found.push((alias, targets));
    }
    Ok(found)
}

fn row(model: &Listed) -> Vec<String> {
    let aliases: Vec<&str> = model.aliases.keys().map(String::as_str).collect();
    vec![
        model.name.to_string(),
        model.versions.len().to_string(),
        model
            .default
            .map_or_else(String::new, |version| version.to_string()),
        aliases.join(", "),
        output::printable(
            model
                .problem
                .as_ref()
                .or(model.task.as_ref())
                .map_or("", |text| text),
        ),
        output::bytes(model.size),
        output::printable(&model.created),
    ]
}
