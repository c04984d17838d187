//! Loaded models: bounded in bytes, least recently used out first, each loaded once however many
//! ask, and one that failed to load not tried again for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dunlin_registry::{Artifact, Manifest, ModelName, Version};
use tokio::sync::{Semaphore, watch};

use crate::ahead::{Ahead, UntilLoad};
use crate::artifact::Files;
use crate::load::{Loaded, Loader};
use crate::metrics::Metrics;
use crate::{Error, ErrorKind};

/// Loads at one time: a load needs some three times the model's file while it goes on.
const LOADS: usize = 2;

/// After trouble with the store a load is tried again this soon.
const RETRY_STORE: Duration = Duration::from_secs(1);

type Key = (ModelName, Version);
type Outcome = Result<Arc<Loaded>, Error>;

/// The models of this process.
#[derive(Debug)]
pub(crate) struct ModelCache {
    loader: Arc<Loader>,
    metrics: Arc<Metrics>,
    capacity: u64,
    retry: Duration,
    loads: Arc<Semaphore>,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_key: HashMap<Key, Slot>,
    /// Counts uses: the larger, the more recent.
    clock: u64,
}

#[derive(Debug)]
enum Slot {
    /// Its manifest still comes.
    Ahead(Ahead),
    Loading {
        outcome: watch::Receiver<Option<Outcome>>,
        reserved: u64,
    },
    Ready {
        model: Arc<Loaded>,
        used: u64,
    },
    Failed {
        error: Error,
        until: Instant,
    },
}

/// What this process has of a version.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Absent,
    Loading,
    Ready { memory: u64 },
    Failed(Error),
}

impl Slots {
    /// Bytes that are held or reserved.
    fn bytes(&self) -> u64 {
        let each = self.by_key.values().map(|slot| match slot {
            Slot::Ahead(Ahead { bytes, .. }) => *bytes,
            Slot::Loading { reserved, .. } => *reserved,
            Slot::Ready { model, .. } => model.memory_bytes(),
            Slot::Failed { .. } => 0,
        });
        each.sum()
    }

    /// Takes out the models used longest ago until `capacity` holds, but never `keep`. The models
    /// are given back, so that they are dropped where no lock is held.
    fn make_room(&mut self, capacity: u64, keep: Option<&Key>) -> Vec<Arc<Loaded>> {
        let mut evicted = Vec::new();
        while self.bytes() > capacity {
            let oldest = self
                .by_key
                .iter()
                .filter(|(key, _)| Some(*key) != keep)
                .filter_map(|(key, slot)| match slot {
                    Slot::Ready { used, .. } => Some((*used, key.clone())),
                    _ => None,
                });
            let Some((_, key)) = oldest.min_by_key(|(used, _)| *used) else {
                break;
            };
            if let Some(Slot::Ready { model, .. }) = self.by_key.remove(&key) {
                evicted.push(model);
            }
        }
        evicted
    }

    fn take_ahead(&mut self, key: &Key) -> Option<Ahead> {
        match self.by_key.remove(key)? {
            Slot::Ahead(ahead) => Some(ahead),
            slot => {
                self.by_key.insert(key.clone(), slot);
                None
            }
        }
    }
}

