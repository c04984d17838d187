//! A model that is meant either as a file or as a name in the store.

use std::path::Path;

use bytes::Bytes;
use dunlin_registry::{Manifest, ModelRef, Registry, Role};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::progress::Task;

/// The ONNX bytes of `model`, and how to call it.
pub(crate) async fn onnx(model: &str, context: &Context) -> Result<(String, Bytes), Failure> {
    let path = Path::new(model);
    if is_file(path) {
        let bytes = tokio::fs::read(path)
            .await
            .map_err(|error| Failure::file(path, &error))?;
        let name = path
            .file_stem()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        return Ok((name, bytes.into()));
    }
    let reference: ModelRef = model.parse()?;
    let registry = context.registry().await?;
    let manifest = manifest(&registry, &reference).await?;
    let Some(artifact) = manifest.artifact(&Role::Model, "onnx") else {
        return Err(Exit::Invalid.failure(format!(
            "version {} of {} has no ONNX file",
            manifest.version, manifest.name
        )));
    };
    let task = Task::bytes(
        context.output,
        format!("fetching {}", manifest.name),
        artifact.size,
    );
    let bytes = registry.blob(artifact, Some(task.callback())).await?;
    task.done();
    Ok((manifest.name.to_string(), bytes))
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
