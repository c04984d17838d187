//! Files that are fetched while the manifest still comes, because an alias hints at them.

use std::sync::Arc;

use bytes::Bytes;
use dunlin_registry::{Artifact, ModelName, Registry, Version};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use crate::artifact::Files;
use crate::cache::ModelCache;

/// Fetches under way, one of the places for loads, and bytes of the cache's room; all of them end
/// when it is dropped.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) fetches: Fetches,
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) bytes: u64,
}

/// Each in a set of its own, which ends it when nobody takes it.
#[derive(Debug, Default)]
pub(crate) struct Fetches(Vec<(Artifact, JoinSet<Option<Bytes>>)>);

impl Fetches {
    pub(crate) fn begin(registry: &Registry, files: Files<'_>) -> Self {
        let fetches = files.each().map(|artifact| {
            let (registry, file) = (registry.clone(), artifact.clone());
            let mut fetch = JoinSet::new();
            // Why it fails is found out again, where it matters.
            fetch.spawn(async move { registry.blob(&file, None).await.ok() });
            (artifact.clone(), fetch)
        });
        Self(fetches.collect())
    }

    /// The fetch of these very bytes, if there is one.
    pub(crate) fn take(&mut self, artifact: &Artifact) -> JoinSet<Option<Bytes>> {
        let same = |(hinted, _): &(Artifact, _)| {
            (hinted.digest, hinted.size) == (artifact.digest, artifact.size)
        };
        let place = self.0.iter().position(same);
        place.map_or_else(JoinSet::new, |place| self.0.swap_remove(place).1)
    }
}

/// Ends the fetches of a version when it is dropped, unless its load has taken them.
#[derive(Debug)]
pub(crate) struct UntilLoad {
    pub(crate) cache: Arc<ModelCache>,
    pub(crate) key: (ModelName, Version),
}

impl Drop for UntilLoad {
    fn drop(&mut self) {
        self.cache.end_ahead(&self.key);
    }
}
