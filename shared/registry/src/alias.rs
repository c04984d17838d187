//! Aliases: which versions a name stands for, with which weights, and since when.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Alias, Artifact, Error, ErrorKind, Guard, Result, Version};

/// The earlier states that an alias remembers; older ones are dropped.
pub(crate) const HISTORY_LIMIT: usize = 200;

const TARGET_LIMIT: usize = 16;

/// The artifacts that the hints of an alias may name, all together.
const HINTED_LIMIT: usize = 128;

/// What an alias stands for now, and stood for before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AliasRecord {
    /// The schema of this document.
    pub schema: u32,
    /// The alias.
    pub alias: Alias,
    /// The versions it stands for now.
    pub targets: Vec<Target>,
    /// Since when, RFC 3339.
    pub updated: String,
    /// How it came to that.
    #[serde(flatten)]
    pub change: Change,
    /// A version that is asked too, and whose answers nobody gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// What those versions are made of, where that is known and short; empty: ask their manifests.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub hints: Vec<Hint>,
    /// What it stood for before, newest first.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
    /// What a later program wrote here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A version, and its share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The version.
    pub version: Version,
    /// Its weight against the other targets'; 1 or more.
    pub weight: u32,
    /// What a later program wrote here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The files of a version, so that a host can begin to fetch them while it reads the manifest, which
/// decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hint {
    /// The version.
    pub version: Version,
    /// Its artifacts, as in its manifest.
    pub artifacts: Vec<Artifact>,
}

/// A share of an alias's requests also runs on this version, after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// The version.
    pub version: Version,
    /// The share, 1 to 100 percent.
    pub percent: u32,
}

/// An earlier state of an alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The versions it stood for.
    pub targets: Vec<Target>,
    /// Since when it did, RFC 3339.
    pub updated: String,
    /// How it came to that.
    #[serde(flatten)]
    pub change: Change,
    /// What a later program wrote here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How an alias came to stand for what it does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version on trial: the state is a step of its canary, and no state to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Version>,
    /// What the canary has to keep, and where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// If it undid another change: the place in the history, from 0, of the state it went back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<usize>,
}

/// What an alias is to stand for next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Next {
    pub(crate) targets: Vec<Target>,
    pub(crate) change: Change,
}

impl AliasRecord {
    /// The state that holds apart from a canary: this one, or the one that the canary began from.
    pub(crate) fn settled(&self) -> &[Target] {
        if self.change.canary.is_none() {
            return &self.targets;
        }
        let before = self
            .history
            .iter()
            .find(|entry| entry.change.canary.is_none());
        before.map_or(&[], |entry| &entry.targets)
    }

    /// The state to go back to: the newest before this one that is another, and no canary's step;
    /// after going back, the one before that. Its place in the history comes with it.
    pub(crate) fn earlier(&self) -> Option<(usize, &HistoryEntry)> {
        let start = self.change.restores.map_or(0, |place| place + 1);
        let entries = self.history.iter().enumerate().skip(start);
        entries
            .filter(|(_, entry)| entry.change.canary.is_none())
            .find(|(_, entry)| entry.targets != self.targets)
    }
}

/// Gives a version `percent` of the requests, and leaves the rest to the targets as they are
/// weighted among themselves. `None` where the weights don't fit.
///
/// The version comes last: as its share grows, requests move to it and none moves back.
pub(crate) fn with_canary(base: &[Target], version: Version, percent: u32) -> Option<Vec<Target>> {
    let total = base
        .iter()
        .try_fold(0u32, |sum, target| sum.checked_add(target.weight))?;
    let mut targets = Vec::with_capacity(base.len() + 1);
    for target in base {
        let weight = target.weight.checked_mul(100 - percent)?;
        targets.push(Target {
            weight,
            ..target.clone()
        });
    }
    targets.push(Target::new(version, total.checked_mul(percent)?));
    // Weights are for people to read: 90 and 10, not 9000 and 1000.
    let divisor = targets
        .iter()
        .fold(0, |divisor, target| gcd(divisor, target.weight));
    let shrink = if base.len() == 1 { total } else { divisor };
    for target in &mut targets {
        target.weight /= shrink.max(1);
    }
    Some(targets)
}

/// Hints that can't be read are none: what the alias stands for can be.
fn readable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<Hint>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(Vec::deserialize(value).map_or_else(|_| Vec::new(), short))
}

