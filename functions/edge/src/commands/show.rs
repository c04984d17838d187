//! `dunlin show`: one model, and one version of it in full.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use dunlin_registry::{Alias, Manifest, ModelRef, Version};
use serde::Serialize;

use super::{ls, source};
use crate::context::Context;
use crate::exit::Failure;
use crate::output;

/// `dunlin show`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// MODEL, MODEL@VERSION or MODEL@ALIAS
    #[arg(value_name = "MODEL")]
    model: ModelRef,
}

#[derive(Serialize)]
struct Shown {
    versions: Vec<Version>,
    /// Alias → version → weight.
    aliases: BTreeMap<String, BTreeMap<String, u32>>,
    manifest: Manifest,
}

pub(crate) async fn show(arguments: ShowArgs, context: &Context) -> Result<(), Failure> {
    let registry = context.registry().await?;
    let name = &arguments.model.name;
    let manifest = source::manifest(&registry, &arguments.model).await?;
    let versions = registry.versions(name).await?;
    let aliases = ls::aliases(&registry, name).await?;
    let by_name = |(alias, targets): &(Alias, Vec<(Version, u32)>)| {
        let targets = targets
            .iter()
            .map(|(version, weight)| (version.to_string(), *weight));
        (alias.to_string(), targets.collect())
    };
    let shown = Shown {
        versions,
        aliases: aliases.iter().map(by_name).collect(),
        manifest,
    };
    context.output.answer(&shown, || describe(&shown))
}

fn describe(shown: &Shown) -> String {
    let manifest = &shown.manifest;
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "{what:<12} {}", output::printable(value));
    };
    line(
        "model",
        &format!("{} version {}", manifest.name, manifest.version),
    );
    for (what, value) in [
        ("task", &manifest.task),
        ("about", &manifest.description),
        ("license", &manifest.license),
    ] {
        if let Some(value) = value {
            line(what, value);
        }
    }
    if !manifest.tags.is_empty() {
        line("tags", &manifest.tags.join(", "));
    }
    line("published", &manifest.created);
    let versions: Vec<String> = shown.versions.iter().map(ToString::to_string).collect();
    line("versions", &versions.join(", "));
    for (alias, targets) in &shown.aliases {
        let targets: Vec<String> = if targets.len() == 1 {
            targets.keys().cloned().collect()
        } else {
            targets
                .iter()
                .map(|(version, weight)| format!("{version} (weight {weight})"))
                .collect()
        };
        line("alias", &format!("{alias} -> {}", targets.join(", ")));
    }
    for tensor in &manifest.inputs {
        line(
            "input",
            &format!("{} {}", tensor.name, output::tensor(tensor)),
        );
    }
    for tensor in &manifest.outputs {
        line(
            "output",
            &format!("{} {}", tensor.name, output::tensor(tensor)),
        );
    }
    if manifest
        .transforms
        .as_object()
        .is_some_and(|transforms| !transforms.is_empty())
    {
        line("transforms", &manifest.transforms.to_string());
    }
    for artifact in &manifest.artifacts {
        let mut value = format!("{} {}", artifact.format, output::bytes(artifact.size));
        if let Some(latency) = artifact.measured.latency_ms {
            let _ = write!(value, ", {} a run", output::milliseconds(latency));
        }
        if let Some(memory) = artifact.measured.memory_bytes {
            let _ = write!(value, ", {} in memory", output::bytes(memory));
        }
        line("file", &format!("{value}, {}", artifact.digest));
    }
    for (metric, value) in manifest.metrics.iter().chain(&manifest.provenance) {
        line("fact", &format!("{metric}: {value}"));
    }
    text
}
