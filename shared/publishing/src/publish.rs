//! The last stage: into the store.

use bytes::Bytes;
use dunlin_engine::PLAN_FORMAT;
use dunlin_registry::examples::FORMAT;
use dunlin_registry::{Artifact, Digest, Draft, Manifest, Registry, Role};
use dunlin_storage::Progress;
use dunlin_transforms::Spec;

use crate::{Error, ErrorKind, Result, Verified};

/// A version that every host may serve.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its manifest.
    pub manifest: Manifest,
}

impl Verified {
    /// Bytes that publishing stores, at most.
    pub fn size(&self) -> u64 {
        let files = [&self.candidate.labels_file, &self.candidate.tokenizer_file];
        let files: usize = files.into_iter().flatten().map(Bytes::len).sum();
        let plan = self.plan.as_ref().map_or(0, |plan| plan.bytes().len());
        let attachments = self.candidate.attachments.iter();
        let attached: usize = attachments.map(|(.., bytes)| bytes.len()).sum();
        self.candidate.source.size() + (plan + self.pack_bytes.len() + files + attached) as u64
    }

    /// Stores the model as its next version; `progress` is told of bytes as they are stored.
    pub async fn publish(
        self,
        registry: &Registry,
        progress: Option<Progress>,
    ) -> Result<Published> {
        let mut draft = self.into_draft()?;
        if let Some(progress) = progress {
            draft.on_progress(progress);
        }
        let manifest = registry.publish(draft).await?;
        tracing::info!(model = %manifest.name, version = %manifest.version, "published");
        Ok(Published { manifest })
    }

    /// As [`publish`](Self::publish), but only if nothing with this key has become a version of the
    /// model yet; else that version's manifest.
    pub(crate) async fn publish_once(self, registry: &Registry, key: &Digest) -> Result<Manifest> {
        let manifest = registry.publish_once(self.into_draft()?, key).await?;
        tracing::info!(model = %manifest.name, version = %manifest.version, "published");
        Ok(manifest)
    }

    fn into_draft(self) -> Result<Draft> {
        let candidate = self.candidate;
        let spec = candidate.spec();
        let onnx = candidate.source.bytes()?;
        let mut draft = Draft::new(candidate.name);
        let model: &mut Artifact = draft.attach(Role::Model, "onnx", onnx);
        let precision = candidate.precision.map(|precision| precision.to_string());
        model.measured = self.measured;
        model.precision.clone_from(&precision);
        if let Some(plan) = self.plan {
            let artifact = draft.attach(Role::Model, PLAN_FORMAT, plan.bytes().clone());
            artifact.engine = Some(plan.engine().to_owned());
            artifact.target = Some(plan.target().to_string());
            artifact.measured = plan.measured().clone();
            artifact.precision = precision;
        }
        draft.attach(Role::Examples, FORMAT, self.pack_bytes);
        if let Some(labels) = candidate.labels_file {
            draft.attach(Role::Labels, "text", labels);
        }
        if let Some(tokenizer) = candidate.tokenizer_file {
            draft.attach(Role::Tokenizer, "json", tokenizer);
        }
        for (role, format, bytes) in candidate.attachments {
            draft.attach(role, &format, bytes);
        }
        let manifest = &mut draft.manifest;
        if spec != Spec::default() {
            manifest.transforms = serde_json::to_value(&spec).map_err(|error| {
                Error::new(
                    ErrorKind::InvalidDescription,
                    "the transforms can't be written",
                )
                .because(error)
            })?;
        }
        manifest.inputs = candidate.report.inputs;
        manifest.outputs = candidate.report.outputs;
        let description = candidate.description;
        manifest.task = description.task;
        manifest.description = description.description;
        manifest.license = description.license;
        manifest.tags = description.tags;
        manifest.metrics = description.metrics;
        manifest.provenance = description.provenance;
        Ok(draft)
    }
}
