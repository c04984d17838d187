//! Metrics as log lines that `CloudWatch` reads: the embedded metric format.
//!
//! Format: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use serde_json::{Map, Value, json};

/// Values of one metric in a line, by the specification.
const VALUES: usize = 100;

type Labels = BTreeMap<String, String>;

/// Turns what has changed in metrics since it was last asked into log lines, under the same names
/// and with the labels as dimensions.
#[derive(Debug)]
pub struct Emf {
    namespace: String,
    seen: HashMap<(String, Labels), Seen>,
}

/// What a series was when it was last told.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    value: f64,
    /// Of a histogram: how many were counted up to each bound, and in all.
    counts: Vec<u64>,
}

/// One metric of a line.
struct Told {
    name: String,
    unit: &'static str,
    value: Value,
}

impl Emf {
    /// Metrics of this namespace. Nothing was told before.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            seen: HashMap::new(),
        }
    }

    /// The lines of what has changed, each a JSON object with a line end; empty if nothing has.
    ///
    /// Counters tell their growth, gauges their value, histograms each observation: exact where
    /// there was one, else the upper bound of its bucket. `properties` (ids, names; never
    /// payloads) stand beside the metrics, for searching.
    pub fn lines(
        &mut self,
        families: &[MetricFamily],
        properties: &[(&str, &str)],
        now: SystemTime,
    ) -> String {
        let mut lines: BTreeMap<Labels, Vec<Told>> = BTreeMap::new();
        for family in families {
            for metric in family.get_metric() {
                let labels = labels(metric);
                let name = family.name();
                let seen = self
                    .seen
                    .entry((name.to_owned(), labels.clone()))
                    .or_default();
                if let Some(value) = change(family.get_field_type(), metric, seen) {
                    let unit = unit(name);
                    let name = name.to_owned();
                    lines
                        .entry(labels)
                        .or_default()
                        .push(Told { name, unit, value });
                }
            }
        }
        let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let mut text = String::new();
        for (labels, told) in &lines {
            text.push_str(&self.line(labels, told, properties, timestamp.as_millis() as u64));
            text.push('\n');
        }
        text
    }

    fn line(
        &self,
        labels: &Labels,
        told: &[Told],
        properties: &[(&str, &str)],
        timestamp: u64,
    ) -> String {
        let defined: Vec<_> = told
            .iter()
            .map(|told| json!({"Name": told.name, "Unit": told.unit}))
            .collect();
        let dimensions: Vec<&String> = labels.keys().collect();
        let mut line = Map::new();
        line.insert(
            "_aws".into(),
            json!({
                "Timestamp": timestamp,
                "CloudWatchMetrics": [{
                    "Namespace": self.namespace,
                    "Dimensions": [dimensions],
                    "Metrics": defined,
                }],
            }),
        );
        for (name, value) in properties {
            line.insert((*name).to_owned(), json!(value));
        }
        for (name, value) in labels {
            line.insert(name.clone(), json!(value));
        }
        for told in told {
            line.insert(told.name.clone(), told.value.clone());
        }
        Value::Object(line).to_string()
    }
}

fn labels(metric: &Metric) -> Labels {
    let pairs = metric.get_label().iter();
    pairs
        .map(|pair| (pair.name().to_owned(), pair.value().to_owned()))
        .collect()
}

/// What is to be told of a series, if anything.
fn change(kind: MetricType, metric: &Metric, seen: &mut Seen) -> Option<Value> {
    match kind {
        MetricType::COUNTER => {
            let now = metric.get_counter().get_value();
            let grown = now - std::mem::replace(&mut seen.value, now);
            (grown > 0.0).then(|| number(grown))
        }
        MetricType::GAUGE => {
            let now = metric.get_gauge().get_value();
            let changed = std::mem::replace(&mut seen.value, now).to_bits() != now.to_bits();
            changed.then(|| number(now))
        }
        MetricType::HISTOGRAM => observations(metric.get_histogram(), seen),
        _ => None,
    }
}

