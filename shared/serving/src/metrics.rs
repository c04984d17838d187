//! Counters, under Triton's names and with its split, plus a few of our own.
//!
//! Only models that exist are labels: a name made up by a caller costs no series.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dunlin_registry::{ModelName, Version};
use dunlin_telemetry::Phases;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    CounterVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::usage::{REASONS, Usage, micros};
use crate::{Error, facts};

/// Pairs of model and version that get series of their own; the rest share one.
const SERIES: usize = 1000;

/// The label values of models beyond [`SERIES`].
const OTHER: &str = "_other";

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// All counters of a service.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    success: IntCounterVec,
    failure: IntCounterVec,
    inferences: IntCounterVec,
    executions: IntCounterVec,
    request: CounterVec,
    queue: CounterVec,
    input: CounterVec,
    infer: CounterVec,
    output: CounterVec,
    pending: IntGaugeVec,
    duration: HistogramVec,
    /// Those that Triton has no name for.
    pub(crate) own: Own,
    usages: Mutex<Usages>,
}

/// The counters that Triton has no name for.
#[derive(Debug)]
pub(crate) struct Own {
    errors: IntCounterVec,
    loads: IntCounterVec,
    load_time: CounterVec,
    mirrored: IntCounterVec,
    captured: IntCounterVec,
    starts: IntCounter,
    start_time: CounterVec,
    /// Models taken out of the cache to make room.
    pub(crate) evictions: IntCounter,
    /// Bytes that loaded models hold, evicted ones that still run included.
    pub(crate) memory: IntGauge,
    /// Bytes that they may hold.
    pub(crate) capacity: IntGauge,
    /// Models loaded.
    pub(crate) loaded: IntGauge,
    /// Runs going on.
    pub(crate) running: IntGauge,
    /// Runs waiting for a worker.
    pub(crate) waiting: IntGauge,
}

/// The labels of what is counted by model and version.
const BOTH: [&str; 2] = ["model", "version"];

/// Registers a metric. The names are constants, and any test finds two that are the same.
fn add<C: Collector + Clone + 'static>(all: &Registry, made: prometheus::Result<C>) -> C {
    let metric = made.expect("the names of metrics and labels are sound");
    all.register(Box::new(metric.clone()))
        .expect("the names of metrics differ");
    metric
}

fn ints(all: &Registry, name: &str, help: &str) -> IntCounterVec {
    add(all, IntCounterVec::new(Opts::new(name, help), &BOTH))
}

fn times(all: &Registry, name: &str, help: &str) -> CounterVec {
    add(all, CounterVec::new(Opts::new(name, help), &BOTH))
}

impl Own {
    fn new(all: &Registry) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            add(all, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name: &str, help: &str| add(all, IntGauge::new(name, help));
        Self {
            errors: counter("dunlin_errors_total", "Error replies, by kind", &["kind"]),
            loads: counter(
                "dunlin_model_loads_total",
                "Loads of models, by outcome",
                &["model", "version", "outcome"],
            ),
            load_time: add(
                all,
                CounterVec::new(
                    Opts::new(
                        "dunlin_model_load_duration_us",
                        "Time of loads that succeeded, by phase, microseconds",
                    ),
                    &["model", "version", "phase"],
                ),
            ),
            mirrored: counter(
                "dunlin_mirrored_total",
                "Requests that the version was asked too, after another's reply, by outcome",
                &["model", "version", "outcome"],
            ),
            captured: counter(
                "dunlin_captured_total",
                "Requests whose payloads were to be kept, by outcome",
                &["model", "version", "outcome"],
            ),
            starts: add(
                all,
                IntCounter::new("dunlin_starts_total", "Starts of the process: cold starts"),
            ),
            start_time: add(
                all,
                CounterVec::new(
                    Opts::new(
                        "dunlin_start_duration_us",
                        "Time until the process could answer, by part, microseconds",
                    ),
                    &["part"],
                ),
            ),
            evictions: add(
                all,
                IntCounter::new(
                    "dunlin_model_evictions_total",
                    "Models taken out of the cache to make room",
                ),
            ),
            memory: gauge("dunlin_model_memory_bytes", "Bytes that loaded models hold"),
            capacity: gauge(
                "dunlin_model_memory_limit_bytes",
                "Bytes that they may hold",
            ),
            loaded: gauge("dunlin_models_loaded", "Models loaded"),
            running: gauge("dunlin_running", "Runs going on"),
            waiting: gauge("dunlin_waiting", "Runs waiting for a worker"),
        }
    }
}

