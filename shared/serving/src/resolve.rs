//! From a reference to the version that answers, and its manifest.

use std::sync::Arc;
use std::time::Duration;

use dunlin_registry::{Manifest, ModelName, ModelRef, Registry, Route, Selector, Version};

use crate::Error;
use crate::stale::Stale;

/// Reads references and manifests through the registry, and remembers them.
#[derive(Debug)]
pub(crate) struct Resolver {
    registry: Registry,
    background: bool,
    routes: Stale<ModelRef, Arc<Route>>,
    manifests: Stale<(ModelName, Version), Arc<Manifest>>,
    versions: Stale<ModelName, Arc<Vec<Version>>>,
    models: Stale<(), Arc<Vec<ModelName>>>,
}

impl Resolver {
    pub(crate) fn new(registry: Registry, refresh: Duration, background: bool) -> Self {
        Self {
            registry,
            background,
            routes: Stale::new(refresh),
            manifests: Stale::new(refresh),
            versions: Stale::new(refresh),
            models: Stale::new(refresh),
        }
    }

    /// The version that answers a request with this key.
    pub(crate) async fn version(
        self: &Arc<Self>,
        reference: &ModelRef,
        key: u64,
    ) -> Result<Version, Error> {
        Ok(self.pick(reference, key).await?.0)
    }

    /// The same, with the route that has picked it, if one has.
    pub(crate) async fn pick(
        self: &Arc<Self>,
        reference: &ModelRef,
        key: u64,
    ) -> Result<(Version, Option<Arc<Route>>), Error> {
        if let Selector::Version(version) = reference.selector {
            // Its manifest tells whether there is such a version, and still is.
            self.checked_manifest(&reference.name, version).await?;
            let key = (reference.name.clone(), version);
            if self.background && self.manifests.ageing(&key) {
                let resolver = self.clone();
                tokio::spawn(async move {
                    let read = || resolver.read_manifest(&key.0, version);
                    resolver.manifests.renew(&key, read).await;
                });
            }
            return Ok((version, None));
        }
        let route = self
            .routes
            .get(reference, || self.read_route(reference))
            .await?;
        if self.background && self.routes.ageing(reference) {
            let (resolver, reference) = (self.clone(), reference.clone());
            tokio::spawn(async move {
                resolver
                    .routes
                    .renew(&reference, || resolver.read_route(&reference))
                    .await;
            });
        }
        let version = route.pick(key);
        Ok((version, Some(route)))
    }

    /// A manifest that was read at any time: it never changes.
    pub(crate) async fn manifest(
        &self,
        name: &ModelName,
        version: Version,
    ) -> Result<Arc<Manifest>, Error> {
        match self.manifests.peek(&(name.clone(), version)) {
            Some(manifest) => Ok(manifest),
            None => self.checked_manifest(name, version).await,
        }
    }

    /// A manifest that was there within the refresh interval.
    async fn checked_manifest(
        &self,
        name: &ModelName,
        version: Version,
    ) -> Result<Arc<Manifest>, Error> {
        let key = (name.clone(), version);
        self.manifests
            .get(&key, || self.read_manifest(name, version))
            .await
    }

    /// The versions of a model, oldest first.
    pub(crate) async fn versions(&self, name: &ModelName) -> Result<Arc<Vec<Version>>, Error> {
        let read = || async { Ok(Arc::new(self.registry.versions(name).await?)) };
        self.versions
            .get(name, read)
            .await
            .map_err(|error: Error| error.of_model(name.as_str()))
    }

    /// All models.
    pub(crate) async fn models(&self) -> Result<Arc<Vec<ModelName>>, Error> {
        self.models
            .get(&(), || async {
                Ok(Arc::new(self.registry.models().await?))
            })
            .await
    }

    async fn read_manifest(
        &self,
        name: &ModelName,
        version: Version,
    ) -> Result<Arc<Manifest>, Error> {
        let manifest = self.registry.manifest(name, version).await;
        manifest
            .map(Arc::new)
            .map_err(|error| Error::from(error).of_model(name.as_str()))
    }

    async fn read_route(&self, reference: &ModelRef) -> Result<Arc<Route>, Error> {
        let route = self.registry.route(reference).await;
        route
            .map(Arc::new)
            .map_err(|error| Error::from(error).of_model(reference.name.as_str()))
    }
}