fn observations(histogram: &Histogram, seen: &mut Seen) -> Option<Value> {
    let buckets = histogram.get_bucket();
    let bounds = buckets.iter().map(Bucket::upper_bound);
    let counts = buckets.iter().map(Bucket::cumulative_count);
    let counts: Vec<u64> = counts.chain([histogram.get_sample_count()]).collect();
    let sum = histogram.get_sample_sum();
    let before = std::mem::replace(&mut seen.counts, counts.clone());
    let grown = sum - std::mem::replace(&mut seen.value, sum);
    let more = |index: usize| counts[index] - before.get(index).copied().unwrap_or(0);
    let all = more(counts.len() - 1);
    if all <= 1 {
        return (all == 1).then(|| number(grown));
    }
    let largest = bounds.clone().next_back().unwrap_or_default();
    let mut values = Vec::new();
    let mut below = 0;
    for (index, bound) in bounds.chain([largest]).enumerate() {
        let here = more(index) - below;
        below += here;
        values.extend(std::iter::repeat_n(number(bound), here as usize));
    }
    if values.len() > VALUES {
        // Evenly thinned: the shape stays, the count is in a counter of its own.
        let step = values.len() as f64 / VALUES as f64;
        values = (0..VALUES)
            .map(|place| values[(place as f64 * step) as usize].clone())
            .collect();
    }
    Some(Value::Array(values))
}

/// Whole numbers without a fraction.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

/// By the endings that names have.
fn unit(name: &str) -> &'static str {
    if name.ends_with("_us") {
        "Microseconds"
    } else if name.ends_with("_seconds") {
        "Seconds"
    } else if name.ends_with("_bytes") {
        "Bytes"
    } else {
        "Count"
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{CounterVec, HistogramOpts, HistogramVec, IntGauge, Opts, Registry};

    use super::*;

    fn parsed(text: &str) -> Vec<Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    #[test]
    fn what_has_changed_is_told_once_in_a_line_for_each_set_of_labels() {
        let registry = Registry::new();
        let time = CounterVec::new(Opts::new("x_duration_us", "x"), &["model", "version"]);
        let time = time.expect("sound");
        let took = HistogramOpts::new("x_seconds", "x").buckets(vec![0.1, 1.0]);
        let took = HistogramVec::new(took, &["model", "version"]).expect("sound");
        let held = IntGauge::new("x_bytes", "x").expect("sound");
        registry.register(Box::new(time.clone())).expect("new");
        registry.register(Box::new(took.clone())).expect("new");
        registry.register(Box::new(held.clone())).expect("new");
        let mut emf = Emf::new("Test");
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let mut lines = || parsed(&emf.lines(&registry.gather(), &[("request_id", "r")], at));
        assert!(lines().is_empty());

        time.with_label_values(&["m", "3"]).inc_by(250.5);
        took.with_label_values(&["m", "3"]).observe(0.25);
        held.set(7);
        let told = lines();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(
            (&told[0]["x_bytes"], &told[0]["request_id"]),
            (&json!(7), &json!("r"))
        );
        let metrics = json!([
            {"Name": "x_duration_us", "Unit": "Microseconds"},
            {"Name": "x_seconds", "Unit": "Seconds"},
        ]);
        let wanted = json!({
            "_aws": {
                "Timestamp": 1_700_000_000_123_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "Test",
                    "Dimensions": [["model", "version"]],
                    "Metrics": metrics,
                }],
            },
            "model": "m", "version": "3", "request_id": "r",
            "x_duration_us": 250.5, "x_seconds": 0.25,
        });
        assert_eq!(told[1], wanted);
        assert!(lines().is_empty(), "nothing has changed");

        time.with_label_values(&["m", "3"]).inc_by(1.0);
        held.set(0);
        for value in [0.05, 0.5, 0.6, 20.0] {
            took.with_label_values(&["m", "3"]).observe(value);
        }
        let told = lines();
        assert_eq!(told[0]["x_bytes"], 0);
        assert_eq!(told[1]["x_duration_us"], 1);
        assert_eq!(told[1]["x_seconds"], json!([0.1, 1, 1, 1]));
    }

    #[test]
    fn a_line_has_a_hundred_values_at_most() {
        let registry = Registry::new();
        let took = HistogramOpts::new("x_seconds", "x").buckets(vec![0.1, 1.0]);
        let took = HistogramVec::new(took, &["model"]).expect("sound");
        registry.register(Box::new(took.clone())).expect("new");
        for count in 0..1000 {
            let value = if count % 4 == 0 { 0.5 } else { 0.05 };
            took.with_label_values(&["m"]).observe(value);
        }
        let told = parsed(&Emf::new("Test").lines(&registry.gather(), &[], UNIX_EPOCH));
        let values = told[0]["x_seconds"].as_array().expect("many");
        assert_eq!(values.len(), VALUES);
        assert_eq!(values.iter().filter(|value| **value == 0.1).count(), 75);
    }
}
