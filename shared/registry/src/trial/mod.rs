//! Guarded canaries: the gates that a version on trial has to pass, and what hosts count of it.

mod counts;
mod gates;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::counts::{Counts, Mirrored, Served, Times};
pub use self::gates::Gates;

use self::counts::BEYOND_P95;
use crate::Version;

/// A trial that moves on by itself, or back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// Names the trial: where its counts lie.
    pub trial: String,
    /// The version's shares of the requests in percent, step by step; after the last it gets all.
    pub steps: Vec<u32>,
    /// The step that it is on, from 0.
    pub step: usize,
    /// Since when, seconds since 1970.
    pub since: u64,
    /// What each gate wants to see on a step, at least: requests, or mirrored requests.
    pub min_requests: u64,
    /// How long a step lasts at least, in seconds.
    pub hold_seconds: u64,
    /// What has to be kept.
    pub gates: Gates,
    /// What a later program wrote here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What the counts say of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Not enough was seen yet.
    Wait(String),
    /// Every gate is kept.
    Pass(String),
    /// A gate can't be kept any more.
    Fail(String),
}

/// One gate's look: `bad` of `seen`, of which `allowed` (a share) may be.
struct Look {
    bad: u64,
    seen: u64,
    allowed: f64,
    words: String,
}

impl Look {
    /// Too many are bad, however good the rest of the least number will be.
    fn failed(&self, least: u64) -> bool {
        self.bad as f64 > self.allowed * self.seen.max(least) as f64
    }
}

impl Guard {
    /// The version's share on this step, in percent.
    pub fn percent(&self) -> Option<u32> {
        self.steps.get(self.step).copied()
    }

    /// What the counts of this step say of the version on trial.
    ///
    /// A gate fails as soon as it can't be kept on the least number of requests any more, and passes
    /// once that many were seen.
    pub fn judge(&self, version: Version, counts: &Counts) -> Verdict {
        let looks = self.looks(version, counts);
        let failed: Vec<&str> = looks
            .iter()
            .filter(|look| look.failed(self.min_requests))
            .map(|look| look.words.as_str())
            .collect();
        if !failed.is_empty() {
            return Verdict::Fail(failed.join(", "));
        }
        let words: Vec<&str> = looks.iter().map(|look| look.words.as_str()).collect();
        let words = words.join(", ");
        if looks.iter().all(|look| look.seen >= self.min_requests) {
            Verdict::Pass(words)
        } else {
            Verdict::Wait(format!("{words}; each gate wants {}", self.min_requests))
        }
    }

    fn looks(&self, version: Version, counts: &Counts) -> Vec<Look> {
        let none = Served::default();
        let own = counts.versions.get(&version).unwrap_or(&none);
        let mut looks = Vec::new();
        if let Some(allowed) = self.gates.max_error_rate {
            let (bad, seen) = (own.failed(), own.requests);
            let kinds: Vec<String> = own
                .errors
                .iter()
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            let kinds = if kinds.is_empty() {
                String::new()
            } else {
                format!(" ({})", kinds.join(", "))
            };
            let words = format!(
                "errors {}{kinds} of {seen} requests, at most {}",
                share(bad, seen),
                percent(allowed)
            );
            looks.push(Look {
                bad,
                seen,
                allowed,
                words,
            });
        }
        let p95 = |limit: f64, seen: u64| Look {
            bad: own.times.longer_than(limit),
            seen,
            allowed: BEYOND_P95,
            words: format!(
                "p95 {:.3} ms of {} requests, at most {limit:.3} ms",
                own.times.p95_ms(),
                own.times.count()
            ),
        };
        if let Some(limit) = self.gates.max_p95_ms {
            looks.push(p95(limit, own.times.count()));
        }
        if let Some(ratio) = self.gates.max_p95_ratio {
            let mut beside = Times::default();
            for (_, served) in counts
                .versions
                .iter()
                .filter(|(other, _)| **other != version)
            {
                beside.merge(&served.times);
            }
            // What is compared with has to be known as well.
            let known = beside.count() >= self.min_requests;
            let limit = if known {
                beside.p95_ms() * ratio
            } else {
                f64::INFINITY
            };
            looks.push(p95(limit, own.times.count().min(beside.count())));
        }
        if let Some(least) = self.gates.min_agreement {
            let mirrored = counts.mirrored;
            let (bad, seen) = (mirrored.differed + mirrored.failed, mirrored.count());
            let words = format!(
                "agreement {} of {seen} mirrored requests, at least {}",
                share(mirrored.agreed, seen),
                percent(least)
            );
            looks.push(Look {
                bad,
                seen,
                allowed: 1.0 - least,
                words,
            });
        }
        looks
    }
}

