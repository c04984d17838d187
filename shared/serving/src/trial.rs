//! What this host counts of guarded canaries, and writes for whoever judges them.
//!
//! Counted are only requests of an alias that has a guard; they are written every few seconds while
//! they change, all of a step's counts each time, so that one more write does no harm. A task writes
//! them; where the process is frozen between requests, what is due is written before that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dunlin_registry::{Alias, Counts, Guard, ModelName, Registry, Route, Version};
use dunlin_telemetry::{Phase, Phases};
use uuid::Uuid;

use crate::{ErrorKind, facts};

/// The least time between two writes.
const LEAST: Duration = Duration::from_secs(1);

/// How often in a row counts that can't be written are tried again.
const TRIES: u32 = 20;

/// The trials of this process.
#[derive(Debug)]
pub(crate) struct Trials {
    registry: Registry,
    /// This process's own name among the hosts.
    host: String,
    interval: Duration,
    /// Whether a task writes them: the process goes on between requests.
    background: bool,
    tallies: Mutex<HashMap<(ModelName, Alias), Arc<Tally>>>,
}

/// The counts of one step of one trial.
#[derive(Debug)]
pub(crate) struct Tally {
    name: ModelName,
    alias: Alias,
    guard: Guard,
    state: Mutex<State>,
    /// One writes at a time, so that an older count never comes last.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    /// They are not written as they are.
    pending: bool,
    /// When they were written last.
    written: Option<Instant>,
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trials {
    pub(crate) fn new(registry: Registry, refresh: Duration, background: bool) -> Self {
        Self {
            registry,
            host: Uuid::now_v7().to_string(),
            interval: refresh.max(LEAST),
            background,
            tallies: Mutex::default(),
        }
    }

    /// Counts a request that a version answered: the phases it took, or how it failed.
    pub(crate) fn served(
        self: &Arc<Self>,
        name: &ModelName,
        route: &Route,
        version: Version,
        end: Result<&Phases, ErrorKind>,
    ) {
        if end.is_err_and(|kind| !is_the_versions(kind)) {
            return;
        }
        self.count(name, route, |counts| {
            let served = counts.versions.entry(version).or_default();
            served.requests += 1;
            match end {
                Ok(phases) => served.times.add(own_time(phases)),
                Err(kind) => {
                    let kind = facts(kind).word.to_owned();
                    *served.errors.entry(kind).or_default() += 1;
                }
            }
        });
    }

    /// Counts a request that ran on the version on trial too: whether it agreed; `None`: it failed.
    pub(crate) fn mirrored(
        self: &Arc<Self>,
        name: &ModelName,
        route: &Route,
        agreed: Option<bool>,
    ) {
        self.count(name, route, |counts| match agreed {
            Some(true) => counts.mirrored.agreed += 1,
            Some(false) => counts.mirrored.differed += 1,
            None => counts.mirrored.failed += 1,
        });
    }

    fn count(self: &Arc<Self>, name: &ModelName, route: &Route, add: impl FnOnce(&mut Counts)) {
        let (Some(alias), Some((_, guard))) = (&route.alias, &route.guarded) else {
            return;
        };
        let tally = self.tally(name, alias, guard);
        let mut state = tally.lock();
        add(&mut state.counts);
        if !std::mem::replace(&mut state.pending, true) && self.background {
            drop(state);
            tokio::spawn(self.clone().write_later(tally));
        }
    }

    /// The counts of a step. Those of an earlier one are written by the task that has them still.
    fn tally(&self, name: &ModelName, alias: &Alias, guard: &Guard) -> Arc<Tally> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.clone(), alias.clone());
        if let Some(tally) = tallies.get(&key) {
            let same = tally.guard.trial == guard.trial && tally.guard.step == guard.step;
            if same {
                return tally.clone();
            }
        }
        let tally = Arc::new(Tally {
            name: name.clone(),
            alias: alias.clone(),
            guard: guard.clone(),
            state: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        });
        tallies.insert(key, tally.clone());
        tally
    }

    async fn write_later(self: Arc<Self>, tally: Arc<Tally>) {
        for _ in 0..TRIES {
            tokio::time::sleep(self.interval).await;
            self.write(&tally).await;
            if !tally.lock().pending {
                return;
            }
        }
        // The next request that is counted tries again.
        tally.lock().pending = false;
    }

    /// Writes what is counted now. What was counted meanwhile, or can't be written, stays pending.
    async fn write(&self, tally: &Tally) {
        let _writing = tally.writing.lock().await;
        let counts = tally.lock().counts.clone();
        let (name, alias, guard) = (&tally.name, &tally.alias, &tally.guard);
        let put = self
            .registry
            .put_counts(name, alias, guard, &self.host, &counts);
        match put.await {
            Ok(()) => {
                let mut state = tally.lock();
                state.written = Some(Instant::now());
                state.pending = state.counts != counts;
            }
            Err(error) => {
                tracing::warn!(model = %name, %alias, %error, "the counts of a canary are not written");
            }
        }
    }

    /// Writes all that is not written yet: the process is about to end.
    pub(crate) async fn flush(&self) {
        self.write_those(|state| state.pending).await;
    }

    /// Writes what is not written yet and was not for an interval.
    pub(crate) async fn write_due(&self) {
        let due = |written: Instant| written.elapsed() >= self.interval;
        self.write_those(|state| state.pending && state.written.is_none_or(due))
            .await;
    }

    async fn write_those(&self, which: impl Fn(&State) -> bool) {
        let tallies: Vec<Arc<Tally>> = {
            let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
            tallies.values().cloned().collect()
        };
        for tally in tallies {
            if which(&tally.lock()) {
                self.write(&tally).await;
            }
        }
    }
}

/// The time that a version is the cause of: neither loads nor the look for it.
fn own_time(phases: &Phases) -> Duration {
    let own = [Phase::Queue, Phase::Decode, Phase::Infer, Phase::Encode];
    own.into_iter().filter_map(|phase| phases.get(phase)).sum()
}

/// Whether another version might have answered.
fn is_the_versions(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::RunFailed
            | ErrorKind::Internal
            | ErrorKind::NotJson
            | ErrorKind::ModelUnusable
            | ErrorKind::OutOfMemory
            | ErrorKind::Deadline
    )
}
