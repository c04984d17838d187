//! Aliases: which versions a name stands for, with which weights, and since when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Alias, Error, ErrorKind, Result, Version};

/// The earlier states that an alias remembers; older ones are dropped.
pub(crate) const HISTORY_LIMIT: usize = 200;

const TARGET_LIMIT: usize = 16;

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

/// An earlier state of an alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The versions it stood for.
    pub targets: Vec<Target>,
    /// Since when it did, RFC 3339.
    pub updated: String,
    /// What a later program wrote here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
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