/// The hints, if they name no more than hosts should keep of each alias.
pub(crate) fn short(hints: Vec<Hint>) -> Vec<Hint> {
    let named: usize = hints.iter().map(|hint| hint.artifacts.len()).sum();
    if named <= HINTED_LIMIT {
        hints
    } else {
        Vec::new()
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Target {
    /// A version with a weight.
    pub fn new(version: Version, weight: u32) -> Self {
        Self {
            version,
            weight,
            extra: Map::new(),
        }
    }
}

/// Refuses targets that no alias can have.
pub(crate) fn check_targets(alias: &Alias, targets: &[Target]) -> Result<()> {
    let refuse = |why: String| {
        Err(Error::new(
            ErrorKind::InvalidAlias,
            format!("alias {alias}: {why}"),
        ))
    };
    if targets.is_empty() {
        return refuse("names no version".into());
    }
    if targets.len() > TARGET_LIMIT {
        return refuse(format!(
            "names {} versions, at most {TARGET_LIMIT} are allowed",
            targets.len()
        ));
    }
    let mut seen = BTreeSet::new();
    for target in targets {
        if target.weight == 0 {
            return refuse(format!(
                "version {} has weight 0; leave it out instead",
                target.version
            ));
        }
        if !seen.insert(target.version) {
            return refuse(format!("names version {} twice", target.version));
        }
    }
    Ok(())
}

/// The target that a key falls on: the same for the same key and targets, by weight over many keys.
///
/// When weights shift between the same targets, only the keys of the shifted share move.
pub(crate) fn pick(targets: &[Target], key: u64) -> Option<Version> {
    let total: u64 = targets.iter().map(|t| u64::from(t.weight)).sum();
    // splitmix64's finalizer: keys may be counters, the slots must not be.
    let mut mixed = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let mut slot = ((u128::from(mixed) * u128::from(total)) >> 64) as u64;
    for target in targets {
        let weight = u64::from(target.weight);
        if slot < weight {
            return Some(target.version);
        }
        slot -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(weights: &[(u64, u32)]) -> Vec<Target> {
        weights
            .iter()
            .map(|&(v, w)| Target::new(Version::new(v).unwrap(), w))
            .collect()
    }

    #[test]
    fn keys_fall_by_weight_and_stay() {
        let split = targets(&[(3, 90), (4, 10)]);
        let moved = targets(&[(3, 80), (4, 20)]);
        let (mut on_four, mut changed) = (0, 0);
        for key in 0..10_000 {
            let version = pick(&split, key).unwrap();
            assert_eq!(pick(&split, key).unwrap(), version);
            on_four += u32::from(version.get() == 4);
            changed += u32::from(pick(&moved, key).unwrap() != version);
        }
        assert!((800..1200).contains(&on_four), "{on_four}");
        assert!((800..1200).contains(&changed), "{changed}");
    }

    #[test]
    fn extreme_weights() {
        let all = targets(&[(1, u32::MAX), (2, u32::MAX), (3, u32::MAX)]);
        for key in [0, 1, u64::MAX] {
            assert!(pick(&all, key).is_some());
        }
        assert_eq!(pick(&[], 0), None);
    }

    #[test]
    fn a_canary_takes_its_share_of_all() {
        let version = Version::new(9).unwrap();
        for (base, percent, want) in [
            (&[(1, 1)][..], 10, &[(1, 90), (9, 10)][..]),
            (&[(1, 7)], 5, &[(1, 95), (9, 5)]),
            (&[(1, 3), (2, 1)], 20, &[(1, 3), (2, 1), (9, 1)]),
            (&[(1, 90), (2, 10)], 50, &[(1, 9), (2, 1), (9, 10)]),
        ] {
            let got = with_canary(&targets(base), version, percent).unwrap();
            assert_eq!(got, targets(want), "{percent} % beside {base:?}");
        }
        assert_eq!(
            with_canary(&targets(&[(1, u32::MAX), (2, 1)]), version, 5),
            None
        );
    }

    #[test]
    fn going_back_passes_over_canaries_and_what_was_undone() {
        let record =
            |now: &[(u64, u32)], change: Change, history: &[(u64, Option<u64>)]| AliasRecord {
                schema: 1,
                alias: Alias::production(),
                targets: targets(now),
                updated: String::new(),
                change,
                shadow: None,
                hints: Vec::new(),
                history: history
                    .iter()
                    .map(|&(version, canary)| HistoryEntry {
                        targets: targets(&[(version, 1)]),
                        updated: String::new(),
                        change: Change {
                            canary: canary.map(|v| Version::new(v).unwrap()),
                            ..Change::default()
                        },
                        extra: Map::new(),
                    })
                    .collect(),
                extra: Map::new(),
            };
        let back = |record: &AliasRecord| record.earlier().map(|(place, _)| place);
        let none = Change::default;
        assert_eq!(back(&record(&[(1, 1)], none(), &[])), None);
        assert_eq!(back(&record(&[(2, 1)], none(), &[(1, None)])), Some(0));
        // 1, then a canary of 2 in two steps, then 2.
        let canary = [(2, Some(2)), (1, Some(2)), (1, None)];
        assert_eq!(back(&record(&[(2, 1)], none(), &canary)), Some(2));
        // 1, 2, 3, back to 2: the next one is 1.
        let restores = Change {
            restores: Some(1),
            ..none()
        };
        let undone = [(3, None), (2, None), (1, None)];
        assert_eq!(back(&record(&[(2, 1)], restores, &undone)), Some(2));
        let on_trial = Change {
            canary: Version::new(3).ok(),
            ..none()
        };
        let record = record(&[(1, 90), (3, 10)], on_trial, &[(1, None), (3, None)]);
        assert_eq!(
            (back(&record), record.settled()),
            (Some(0), &targets(&[(1, 1)])[..])
        );
    }

    #[test]
    fn targets_that_are_refused() {
        let alias = Alias::production();
        let many: Vec<_> = (1..=17).map(|v| (v, 1)).collect();
        for (weights, why) in [
            (&[][..], "no version"),
            (&[(1, 0)], "weight 0"),
            (&[(1, 1), (1, 2)], "twice"),
            (&many, "at most 16"),
        ] {
            let error = check_targets(&alias, &targets(weights)).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
