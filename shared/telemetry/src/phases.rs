//! How long each phase of a request took.

use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

/// One step on the road of a request, in the order in which they are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Name and version or alias → manifest.
    Resolve,
    /// The model's bytes arrive from storage.
    Fetch,
    /// Digests are checked.
    Verify,
    /// The engine parses and optimizes the model.
    Load,
    /// The golden examples are replayed, and the plan is warm.
    Warm,
    /// Waiting for a worker.
    Queue,
    /// Request body → tensors.
    Decode,
    /// The engine runs the model.
    Infer,
    /// Tensors → reply body.
    Encode,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 9] = [
        Phase::Resolve,
        Phase::Fetch,
        Phase::Verify,
        Phase::Load,
        Phase::Warm,
        Phase::Queue,
        Phase::Decode,
        Phase::Infer,
        Phase::Encode,
    ];

    /// The phase's name in logs, metrics and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Resolve => "resolve",
            Phase::Fetch => "fetch",
            Phase::Verify => "verify",
            Phase::Load => "load",
            Phase::Warm => "warm",
            Phase::Queue => "queue",
            Phase::Decode => "decode",
            Phase::Infer => "infer",
            Phase::Encode => "encode",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The durations of one request's phases. A phase recorded twice holds the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    durations: [Option<Duration>; Phase::ALL.len()],
}

impl Phases {
    /// No phase recorded yet.
    pub const fn new() -> Self {
        Self {
            durations: [None; Phase::ALL.len()],
        }
    }

    /// Starts a phase's clock; [`Started::stop`] records it.
    ///
    /// The clock borrows nothing, so that it may run across an `await` or on another thread.
    #[must_use]
    pub fn start(phase: Phase) -> Started {
        Started {
            phase,
            at: Instant::now(),
        }
    }

    /// Adds to a phase's duration.
    pub fn record(&mut self, phase: Phase, duration: Duration) {
        let slot = &mut self.durations[phase as usize];
        *slot = Some(slot.unwrap_or_default() + duration);
    }

    /// Runs `work` and records how long it took.
    pub fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let started = Self::start(phase);
        let result = work();
        started.stop(self);
        result
    }

    /// How long a phase took, if it was passed.
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        self.durations[phase as usize]
    }

    /// The phases passed, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL
            .into_iter()
            .filter_map(|phase| Some((phase, self.get(phase)?)))
    }

    /// Adds every phase of `other`.
    pub fn merge(&mut self, other: &Phases) {
        for (phase, duration) in other.iter() {
            self.record(phase, duration);
        }
    }

    /// The value of a `Server-Timing` header: milliseconds, phases in order.
    ///
    /// See <https://www.w3.org/TR/server-timing/>.
    pub fn server_timing(&self) -> String {
        let mut text = String::with_capacity(96);
        for (phase, duration) in self.iter() {
            if !text.is_empty() {
                text.push_str(", ");
            }
            // Writing to a String cannot fail.
            let _ = write!(text, "{phase};dur={:.3}", duration.as_secs_f64() * 1e3);
        }
        text
    }
}

/// A running clock of one phase, made by [`Phases::start`].
#[derive(Debug, Clone, Copy)]
pub struct Started {
    phase: Phase,
    at: Instant,
}

impl Started {
    /// Stops the clock and adds its time to `phases`.
    pub fn stop(self, phases: &mut Phases) -> Duration {
        let elapsed = self.at.elapsed();
        phases.record(self.phase, elapsed);
        elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_positions_follow_the_order() {
        for (position, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, position);
        }
    }

    #[test]
    fn a_phase_recorded_twice_holds_the_sum() {
        let mut phases = Phases::new();
        phases.record(Phase::Infer, Duration::from_millis(2));
        phases.record(Phase::Infer, Duration::from_millis(3));
        assert_eq!(phases.get(Phase::Infer), Some(Duration::from_millis(5)));
        assert_eq!(phases.get(Phase::Load), None);
    }

    #[test]
    fn server_timing_lists_phases_in_order_in_milliseconds() {
        let mut phases = Phases::new();
        assert_eq!(phases.server_timing(), "");
        phases.record(Phase::Encode, Duration::from_nanos(1_500));
        phases.record(Phase::Resolve, Duration::from_millis(12));
        assert_eq!(
            phases.server_timing(),
            "resolve;dur=12.000, encode;dur=0.002"
        );
    }

    #[test]
    fn merging_adds() {
        let (mut ours, mut load) = (Phases::new(), Phases::new());
        ours.record(Phase::Resolve, Duration::from_millis(1));
        load.record(Phase::Load, Duration::from_millis(7));
        ours.merge(&load);
        let names: Vec<_> = ours.iter().map(|(phase, _)| phase.name()).collect();
        assert_eq!(names, ["resolve", "load"]);
    }
}
