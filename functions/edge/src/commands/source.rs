//! A model that is meant either as a file or as a name in the store.

use std::path::Path;

use bytes::Bytes;
use dunlin_engine::OnnxSource;
use dunlin_registry::{Artifact, Manifest, ModelRef, Registry, Role};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::progress::Task;

/// The ONNX bytes of `model`, and how to call it.
pub(crate) async fn onnx(model: &str, context: &Context) -> Result<(String, Bytes), Failure> {
    if let Some(file) = read_file(model).await? {
        return Ok(file);
    }
    let (registry, manifest) = published(model, context).await?;
    let bytes = fetch(&registry, &manifest, onnx_of(&manifest)?, context).await?;
    Ok((manifest.name.to_string(), bytes))
}

/// What a host would load here.
pub(crate) struct Runnable {
    pub(crate) name: String,
    /// A plan, or ONNX.
    pub(crate) bytes: Bytes,
    /// For a plan of the store: where inputs of other shapes find the ONNX file.
    pub(crate) onnx: Option<OnnxSource>,
}

/// The file, or of a model in the store, what a host would load here: a plan that fits, else ONNX.
pub(crate) async fn runnable(model: &str, context: &Context) -> Result<Runnable, Failure> {
    if let Some((name, bytes)) = read_file(model).await? {
        let onnx = None;
        return Ok(Runnable { name, bytes, onnx });
    }
    let (registry, manifest) = published(model, context).await?;
    let artifact = dunlin_serving::runnable(&manifest.artifacts)?;
    let bytes = fetch(&registry, &manifest, artifact, context).await?;
    let onnx = onnx_of(&manifest)?.clone();
    let runtime = tokio::runtime::Handle::current();
    Ok(Runnable {
        name: manifest.name.to_string(),
        bytes,
        onnx: Some(Box::new(move || {
            Ok(runtime.block_on(registry.blob(&onnx, None))?)
        })),
    })
}

/// The file, where `model` is meant as one.
async fn read_file(model: &str) -> Result<Option<(String, Bytes)>, Failure> {
    let path = Path::new(model);
    if !is_file(path) {
        return Ok(None);
    }
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|error| Failure::file(path, &error))?;
    let name = path.file_stem().unwrap_or(path.as_os_str());
    Ok(Some((name.to_string_lossy().into_owned(), bytes.into())))
}

async fn published(model: &str, context: &Context) -> Result<(Registry, Manifest), Failure> {
    let reference: ModelRef = model.parse()?;
    let registry = context.registry().await?;
    let manifest = manifest(&registry, &reference).await?;
    Ok((registry, manifest))
}

fn onnx_of(manifest: &Manifest) -> Result<&Artifact, Failure> {
    let artifact = manifest.artifact(&Role::Model, "onnx");
    artifact.ok_or_else(|| {
        Exit::Invalid.failure(format!(
            "version {} of {} has no ONNX file",
            manifest.version, manifest.name
        ))
    })
}

async fn fetch(
    registry: &Registry,
    manifest: &Manifest,
    artifact: &Artifact,
    context: &Context,
) -> Result<Bytes, Failure> {
    let what = format!("fetching {}", manifest.name);
    let task = Task::bytes(context.output, what, artifact.size);
    let bytes = registry.blob(artifact, Some(task.callback())).await?;
    task.done();
    Ok(bytes)
}

/// The manifest that a reference names now.
pub(crate) async fn manifest(
    registry: &Registry,
    reference: &ModelRef,
) -> Result<Manifest, Failure> {
    let resolution = registry.resolve(reference, 0).await?;
    Ok(registry
        .manifest(&reference.name, resolution.version)
        .await?)
}

/// A name in the store has neither a folder nor the ending of a file.
fn is_file(path: &Path) -> bool {
    let known = path.extension().is_some_and(|ending| {
        ending.eq_ignore_ascii_case("onnx") || ending.eq_ignore_ascii_case("plan")
    });
    known || path.components().count() > 1 || path.is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_names_are_told_apart() {
        let cases = [
            ("model.onnx", true),
            ("model.plan", true),
            ("models/digits", true),
            ("./digits", true),
            ("/model", true),
            ("digits", false),
            ("digits@production", false),
            ("resnet-1.5", false),
        ];
        for (text, file) in cases {
            assert_eq!(is_file(Path::new(text)), file, "{text}");
        }
    }
}