fn share(part: u64, all: u64) -> String {
    if all == 0 {
        return "unknown".to_owned();
    }
    percent(part as f64 / all as f64)
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 1e2)
}

#[cfg(test)]
mod tests {
    use super::counts::tests::served;
    use super::*;

    fn version(number: u64) -> Version {
        Version::new(number).expect("a number")
    }

    fn guard(gates: &str) -> Guard {
        Guard {
            trial: "t".into(),
            steps: vec![10, 50],
            step: 0,
            since: 0,
            min_requests: 100,
            hold_seconds: 0,
            gates: gates.parse().expect(gates),
            extra: Map::new(),
        }
    }

    #[test]
    fn a_step_waits_passes_or_fails() {
        let two = version(2);
        let fast = &[(5, 100)][..];
        let mirrored = |agreed, differed| Mirrored {
            agreed,
            differed,
            failed: 0,
        };
        let cases = [
            ("errors=1%", served(99, 0, fast), mirrored(0, 0), "wait"),
            ("errors=1%", served(100, 1, fast), mirrored(0, 0), "pass"),
            // Two of a hundred are too many: no need to see them all.
            ("errors=1%", served(2, 2, &[]), mirrored(0, 0), "fail"),
            ("errors=1%", served(400, 4, fast), mirrored(0, 0), "pass"),
            ("errors=0%", served(1, 1, &[]), mirrored(0, 0), "fail"),
            ("p95=10ms", served(100, 0, fast), mirrored(0, 0), "pass"),
            (
                "p95=10ms",
                served(100, 0, &[(5, 95), (50, 5)]),
                mirrored(0, 0),
                "pass",
            ),
            ("p95=10ms", served(6, 0, &[(50, 6)]), mirrored(0, 0), "fail"),
            (
                "p95=2x",
                served(100, 0, &[(5, 100)]),
                mirrored(0, 0),
                "pass",
            ),
            (
                "p95=2x",
                served(100, 0, &[(20, 100)]),
                mirrored(0, 0),
                "fail",
            ),
            ("agreement=90%", served(0, 0, &[]), mirrored(95, 5), "pass"),
            ("agreement=90%", served(0, 0, &[]), mirrored(0, 11), "fail"),
            ("agreement=90%", served(0, 0, &[]), mirrored(50, 5), "wait"),
            (
                "errors=1%,agreement=90%",
                served(500, 0, fast),
                mirrored(50, 0),
                "wait",
            ),
        ];
        for (gates, own, mirrored, want) in cases {
            let mut counts = Counts {
                mirrored,
                ..Counts::default()
            };
            counts
                .versions
                .insert(version(1), served(900, 0, &[(6, 900)]));
            counts.versions.insert(two, own);
            let got = match guard(gates).judge(two, &counts) {
                Verdict::Wait(_) => "wait",
                Verdict::Pass(_) => "pass",
                Verdict::Fail(_) => "fail",
            };
            assert_eq!(got, want, "{gates} on {counts:?}");
        }
        let nothing = guard("p95=2x").judge(two, &Counts::default());
        assert!(matches!(nothing, Verdict::Wait(_)), "{nothing:?}");
    }
}
