//! Which loaded model answers a reference, while aliases move and loads fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dunlin_registry::{ModelRef, Selector, Version};
use dunlin_telemetry::{Phase, Phases};

use crate::cache::{Begun, ModelCache};
use crate::load::Loaded;
use crate::resolve::Resolver;
use crate::{Call, Error};

/// References whose last good version is remembered.
const REFERENCES: usize = 4096;

/// The resolver and the cache together.
#[derive(Debug)]
pub(crate) struct Models {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) cache: Arc<ModelCache>,
    background: bool,
    /// The version that last answered a reference that may move.
    served: Mutex<HashMap<ModelRef, Version>>,
}

impl Models {
    pub(crate) fn new(resolver: Arc<Resolver>, cache: Arc<ModelCache>, background: bool) -> Self {
        Self {
            resolver,
            cache,
            background,
            served: Mutex::default(),
        }
    }

    /// The model that answers `call`, loaded if need be.
    ///
    /// When the reference has moved to a version that is not loaded, the one that served goes on
    /// serving until the new one is; and if that fails to load, for as long as it fails.
    pub(crate) async fn find(
        &self,
        reference: &ModelRef,
        call: &mut Call,
    ) -> Result<Arc<Loaded>, Error> {
        let resolving = Phases::start(Phase::Resolve);
        let (version, route) = self.resolver.pick(reference, call.key()).await?;
        let watched = route.as_ref().filter(|route| route.is_watched());
        call.watched = watched.map(|route| (route.clone(), version));
        if let Some(loaded) = self.cache.get(&reference.name, version) {
            resolving.stop(&mut call.phases);
            self.note(reference, version);
            return Ok(loaded);
        }
        let ahead = |hint| self.cache.fetch_ahead(&reference.name, version, hint);
        // Until the load has taken it over, or none comes.
        let _ahead = route.as_ref().and_then(|route| ahead(route.hint(version)?));
        let manifest = self.resolver.manifest(&reference.name, version).await?;
        resolving.stop(&mut call.phases);
        let previous = self.previous(reference, version);
        if self.background {
            let standing = previous.and_then(|previous| self.cache.get(&reference.name, previous));
            if let Some(standing) = standing {
                match self.cache.begin(&manifest) {
                    // It was loaded between the two looks.
                    Begun::Done(Ok(loaded)) => {
                        self.note(reference, version);
                        return Ok(loaded);
                    }
                    Begun::Done(Err(_)) | Begun::Loading(_) => return Ok(standing),
                }
            }
        }
        match self.cache.load(&manifest).await {
            Ok(loaded) => {
                call.phases.merge(&loaded.phases);
                self.note(reference, version);
                Ok(loaded)
            }
            Err(error) => {
                let Some(previous) = previous else {
                    return Err(error);
                };
                let manifest = self.resolver.manifest(&reference.name, previous).await;
                let Ok(manifest) = manifest else {
                    return Err(error);
                };
                // The error that matters is the new version's.
                self.cache.load(&manifest).await.map_err(|_| error)
            }
        }
    }

    fn previous(&self, reference: &ModelRef, version: Version) -> Option<Version> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served
            .get(reference)
            .copied()
            .filter(|previous| *previous != version)
    }

    fn note(&self, reference: &ModelRef, version: Version) {
        if matches!(reference.selector, Selector::Version(_)) {
            return;
        }
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = served.get_mut(reference) {
            *last = version;
            return;
        }
        if served.len() >= REFERENCES {
            // Rare, and costs only the fallback of the references forgotten.
            served.clear();
        }
        served.insert(reference.clone(), version);
    }
}
