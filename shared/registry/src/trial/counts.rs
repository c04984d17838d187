//! What hosts count of a trial.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Version;

/// Buckets of time for each doubling: a bucket is 9 % wide.
const BUCKETS_A_DOUBLING: f64 = 8.0;

/// The share of requests that may be slower than a p95.
pub(super) const BEYOND_P95: f64 = 0.05;

/// What hosts have counted on one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// By version.
    #[serde(default)]
    pub versions: BTreeMap<Version, Served>,
    /// The requests of others that the version on trial answered too.
    #[serde(default)]
    pub mirrored: Mirrored,
}

/// The requests of one version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// All that were the version's to answer, but for those that were the caller's own fault.
    pub requests: u64,
    /// Those that it failed, by kind of error.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// How long the others took.
    #[serde(default)]
    pub times: Times,
}

/// Requests that ran on a second version after their reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirrored {
    /// Answered the same.
    pub agreed: u64,
    /// Answered otherwise.
    pub differed: u64,
    /// Failed on the second version alone.
    pub failed: u64,
}

/// Times in buckets of 9 %: the bucket's number to how many fell in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Times(BTreeMap<u16, u64>);

impl Times {
    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        let micros = (time.as_secs_f64() * 1e6).max(1.0);
        let bucket = (micros.log2() * BUCKETS_A_DOUBLING).ceil();
        *self.0.entry(bucket as u16).or_default() += 1;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The 95th percentile in milliseconds, at most 9 % too high. 0 without any.
    pub fn p95_ms(&self) -> f64 {
        let wanted = (self.count() as f64 * (1.0 - BEYOND_P95)).ceil() as u64;
        let mut below = 0;
        for (bucket, count) in &self.0 {
            below += count;
            if below >= wanted {
                return upper_ms(*bucket);
            }
        }
        0.0
    }

    /// Adds others.
    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// How many certainly took longer.
    pub(super) fn longer_than(&self, ms: f64) -> u64 {
        let longer = self.0.iter().filter(|(bucket, _)| lower_ms(**bucket) >= ms);
        longer.map(|(_, count)| count).sum()
    }
}

fn upper_ms(bucket: u16) -> f64 {
    (f64::from(bucket) / BUCKETS_A_DOUBLING).exp2() / 1e3
}

fn lower_ms(bucket: u16) -> f64 {
    upper_ms(bucket.saturating_sub(1))
}

impl Served {
    /// Those that it failed.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Mirrored {
    /// All that were compared.
    pub fn count(&self) -> u64 {
        self.agreed + self.differed + self.failed
    }
}

impl Counts {
    /// Adds what another host has counted.
    pub fn merge(&mut self, other: &Self) {
        for (version, served) in &other.versions {
            let sum = self.versions.entry(*version).or_default();
            sum.requests += served.requests;
            for (kind, count) in &served.errors {
                *sum.errors.entry(kind.clone()).or_default() += count;
            }
            sum.times.merge(&served.times);
        }
        self.mirrored.agreed += other.mirrored.agreed;
        self.mirrored.differed += other.mirrored.differed;
        self.mirrored.failed += other.mirrored.failed;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn version(number: u64) -> Version {
        Version::new(number).expect("a number")
    }

    pub(in crate::trial) fn served(requests: u64, failed: u64, ms: &[(u64, u64)]) -> Served {
        let mut times = Times::default();
        for &(ms, count) in ms {
            for _ in 0..count {
                times.add(Duration::from_millis(ms));
            }
        }
        let errors = (failed > 0).then(|| ("inference_failed".to_owned(), failed));
        Served {
            requests,
            errors: errors.into_iter().collect(),
            times,
        }
    }

    #[test]
    fn the_p95_is_at_most_a_bucket_too_high() {
        let all = served(100, 0, &[(10, 94), (40, 6)]).times;
        assert!((40.0..44.0).contains(&all.p95_ms()), "{}", all.p95_ms());
        let most = served(100, 0, &[(10, 96), (40, 4)]).times;
        assert!((10.0..11.0).contains(&most.p95_ms()), "{}", most.p95_ms());
        assert!(Times::default().p95_ms() < 1e-9);
        let mut instant = Times::default();
        instant.add(Duration::ZERO);
        assert_eq!(instant.count(), 1);
    }

    #[test]
    fn counts_of_hosts_add_up_and_survive_json() {
        let mut one = Counts::default();
        one.versions.insert(version(2), served(10, 1, &[(5, 9)]));
        one.mirrored.agreed = 3;
        let text = serde_json::to_string(&one).expect("JSON");
        let read: Counts = serde_json::from_str(&text).expect("counts");
        assert_eq!(read, one);
        one.merge(&read);
        let sum = &one.versions[&version(2)];
        assert_eq!((sum.requests, sum.failed(), sum.times.count()), (20, 2, 18));
        assert_eq!(one.mirrored.count(), 6);
    }
}
