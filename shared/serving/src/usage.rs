//! The counters of one version of one model.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dunlin_telemetry::{Phase, Phases};
use prometheus::{Counter, Histogram, IntCounter, IntGauge};

/// Different batch sizes counted by themselves; the rest are left out of the batch statistics.
const BATCH_SIZES: usize = 64;

/// What a version's requests are counted in.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(crate) success: IntCounter,
    pub(crate) failure: [IntCounter; REASONS.len()],
    pub(crate) inferences: IntCounter,
    pub(crate) executions: IntCounter,
    /// Microseconds, as are the next four.
    pub(crate) request: Counter,
    pub(crate) queue: Counter,
    pub(crate) input: Counter,
    pub(crate) infer: Counter,
    pub(crate) output: Counter,
    pub(crate) pending: IntGauge,
    pub(crate) duration: Histogram,
    pub(crate) failed_ns: AtomicU64,
    pub(crate) last_ms: AtomicU64,
    pub(crate) batches: Mutex<BTreeMap<u64, Batch>>,
}

/// What runs of one batch size took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Batch {
    pub(crate) count: u64,
    pub(crate) input: Duration,
    pub(crate) infer: Duration,
    pub(crate) output: Duration,
}

/// Triton's reasons of failure.
pub(crate) const REASONS: [&str; 4] = ["REJECTED", "CANCELED", "BACKEND", "OTHER"];

/// The reason of a request whose caller went away.
pub(crate) const CANCELED: &str = "CANCELED";

/// A duration as Triton's metrics have it: microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

impl Usage {
    /// Counts a request that succeeded.
    pub(crate) fn succeeded(&self, phases: &Phases, total: Duration, batch: u64) {
        let took = |phase| phases.get(phase).unwrap_or_default();
        let (input, infer, output) = (took(Phase::Decode), took(Phase::Infer), took(Phase::Encode));
        self.success.inc();
        self.inferences.inc_by(batch);
        self.executions.inc();
        self.request.inc_by(micros(total));
        self.queue.inc_by(micros(took(Phase::Queue)));
        self.input.inc_by(micros(input));
        self.infer.inc_by(micros(infer));
        self.output.inc_by(micros(output));
        self.duration.observe(total.as_secs_f64());
        self.touch();
        let mut batches = self.lock_batches();
        if batches.len() < BATCH_SIZES || batches.contains_key(&batch) {
            let sum = batches.entry(batch).or_default();
            sum.count += 1;
            sum.input += input;
            sum.infer += infer;
            sum.output += output;
        }
    }

    /// Counts a request that failed, under one of Triton's reasons.
    pub(crate) fn failed(&self, reason: &str, total: Duration) {
        if let Some(index) = REASONS.iter().position(|known| *known == reason) {
            self.failure[index].inc();
        }
        self.failed_ns
            .fetch_add(total.as_nanos() as u64, Ordering::Relaxed);
        self.touch();
    }

    fn lock_batches(&self) -> MutexGuard<'_, BTreeMap<u64, Batch>> {
        // Nothing panics while it holds the lock.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.last_ms
            .store(now.as_millis() as u64, Ordering::Relaxed);
    }

    /// Counts a request as pending until the guard is dropped.
    pub(crate) fn pend(&self) -> Pending {
        self.pending.inc();
        Pending(self.pending.clone())
    }

    /// Requests that failed, and nanoseconds that they took together.
    pub(crate) fn failures(&self) -> (u64, u64) {
        let count = self.failure.iter().map(IntCounter::get).sum();
        (count, self.failed_ns.load(Ordering::Relaxed))
    }

    /// When the last request ended: milliseconds since 1970.
    pub(crate) fn last_ms(&self) -> u64 {
        self.last_ms.load(Ordering::Relaxed)
    }

    /// Runs by batch size.
    pub(crate) fn batches(&self) -> BTreeMap<u64, Batch> {
        self.lock_batches().clone()
    }
}

/// A request that waits, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Pending(IntGauge);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.dec();
    }
}
