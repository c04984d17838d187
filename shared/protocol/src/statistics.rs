//! Triton's statistics extension: what each model has done since the process started.

use serde::{Deserialize, Serialize};

/// Reply of `GET /v2/models/stats` and `GET /v2/models/{model}/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// One entry a model and version.
    pub model_stats: Vec<ModelStatistics>,
}

/// What one version of one model has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatistics {
    /// The model's name.
    pub name: String,
    /// The version's number.
    pub version: String,
    /// When the last inference ended: milliseconds since 1970.
    pub last_inference: u64,
    /// Inferences done; a batch of n counts n.
    pub inference_count: u64,
    /// Runs of the engine; a batch counts one.
    pub execution_count: u64,
    /// Where the time went.
    pub inference_stats: InferenceStatistics,
    /// The same by batch size.
    #[serde(default)]
    pub batch_stats: Vec<BatchStatistics>,
    /// What the loaded model holds.
    #[serde(default)]
    pub memory_usage: Vec<MemoryUsage>,
}

/// A count, and the time that all of them took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticDuration {
    /// How many.
    pub count: u64,
    /// Nanoseconds, summed.
    pub ns: u64,
}

impl StatisticDuration {
    /// Counts one more that took `time`.
    pub fn add(&mut self, time: std::time::Duration) {
        self.count += 1;
        self.ns = self
            .ns
            .saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Where the time of a model's requests went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceStatistics {
    /// Requests that succeeded, from end to end.
    pub success: StatisticDuration,
    /// Requests that failed.
    pub fail: StatisticDuration,
    /// Waiting for a worker.
    pub queue: StatisticDuration,
    /// Making input tensors.
    pub compute_input: StatisticDuration,
    /// Running the model.
    pub compute_infer: StatisticDuration,
    /// Making the reply from output tensors.
    pub compute_output: StatisticDuration,
    /// Answers found in a response cache.
    pub cache_hit: StatisticDuration,
    /// Look-ups that found none.
    pub cache_miss: StatisticDuration,
}

/// Where the time of runs of one batch size went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchStatistics {
    /// The batch size.
    pub batch_size: u64,
    /// Making input tensors.
    pub compute_input: StatisticDuration,
    /// Running the model.
    pub compute_infer: StatisticDuration,
    /// Making the reply from output tensors.
    pub compute_output: StatisticDuration,
}

/// Memory that a loaded model holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// The kind of memory: `CPU`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which one, where there are several.
    pub id: i64,
    /// Bytes held.
    pub byte_size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn statistics_have_tritons_names() {
        let mut stats = ModelStatistics {
            name: "m".into(),
            version: "1".into(),
            ..Default::default()
        };
        stats.inference_stats.success.add(Duration::from_micros(3));
        let json = serde_json::to_value(Statistics {
            model_stats: vec![stats],
        })
        .unwrap();
        let inference = &json["model_stats"][0]["inference_stats"];
        assert_eq!(
            inference["success"],
            serde_json::json!({"count": 1, "ns": 3000})
        );
        for field in [
            "fail",
            "queue",
            "compute_input",
            "compute_infer",
            "compute_output",
        ] {
            assert_eq!(
                inference[field],
                serde_json::json!({"count": 0, "ns": 0}),
                "{field}"
            );
        }
    }
}
