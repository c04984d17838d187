//! What the service tells of itself and its models: metadata, index, statistics.

use dunlin_protocol::{
    ModelMetadata, ModelState, RepositoryIndex, RepositoryIndexEntry, ServerMetadata, Statistics,
};
use dunlin_registry::{ModelName, ModelRef, Version, unix_seconds};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::cache::State;
use crate::{Call, Error, ErrorKind, Service, statistics};

/// Models whose versions are read at one time for the index.
const INDEX_READS: usize = 16;

impl Service {
    /// What the server is, and which extensions it serves.
    pub fn metadata(&self) -> ServerMetadata {
        let extensions = [
            "binary_tensor_data",
            "classification",
            "model_repository(index)",
            "statistics",
        ];
        ServerMetadata {
            name: "dunlin".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            extensions: extensions.map(String::from).to_vec(),
        }
    }

    /// What a model takes and gives, as its manifest says; loads nothing.
    pub async fn model_metadata(
        &self,
        reference: &ModelRef,
        call: &Call,
    ) -> Result<ModelMetadata, Error> {
        let name = &reference.name;
        let resolver = &self.models.resolver;
        let version = resolver.version(reference, call.key()).await?;
        let (manifest, versions) =
            futures_util::try_join!(resolver.manifest(name, version), resolver.versions(name))?;
        Ok(ModelMetadata {
            name: name.to_string(),
            versions: versions.iter().map(Version::to_string).collect(),
            platform: "onnx_tract".into(),
            inputs: manifest.inputs.clone(),
            outputs: manifest.outputs.clone(),
        })
    }

    /// Every version of every model, and its state in this process; or only those that are ready.
    pub async fn index(&self, only_ready: bool) -> Result<RepositoryIndex, Error> {
        let names = self.models.resolver.models().await?;
        let entries = stream::iter(names.iter().cloned())
            .map(|name| async move {
                let versions = self.models.resolver.versions(&name).await?;
                Ok::<_, Error>(
                    versions
                        .iter()
                        .map(|&v| self.entry(&name, v))
                        .collect::<Vec<_>>(),
                )
            })
            .buffered(INDEX_READS)
            .try_concat()
            .await?;
        let wanted =
            |entry: &RepositoryIndexEntry| !only_ready || entry.state == Some(ModelState::Ready);
        Ok(RepositoryIndex {
            models: entries.into_iter().filter(wanted).collect(),
        })
    }

    /// When the version that a reference means was published, in seconds since 1970.
    pub(crate) async fn created(&self, reference: &ModelRef, call: &Call) -> Result<u64, Error> {
        let resolver = &self.models.resolver;
        let version = resolver.version(reference, call.key()).await?;
        let manifest = resolver.manifest(&reference.name, version).await?;
        Ok(unix_seconds(&manifest.created).unwrap_or_default())
    }

    /// The models that can be asked, each with when the version that its name means was published.
    pub(crate) async fn listed(&self, call: &Call) -> Result<Vec<(String, u64)>, Error> {
        let names = self.models.resolver.models().await?;
        stream::iter(names.iter().cloned())
            .map(|name| async move {
                match self.created(&name.clone().into(), call).await {
                    Ok(created) => Ok(Some((name.to_string(), created))),
                    Err(error) if error.kind() == ErrorKind::Store => Err(error),
                    // Without a version, or with one that may not be served: nobody can ask it.
                    Err(_) => Ok(None),
                }
            })
            .buffered(INDEX_READS)
            .try_filter_map(async |listed| Ok(listed))
            .try_collect()
            .await
    }

    fn entry(&self, name: &ModelName, version: Version) -> RepositoryIndexEntry {
        let (state, reason) = match self.models.cache.state(name, version) {
            State::Ready { .. } => (ModelState::Ready, String::new()),
            State::Loading => (ModelState::Loading, String::new()),
            State::Absent => (
                ModelState::Unavailable,
                "not loaded; the first request loads it".into(),
            ),
            State::Failed(error) => (ModelState::Unavailable, error.to_string()),
        };
        RepositoryIndexEntry {
            name: name.to_string(),
            version: Some(version.to_string()),
            state: Some(state),
            reason,
        }
    }

    /// What the models have done since the process started: all of them, one model's versions, or
    /// the version that a reference names.
    pub async fn statistics(
        &self,
        name: Option<&ModelName>,
        reference: Option<&ModelRef>,
        call: &Call,
    ) -> Result<Statistics, Error> {
        let resolver = &self.models.resolver;
        let version = match reference {
            Some(reference) => Some(resolver.version(reference, call.key()).await?),
            None => None,
        };
        if let (Some(name), None) = (name, version) {
            // Tells an unknown model from one that has not been asked yet.
            resolver
                .version(&ModelRef::from(name.clone()), call.key())
                .await?;
        }
        let mut usages = self.metrics.usages();
        if let (Some(name), Some(version)) = (name, version) {
            // A version that was named is told of even before its first request.
            usages.insert((name.clone(), version), self.metrics.usage(name, version));
        }
        let asked = usages.iter().filter(|((model, number), _)| {
            name.is_none_or(|name| name == model)
                && version.is_none_or(|version| version == *number)
        });
        let model_stats = asked.map(|((name, version), usage)| {
            let memory = match self.models.cache.state(name, *version) {
                State::Ready { memory } => Some(memory),
                _ => None,
            };
            statistics::of(name, *version, usage, memory)
        });
        Ok(Statistics {
            model_stats: model_stats.collect(),
        })
    }
}