type Usages = HashMap<(ModelName, Version), Arc<Usage>>;

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Usages> {
        // Nothing panics while it holds the lock.
        self.usages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers all.
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        let us = ", microseconds";
        Self {
            success: ints(
                all,
                "nv_inference_request_success",
                "Inference requests that succeeded",
            ),
            failure: add(
                all,
                IntCounterVec::new(
                    Opts::new(
                        "nv_inference_request_failure",
                        "Inference requests that failed",
                    ),
                    &["model", "version", "reason"],
                ),
            ),
            inferences: ints(
                all,
                "nv_inference_count",
                "Inferences; a batch of n counts n",
            ),
            executions: ints(all, "nv_inference_exec_count", "Runs; a batch counts one"),
            request: times(
                all,
                "nv_inference_request_duration_us",
                &format!("Time of inference requests from end to end{us}"),
            ),
            queue: times(
                all,
                "nv_inference_queue_duration_us",
                &format!("Time that requests waited for a worker{us}"),
            ),
            input: times(
                all,
                "nv_inference_compute_input_duration_us",
                &format!("Time to make input tensors{us}"),
            ),
            infer: times(
                all,
                "nv_inference_compute_infer_duration_us",
                &format!("Time to run the model{us}"),
            ),
            output: times(
                all,
                "nv_inference_compute_output_duration_us",
                &format!("Time to make replies of output tensors{us}"),
            ),
            pending: add(
                all,
                IntGaugeVec::new(
                    Opts::new(
                        "nv_inference_pending_request_count",
                        "Requests that wait for a worker",
                    ),
                    &BOTH,
                ),
            ),
            duration: add(
                all,
                HistogramVec::new(
                    HistogramOpts::new(
                        "dunlin_request_duration_seconds",
                        "Inference requests that succeeded, from end to end",
                    )
                    .buckets(BUCKETS.to_vec()),
                    &BOTH,
                ),
            ),
            own: Own::new(all),
            usages: Mutex::default(),
            registry,
        }
    }

    /// The counters of a model that exists.
    pub(crate) fn usage(&self, name: &ModelName, version: Version) -> Arc<Usage> {
        let mut usages = self.lock();
        if let Some(usage) = usages.get(&(name.clone(), version)) {
            return usage.clone();
        }
        let room = usages.len() < SERIES;
        let number = version.to_string();
        let both = if room {
            [name.as_str(), number.as_str()]
        } else {
            [OTHER, OTHER]
        };
        let usage = Arc::new(Usage {
            success: self.success.with_label_values(&both),
            failure: REASONS
                .map(|reason| self.failure.with_label_values(&[both[0], both[1], reason])),
            inferences: self.inferences.with_label_values(&both),
            executions: self.executions.with_label_values(&both),
            request: self.request.with_label_values(&both),
            queue: self.queue.with_label_values(&both),
            input: self.input.with_label_values(&both),
            infer: self.infer.with_label_values(&both),
            output: self.output.with_label_values(&both),
            pending: self.pending.with_label_values(&both),
            duration: self.duration.with_label_values(&both),
            failed_ns: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            batches: Mutex::default(),
        });
        if room {
            usages.insert((name.clone(), version), usage.clone());
        }
        usage
    }

    /// The counters of every version that has some, in order.
    pub(crate) fn usages(&self) -> BTreeMap<(ModelName, Version), Arc<Usage>> {
        self.lock()
            .iter()
            .map(|(key, usage)| (key.clone(), usage.clone()))
            .collect()
    }

    /// Counts an error reply.
    pub(crate) fn error(&self, error: &Error) {
        self.own
            .errors
            .with_label_values(&[facts(error.kind()).word])
            .inc();
    }

    /// Versions beyond the limit share series here too.
    fn labels(&self, name: &ModelName, version: Version) -> [String; 2] {
        if self.lock().contains_key(&(name.clone(), version)) {
            [name.to_string(), version.to_string()]
        } else {
            [OTHER, OTHER].map(str::to_owned)
        }
    }

    /// Counts a request that a second version was, or should have been, asked too.
    pub(crate) fn mirrored(&self, name: &ModelName, version: Version, outcome: &str) {
        let [name, number] = &self.labels(name, version);
        let counter = &self.own.mirrored;
        counter.with_label_values(&[name, number, outcome]).inc();
    }

    /// Counts a request whose payload was kept, or should have been.
    pub(crate) fn captured(&self, name: &ModelName, version: Version, outcome: &str) {
        let [name, number] = &self.labels(name, version);
        let counter = &self.own.captured;
        counter.with_label_values(&[name, number, outcome]).inc();
    }

    /// Counts a load; `phases` of one that succeeded.
    pub(crate) fn load(&self, name: &ModelName, version: Version, phases: Option<&Phases>) {
        let [name, number] = &self.labels(name, version);
        let [name, number] = [name.as_str(), number.as_str()];
        let outcome = if phases.is_some() {
            "success"
        } else {
            "failure"
        };
        self.own
            .loads
            .with_label_values(&[name, number, outcome])
            .inc();
        for (phase, took) in phases.iter().flat_map(|phases| phases.iter()) {
            self.own
                .load_time
                .with_label_values(&[name, number, phase.name()])
                .inc_by(micros(took));
        }
    }

    /// Counts a start of the process.
    pub(crate) fn start(&self, parts: &[(&str, Duration)]) {
        self.own.starts.inc();
        for (part, took) in parts {
            let counter = self.own.start_time.with_label_values(&[part]);
            counter.inc_by(micros(*took));
        }
    }

    /// All of it, as data.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// The text of `GET /metrics`.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.families())
    }
}

