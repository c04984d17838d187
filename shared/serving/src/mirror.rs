//! Requests that run on a second version too, after their reply: for an alias's shadow, and for the
//! agreement that a guarded canary has to keep.
//!
//! No caller waits for it. It begins only while a core is free and no request waits, one at a time, on
//! a thread that is no worker's; it makes no other model leave the cache. What does not fit so is
//! dropped, and counted as that. A host that is frozen between requests waits for its end before
//! that ([`Service::settle`](crate::Service::settle)), and has only a share of the requests asked again.

use std::sync::Arc;

use dunlin_protocol::{Limits, NamedTensor};
use dunlin_registry::{ModelName, Route, Version};
use dunlin_telemetry::{Phases, Trace};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ask::Ask;
use crate::cache::ModelCache;
use crate::compare::{Difference, compare};
use crate::load::Loaded;
use crate::metrics::Metrics;
use crate::resolve::Resolver;
use crate::trial::Trials;
use crate::worst::{Example, Worst};

/// The mirror of this process.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) cache: Arc<ModelCache>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) trials: Arc<Trials>,
    pub(crate) worst: Worst,
    pub(crate) limits: Limits,
    /// Of the requests that an alias wants asked again, the share that is, in percent.
    pub(crate) percent: u32,
    /// Whether a version that is not loaded is waited for. Else the request that begins its load is
    /// dropped, and later ones are asked again.
    pub(crate) waits: bool,
    pub(crate) place: Arc<Semaphore>,
}

/// A request that is to be asked again, of this version.
#[derive(Debug)]
pub(crate) struct Second {
    pub(crate) version: Version,
    ask: Ask,
    /// Whose counts it is for, if a trial's.
    trial: Option<Arc<Route>>,
}

/// The first answer to a request.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) outputs: Vec<NamedTensor>,
    pub(crate) request_id: String,
    pub(crate) trace: Option<Trace>,
}

/// How it ended, as metrics have it.
const AGREED: &str = "agreed";
const DIFFERED: &str = "differed";
const FAILED: &str = "failed";
const DROPPED: &str = "dropped";

impl Mirror {
    /// Whether this request is to be asked again. `idle`: a core is free, and no request waits.
    pub(crate) fn second(
        &self,
        name: &ModelName,
        route: &Arc<Route>,
        answers: Version,
        key: u64,
        idle: bool,
        ask: &Ask,
    ) -> Option<Second> {
        let shadow = route
            .shadow
            .filter(|shadow| shadow.version != answers && falls(key, shadow.percent))
            .map(|shadow| (shadow.version, None));
        let trial = || {
            let (version, guard) = route.guarded.as_ref()?;
            let wanted = guard.gates.min_agreement.is_some() && *version != answers;
            wanted.then(|| (*version, Some(route.clone())))
        };
        let (version, trial) = shadow.or_else(trial)?;
        // Mixed once more: else it were the same requests that a shadow's own share picks.
        if !falls(key.rotate_left(32), self.percent) {
            return None;
        }
        if !(idle && self.place.available_permits() > 0) {
            self.metrics.mirrored(name, version, DROPPED);
            return None;
        }
        let ask = ask.clone();
        Some(Second {
            version,
            ask,
            trial,
        })
    }

    /// Asks again, beside everything else.
    pub(crate) fn begin(self: &Arc<Self>, first: First, second: Second) {
        let name = first.loaded.manifest.name.clone();
        let Ok(permit) = self.place.clone().try_acquire_owned() else {
            self.metrics.mirrored(&name, second.version, DROPPED);
            return;
        };
        tokio::spawn(self.clone().run(name, first, second, permit));
    }

    async fn run(
        self: Arc<Self>,
        name: ModelName,
        first: First,
        second: Second,
        permit: OwnedSemaphorePermit,
    ) {
        let Second {
            version,
            ask,
            trial,
        } = second;
        let Some(loaded) = self.loaded(&name, version).await else {
            self.metrics.mirrored(&name, version, DROPPED);
            return;
        };
        let mirror = self.clone();
        let ran = tokio::task::spawn_blocking(move || mirror.ask_again(ask, &first, &loaded));
        // A panic of ours is a failure too.
        let (outcome, example) = match ran.await {
            Ok((outcome, example)) => (outcome, example),
            Err(_) => (FAILED, None),
        };
        self.metrics.mirrored(&name, version, outcome);
        if let Some(route) = trial {
            let agreed = (outcome != FAILED).then_some(outcome == AGREED);
            self.trials.mirrored(&name, &route, agreed);
        }
        if let Some(example) = example {
            self.worst.keep(&name, version, example).await;
        }
        // All of it is done: who waits for that may go on.
        drop(permit);
    }

    /// Ends when no request is asked again any more.
    pub(crate) async fn settle(&self) {
        // Nothing closes the semaphore.
        drop(self.place.acquire().await);
    }

    /// The second version, if it is loaded; else it is loaded where there is room.
    async fn loaded(&self, name: &ModelName, version: Version) -> Option<Arc<Loaded>> {
        if let Some(loaded) = self.cache.get(name, version) {
            return Some(loaded);
        }
        let manifest = self.resolver.manifest(name, version).await.ok()?;
        if !self.cache.has_room(&manifest) {
            return None;
        }
        if self.waits {
            return self.cache.load(&manifest).await.ok();
        }
        self.cache.begin(&manifest);
        None
    }

    fn ask_again(
        &self,
        ask: Ask,
        first: &First,
        loaded: &Loaded,
    ) -> (&'static str, Option<Example>) {
        let mut outputs = Vec::new();
        let input = self.worst.input(&ask);
        let ran = ask.run(loaded, &self.limits, &mut Phases::new(), Some(&mut outputs));
        let (outcome, difference, error) = match ran {
            Ok(_) => {
                let difference = compare((&first.loaded, &first.outputs), (loaded, &outputs));
                let outcome = if difference.agrees { AGREED } else { DIFFERED };
                (outcome, difference, None)
            }
            Err(error) => (FAILED, Difference::ALL, Some(error)),
        };
        if difference.agrees {
            return (outcome, None);
        }
        let version = loaded.manifest.version;
        if !self
            .worst
            .is_one(&loaded.manifest.name, version, difference.distance)
        {
            return (outcome, None);
        }
        let error = error.map(|error| error.chain());
        let example = Example::of(first, loaded, &outputs, difference, error.as_deref(), input);
        (outcome, Some(example))
    }
}

/// Whether a key is of a share in percent. Not the way in which a weighted alias picks: a shadow
/// sees requests of every side.
fn falls(key: u64, percent: u32) -> bool {
    let mixed = (key ^ 0x5bd1_e995_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (u128::from(mixed) * 100) >> 64 < u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_share() {
        for percent in [0, 1, 20, 99, 100] {
            let count = (0..20_000u64)
                .map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .filter(|key| falls(*key, percent))
                .count();
            let wanted = percent as usize * 200;
            assert!(count.abs_diff(wanted) <= 300, "{count} for {percent} %");
            assert!(percent % 100 != 0 || count == wanted);
        }
    }
}
