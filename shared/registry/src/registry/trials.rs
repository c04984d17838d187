//! Guarded canaries: begun with gates, counted by hosts, moved on or back by whoever looks.
//!
//! Hosts keep no connection to each other and may vanish at any moment. Each writes what it has
//! counted of a step, all of it, under a key of its own; whoever advances the alias adds them up and
//! moves it by compare-and-swap. So any number may advance it at once, from anywhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dunlin_storage::PutCondition;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::Map;

use super::Registry;
use super::releases::back;
use crate::alias::{Next, with_canary};
use crate::{
    Alias, AliasRecord, Change, Counts, Error, ErrorKind, Gates, Guard, ModelName, Result, Target,
    Verdict, Version, layout,
};

/// Hosts whose counts are read at one time.
const READS: usize = 16;

/// Counts of trials that are over are removed once they are so old: a host may still write some.
const LEFT_BEHIND: Duration = Duration::from_hours(1);

/// How a guarded canary is to go.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The version's shares in percent, step by step, growing, each 1 to 99; then it gets all.
    pub steps: Vec<u32>,
    /// What each gate wants to see on a step.
    pub min_requests: u64,
    /// How long a step lasts at least.
    pub hold: Duration,
    /// What has to be kept; at least one gate.
    pub gates: Gates,
}

/// What [`Registry::advance`] did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advance {
    /// The version on trial; `None` where there is no guarded canary.
    pub version: Option<Version>,
    /// The version's share of the requests now, in percent.
    pub percent: u32,
    /// What was done.
    pub outcome: Outcome,
    /// Why: what was seen of each gate.
    pub why: String,
    /// Hosts that have counted on the step that was judged.
    pub hosts: usize,
}

/// How far a guarded canary came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// There is none.
    Unguarded,
    /// It stays on its step: there is more to see.
    Waiting,
    /// It went on to the next step.
    Advanced,
    /// The version has the alias.
    Promoted,
    /// The alias went back.
    RolledBack,
}

impl Registry {
    /// Puts a version on trial beside those that an alias stands for, on the first step of a plan.
    /// [`advance`](Self::advance) then moves it on, or back.
    pub async fn guarded_canary(
        &self,
        name: &ModelName,
        alias: &Alias,
        version: Version,
        plan: &Plan,
        reason: Option<&str>,
    ) -> Result<AliasRecord> {
        let refused = |why: &str| {
            Error::new(
                ErrorKind::InvalidAlias,
                format!("alias {alias} of {name}: {why}"),
            )
        };
        if plan.gates == Gates::default() {
            return Err(refused("a guarded canary needs a gate, as in errors=1%"));
        }
        let grow = plan.steps.windows(2).all(|pair| pair[0] < pair[1]);
        let Some(first) = plan.steps.first().copied().filter(|_| grow) else {
            return Err(refused("its steps are shares that grow, as in 5,25,50"));
        };
        if plan.steps.iter().any(|step| !(1..=99).contains(step)) {
            return Err(refused("a step is 1 to 99 percent"));
        }
        if plan.min_requests == 0 {
            return Err(refused("a gate wants to see at least one request"));
        }
        let guard = Guard {
            trial: format!("{:016x}", fastrand::u64(..)),
            steps: plan.steps.clone(),
            step: 0,
            since: now(),
            min_requests: plan.min_requests,
            hold_seconds: plan.hold.as_secs(),
            gates: plan.gates,
            extra: Map::new(),
        };
        self.tidy(name, alias).await;
        self.try_out(name, alias, version, first, reason, Some(guard))
            .await
    }