#[cfg(test)]
mod tests {
    use dunlin_telemetry::Phase;

    use super::*;

    #[test]
    fn series_are_bounded() {
        let metrics = Metrics::new();
        let name = ModelName::new("m").expect("a name");
        for number in 1..=SERIES as u64 + 50 {
            let version = Version::new(number).expect("a number");
            metrics.usage(&name, version).success.inc();
            metrics.load(&name, version, None);
        }
        let text = metrics.text().expect("it encodes");
        let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("nv_inference_request_success{"), SERIES + 1);
        assert_eq!(count("dunlin_model_loads_total{"), SERIES + 1);
        assert!(
            text.contains("nv_inference_request_success{model=\"_other\",version=\"_other\"} 50")
        );
    }

    #[test]
    fn a_success_is_split_as_triton_splits_it() {
        let metrics = Metrics::new();
        let usage = metrics.usage(&ModelName::new("m").expect("a name"), Version::FIRST);
        let mut phases = Phases::new();
        phases.record(Phase::Queue, Duration::from_micros(10));
        phases.record(Phase::Infer, Duration::from_micros(500));
        usage.succeeded(&phases, Duration::from_micros(600), 4);
        usage.failed("BACKEND", Duration::from_micros(5));
        let text = metrics.text().expect("it encodes");
        for line in [
            "nv_inference_request_success{model=\"m\",version=\"1\"} 1",
            "nv_inference_request_failure{model=\"m\",reason=\"BACKEND\",version=\"1\"} 1",
            "nv_inference_request_failure{model=\"m\",reason=\"REJECTED\",version=\"1\"} 0",
            "nv_inference_count{model=\"m\",version=\"1\"} 4",
            "nv_inference_exec_count{model=\"m\",version=\"1\"} 1",
            "nv_inference_compute_infer_duration_us{model=\"m\",version=\"1\"} 500",
            "nv_inference_queue_duration_us{model=\"m\",version=\"1\"} 10",
        ] {
            assert!(
                text.lines().any(|got| got == line),
                "{line} is not in\n{text}"
            );
        }
        assert_eq!(usage.failures(), (1, 5000));
    }
}
