//! `dunlin verify`: what was checked of a version, one line each.

use std::fmt::Write as _;

use clap::Args;
use dunlin_registry::{Artifact, Digest, ModelRef, Role, Version};
use serde::Serialize;

use super::source;
use crate::context::Context;
use crate::exit::Failure;
use crate::progress::Task;

/// `dunlin verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// MODEL, MODEL@VERSION or MODEL@ALIAS
    #[arg(value_name = "MODEL")]
    model: ModelRef,
}

#[derive(Serialize)]
struct Verified {
    model: String,
    version: Version,
    /// The SHA-256 of the manifest, as it is stored.
    manifest: Digest,
    signatures: Vec<Signature>,
    files: Vec<File>,
    /// What was not checked.
    unchecked: Vec<&'static str>,
}

#[derive(Serialize)]
struct Signature {
    object: String,
    key: String,
    /// Whether a trusted key made it, over these bytes.
    valid: bool,
    reason: Option<String>,
}

#[derive(Serialize)]
struct File {
    role: String,
    format: String,
    digest: Digest,
    size: u64,
}

pub(crate) async fn verify(arguments: VerifyArgs, context: &Context) -> Result<(), Failure> {
    let registry = context.registry().await?;
    let trusted = context.trusted_keys()?;
    let manifest = source::manifest(&registry, &arguments.model).await?;
    let (name, version) = (&manifest.name, manifest.version);
    let keys = trusted.as_ref().map_or(&[][..], |trusted| trusted.keys());
    let mut signatures = Vec::new();
    for check in registry.signatures(name, version, keys).await? {
        let hint = check.hint.unwrap_or_default();
        signatures.push(Signature {
            object: check.object,
            key: hint.get(..16).unwrap_or(&hint).to_owned(),
            valid: check.fault.is_none(),
            reason: check.fault,
        });
    }
    // The bytes that count are those that a host with these keys would take.
    if let Some(trusted) = trusted.clone() {
        let host = registry.clone().trusting(std::sync::Arc::new(trusted));
        host.manifest(name, version).await?;
    }
    let total = manifest
        .artifacts
        .iter()
        .map(|artifact| artifact.size)
        .sum();
    let what = format!("checking {name} version {version}");
    let task = Task::bytes(context.output, what, total);
    let mut files = Vec::new();
    for artifact in &manifest.artifacts {
        // Read whole, and held against size and digest.
        registry.blob(artifact, Some(task.callback())).await?;
        files.push(File::of(artifact));
    }
    task.done();
    let mut unchecked =
        vec!["whether it answers its golden examples here: every host does that when it loads it"];
    if trusted.is_none() {
        unchecked.insert(0, "signatures: no --trusted-keys were given");
    }
    let verified = Verified {
        model: name.to_string(),
        version,
        manifest: registry.manifest_digest(name, version).await?,
        signatures,
        files,
        unchecked,
    };
    context.output.answer(&verified, || verified.describe())
}

impl File {
    fn of(artifact: &Artifact) -> Self {
        Self {
            role: String::from(Role::clone(&artifact.role)),
            format: artifact.format.clone(),
            digest: artifact.digest,
            size: artifact.size,
        }
    }
}

impl Verified {
    fn describe(&self) -> String {
        let mut text = format!(
            "{} version {}, manifest {}\n",
            self.model, self.version, self.manifest
        );
        for signature in &self.signatures {
            let verdict = match &signature.reason {
                None => "made by this trusted key over the manifest and every file",
                Some(reason) => reason.as_str(),
            };
            let _ = writeln!(text, "signature of key {}: {verdict}", signature.key);
        }
        for file in &self.files {
            let _ = writeln!(
                text,
                "{} ({}): {} bytes, {}, as the manifest states",
                file.role, file.format, file.size, file.digest
            );
        }
        for what in &self.unchecked {
            let _ = writeln!(text, "not checked: {what}");
        }
        text
    }
}