    /// Looks at a guarded canary once, and moves it where the counts say so: to its next step, to
    /// all requests, or back. The alias's history has the reason.
    pub async fn advance(&self, name: &ModelName, alias: &Alias) -> Result<Advance> {
        let (record, _) = self.alias(name, alias).await?;
        let (Some(version), Some(guard)) = (record.change.canary, record.change.guard) else {
            return Ok(Advance {
                version: None,
                percent: 0,
                outcome: Outcome::Unguarded,
                why: format!("alias {alias} of {name} has no guarded canary"),
                hosts: 0,
            });
        };
        let percent = guard.percent().unwrap_or_default();
        let (counts, hosts) = self.counts(name, alias, &guard).await?;
        let progress = |outcome, percent, why| Advance {
            version: Some(version),
            percent,
            outcome,
            why,
            hosts,
        };
        let at = format!("at {percent} %");
        let (outcome, percent, why) = match guard.judge(version, &counts) {
            Verdict::Wait(why) => return Ok(progress(Outcome::Waiting, percent, why)),
            Verdict::Pass(why) if now() < guard.since.saturating_add(guard.hold_seconds) => {
                let why = format!("{why}; the step lasts {} s at least", guard.hold_seconds);
                return Ok(progress(Outcome::Waiting, percent, why));
            }
            Verdict::Pass(why) => match guard.steps.get(guard.step + 1) {
                Some(next) => (Outcome::Advanced, *next, why),
                None => (Outcome::Promoted, 100, why),
            },
            Verdict::Fail(why) => (Outcome::RolledBack, 0, why),
        };
        let reason = match outcome {
            Outcome::RolledBack => format!("canary of {version} failed {at}: {why}"),
            _ => format!("canary of {version} passed {at}: {why}"),
        };
        let moved = self.change_alias(name, alias, |record| {
            let same = record.and_then(|record| record.change.guard.as_ref());
            let same = same.is_some_and(|now| now.trial == guard.trial && now.step == guard.step);
            Ok(record
                .filter(|_| same)
                .and_then(|record| next(record, version, &guard, outcome, percent, &reason)))
        });
        if moved.await?.is_none() {
            let why = "somebody else has moved the alias; look again".to_owned();
            return Ok(progress(Outcome::Waiting, percent, why));
        }
        if matches!(outcome, Outcome::Promoted | Outcome::RolledBack) {
            self.tidy(name, alias).await;
        }
        Ok(progress(outcome, percent, reason))
    }

    /// [`advance`](Self::advance) on every alias of every model that has a guarded canary.
    pub async fn advance_all(&self) -> Result<Vec<(ModelName, Alias, Advance)>> {
        let mut all = Vec::new();
        for name in self.models().await? {
            for alias in self.aliases(&name).await? {
                let progress = self.advance(&name, &alias).await?;
                if progress.outcome != Outcome::Unguarded {
                    all.push((name.clone(), alias, progress));
                }
            }
        }
        Ok(all)
    }

    /// Writes all that a host has counted on a step of a trial. The host's name is its own alone.
    pub async fn put_counts(
        &self,
        name: &ModelName,
        alias: &Alias,
        guard: &Guard,
        host: &str,
        counts: &Counts,
    ) -> Result<()> {
        let key = layout::host_counts(name, alias, guard, host)?;
        let bytes = serde_json::to_vec(counts).map_err(|error| {
            Error::with_source(
                ErrorKind::InvalidManifest,
                format!("{key} can't be written"),
                error,
            )
        })?;
        let put = self
            .store()
            .put(&key, Bytes::from(bytes), PutCondition::Always);
        put.await
            .map_err(|error| Error::storage(format_args!("store {key}"), error))?;
        Ok(())
    }

    /// What all hosts have counted on a step, and how many they are.
    pub async fn counts(
        &self,
        name: &ModelName,
        alias: &Alias,
        guard: &Guard,
    ) -> Result<(Counts, usize)> {
        let folder = layout::counts(name, alias, guard);
        let objects = self.list(&folder).await?;
        let hosts: Vec<Counts> = stream::iter(objects)
            .map(|meta| async move {
                let Some(object) = self.get(&meta.key).await? else {
                    return Ok(Counts::default());
                };
                serde_json::from_slice(&object.bytes).map_err(|error| {
                    Error::with_source(
                        ErrorKind::InvalidManifest,
                        format!("{} can't be read; delete it", meta.key),
                        error,
                    )
                })
            })
            .buffered(READS)
            .try_collect()
            .await?;
        let mut sum = Counts::default();
        for counts in &hosts {
            sum.merge(counts);
        }
        Ok((sum, hosts.len()))
    }

    /// Removes what was counted long ago. Nothing depends on it: a failure is left to the next.
    async fn tidy(&self, name: &ModelName, alias: &Alias) {
        let Ok(objects) = self.list(&layout::trials(name, alias)).await else {
            return;
        };
        let now = SystemTime::now();
        for meta in objects {
            let age = meta.modified.and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age > LEFT_BEHIND) {
                let _ = self.store().delete(&meta.key).await;
            }
        }
    }
}

/// Where a trial goes next; `None` where the record does not allow it.
fn next(
    record: &AliasRecord,
    version: Version,
    guard: &Guard,
    outcome: Outcome,
    percent: u32,
    reason: &str,
) -> Option<Next> {
    let reason = Some(reason.to_owned());
    match outcome {
        Outcome::RolledBack => back(record, reason.as_deref()),
        Outcome::Promoted => Some(Next {
            targets: vec![Target::new(version, 1)],
            change: Change {
                reason,
                ..Change::default()
            },
        }),
        _ => Some(Next {
            targets: with_canary(record.settled(), version, percent)?,
            change: Change {
                reason,
                canary: Some(version),
                guard: Some(Guard {
                    step: guard.step + 1,
                    since: now(),
                    ..guard.clone()
                }),
                restores: None,
            },
        }),
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