impl ModelCache {
    pub(crate) fn new(
        loader: Arc<Loader>,
        metrics: Arc<Metrics>,
        capacity: u64,
        retry: Duration,
    ) -> Self {
        metrics
            .own
            .capacity
            .set(i64::try_from(capacity).unwrap_or(i64::MAX));
        let (loads, slots) = (Arc::new(Semaphore::new(LOADS)), Mutex::default());
        Self {
            loader,
            metrics,
            capacity,
            retry,
            loads,
            slots,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Nothing panics while it holds the lock.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model, if it is loaded.
    pub(crate) fn get(&self, name: &ModelName, version: Version) -> Option<Arc<Loaded>> {
        let mut slots = self.lock();
        slots.clock += 1;
        let now = slots.clock;
        match slots.by_key.get_mut(&(name.clone(), version)) {
            Some(Slot::Ready { model, used }) => {
                *used = now;
                Some(model.clone())
            }
            _ => None,
        }
    }

    /// What this process has of a version; doesn't count as a use.
    pub(crate) fn state(&self, name: &ModelName, version: Version) -> State {
        match self.lock().by_key.get(&(name.clone(), version)) {
            None => State::Absent,
            Some(Slot::Ahead(_) | Slot::Loading { .. }) => State::Loading,
            Some(Slot::Ready { model, .. }) => State::Ready {
                memory: model.memory_bytes(),
            },
            Some(Slot::Failed { error, .. }) => State::Failed(error.clone()),
        }
    }

    /// The model; loaded first if need be. The load goes on when its callers have gone.
    pub(crate) async fn load(self: &Arc<Self>, manifest: &Arc<Manifest>) -> Outcome {
        let mut outcome = match self.begin(manifest) {
            Begun::Done(outcome) => return outcome,
            Begun::Loading(outcome) => outcome,
        };
        let finished = outcome.wait_for(Option::is_some).await;
        finished
            .ok()
            .and_then(|outcome| outcome.clone())
            .unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "the load was given up")))
    }

    /// Begins to fetch what a version is said to be made of, if nothing is known of it here, and if
    /// a load could begin now without taking another's room. The load goes on with it; where none
    /// comes, it ends with what is returned.
    pub(crate) fn fetch_ahead(
        self: &Arc<Self>,
        name: &ModelName,
        version: Version,
        artifacts: &[Artifact],
    ) -> Option<UntilLoad> {
        let files = Files::of(artifacts).ok()?;
        let sizes = files.each().map(|file| file.size);
        let size = sizes.fold(0, u64::saturating_add);
        let bytes = size.max(Loader::estimate(artifacts));
        let key = (name.clone(), version);
        let mut slots = self.lock();
        if slots.by_key.contains_key(&key) || slots.bytes().saturating_add(bytes) > self.capacity {
            return None;
        }
        let permit = self.loads.clone().try_acquire_owned().ok()?;
        let ahead = Ahead {
            fetches: self.loader.fetch_ahead(files),
            permit,
            bytes,
        };
        slots.by_key.insert(key.clone(), Slot::Ahead(ahead));
        drop(slots);
        let cache = self.clone();
        Some(UntilLoad { cache, key })
    }

    /// Ends what was begun for a load that has not come.
    pub(crate) fn end_ahead(&self, key: &Key) {
        let ahead = self.lock().take_ahead(key);
        drop(ahead);
    }

    /// Begins a load, if there is none going on and none needed.
    pub(crate) fn begin(self: &Arc<Self>, manifest: &Arc<Manifest>) -> Begun {
        let key = (manifest.name.clone(), manifest.version);
        let mut slots = self.lock();
        slots.clock += 1;
        let now = slots.clock;
        match slots.by_key.get_mut(&key) {
            Some(Slot::Ready { model, used }) => {
                *used = now;
                return Begun::Done(Ok(model.clone()));
            }
            Some(Slot::Loading { outcome, .. }) => return Begun::Loading(outcome.clone()),
            Some(Slot::Failed { error, until }) if Instant::now() < *until => {
                return Begun::Done(Err(error.clone()));
            }
            Some(Slot::Ahead(_) | Slot::Failed { .. }) | None => {}
        }
        let (sender, outcome) = watch::channel(None);
        let ahead = slots.take_ahead(&key);
        slots.by_key.insert(
            key,
            Slot::Loading {
                outcome: outcome.clone(),
                reserved: ahead.as_ref().map_or(0, |ahead| ahead.bytes),
            },
        );
        drop(slots);
        let (cache, manifest) = (self.clone(), manifest.clone());
        tokio::spawn(async move {
            // A task of its own, so that a panic in it ends the load and not the waiting.
            let work = tokio::spawn({
                let (cache, manifest) = (cache.clone(), manifest.clone());
                async move { cache.admit_and_load(&manifest, ahead).await }
            });
            let loaded = work.await.unwrap_or_else(|error| {
                Err(Error::new(
                    ErrorKind::Internal,
                    format!("loading panicked: {error}"),
                ))
            });
            let outcome = cache.finish(&manifest, loaded);
            let _ = sender.send(Some(outcome));
        });
        Begun::Loading(outcome)
    }

    /// Whether a model can be loaded without taking another's room.
    pub(crate) fn has_room(&self, manifest: &Manifest) -> bool {
        let held = self.lock().bytes();
        held.saturating_add(Loader::estimate(&manifest.artifacts)) <= self.capacity
    }

    async fn admit_and_load(
        &self,
        manifest: &Arc<Manifest>,
        ahead: Option<Ahead>,
    ) -> Result<Loaded, Error> {
        let (fetches, permit) = ahead.map(|ahead| (ahead.fetches, ahead.permit)).unzip();
        let _permit = match permit {
            Some(permit) => permit,
            None => self
                .loads
                .clone()
                .acquire_owned()
                .await
                .map_err(|_| Error::new(ErrorKind::Internal, "loads are closed"))?,
        };
        let estimate = Loader::estimate(&manifest.artifacts);
        self.fits(manifest, estimate)?;
        let key = (manifest.name.clone(), manifest.version);
        let evicted = {
            let mut slots = self.lock();
            if let Some(Slot::Loading { reserved, .. }) = slots.by_key.get_mut(&key) {
                *reserved = estimate;
            }
            slots.make_room(self.capacity, Some(&key))
        };
        self.drop_evicted(evicted).await;
        let fetches = fetches.unwrap_or_default();
        self.loader.load(manifest.clone(), fetches).await
    }

    fn fits(&self, manifest: &Manifest, bytes: u64) -> Result<(), Error> {
        if bytes <= self.capacity {
            return Ok(());
        }
        let (name, version) = (&manifest.name, manifest.version);
        Err(Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "version {version} needs {bytes} bytes loaded, and the model cache holds {}; give it more",
                self.capacity
            ),
        )
        .of_model(name.as_str()))
    }

    fn finish(&self, manifest: &Manifest, loaded: Result<Loaded, Error>) -> Outcome {
        let (name, version) = (&manifest.name, manifest.version);
        let key = (name.clone(), version);
        let loaded = loaded.and_then(|loaded| {
            self.fits(manifest, loaded.memory_bytes())?;
            Ok(Arc::new(loaded))
        });
        // The model exists, so it may be a label.
        self.metrics.usage(name, version);
        self.metrics.load(
            name,
            version,
            loaded.as_ref().ok().map(|loaded| &loaded.phases),
        );
        let mut slots = self.lock();
        slots.clock += 1;
        let slot = match &loaded {
            Ok(model) => {
                tracing::info!(
                    model = %name, %version, memory_bytes = model.memory_bytes(),
                    phases = model.phases.server_timing(), "loaded"
                );
                Slot::Ready {
                    model: model.clone(),
                    used: slots.clock,
                }
            }
            Err(error) => {
                tracing::warn!(model = %name, %version, error = error.chain(), "could not load");
                let retry = match error.kind() {
                    ErrorKind::Store => RETRY_STORE.min(self.retry),
                    _ => self.retry,
                };
                Slot::Failed {
                    error: error.clone(),
                    until: Instant::now() + retry,
                }
            }
        };
        slots.by_key.insert(key.clone(), slot);
        let evicted = slots.make_room(self.capacity, Some(&key));
        drop(slots);
        self.metrics.own.evictions.inc_by(evicted.len() as u64);
        drop(evicted);
        loaded
    }

    /// Makes room after a model has grown. Runs that still use what goes keep it until they end.
    pub(crate) fn trim(&self) {
        let mut slots = self.lock();
        let evicted = slots.make_room(self.capacity, None);
        drop(slots);
        self.metrics.own.evictions.inc_by(evicted.len() as u64);
    }

    /// Models loaded.
    pub(crate) fn loaded(&self) -> usize {
        let slots = self.lock();
        let ready = |slot: &&Slot| matches!(slot, Slot::Ready { .. });
        slots.by_key.values().filter(ready).count()
    }

    /// Drops models before the load that they made room for begins; freeing one takes a while.
    async fn drop_evicted(&self, evicted: Vec<Arc<Loaded>>) {
        if evicted.is_empty() {
            return;
        }
        self.metrics.own.evictions.inc_by(evicted.len() as u64);
        // Only a panicking drop fails here, and then there is nothing left to free.
        let _ = tokio::task::spawn_blocking(move || drop(evicted)).await;
    }
}

/// What [`ModelCache::begin`] found.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is loaded, or failed a short while ago.
    Done(Outcome),
    /// It is being loaded.
    Loading(watch::Receiver<Option<Outcome>>),
}
