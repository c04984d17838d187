//! The counters as Triton's statistics extension tells them.

use std::time::Duration;

use dunlin_protocol::{
    BatchStatistics, InferenceStatistics, MemoryUsage, ModelStatistics, StatisticDuration,
};
use dunlin_registry::{ModelName, Version};

use crate::usage::{Batch, Usage};

/// What one version has done; `memory`: what it holds, if it is loaded.
pub(crate) fn of(
    name: &ModelName,
    version: Version,
    usage: &Usage,
    memory: Option<u64>,
) -> ModelStatistics {
    let count = usage.success.get();
    let micros = |counter: &prometheus::Counter| StatisticDuration {
        count,
        ns: (counter.get() * 1e3) as u64,
    };
    let (failed, failed_ns) = usage.failures();
    let memory = memory.map(|byte_size| MemoryUsage {
        kind: "CPU".into(),
        id: 0,
        byte_size,
    });
    ModelStatistics {
        name: name.to_string(),
        version: version.to_string(),
        last_inference: usage.last_ms(),
        inference_count: usage.inferences.get(),
        execution_count: usage.executions.get(),
        inference_stats: InferenceStatistics {
            success: micros(&usage.request),
            fail: StatisticDuration {
                count: failed,
                ns: failed_ns,
            },
            queue: micros(&usage.queue),
            compute_input: micros(&usage.input),
            compute_infer: micros(&usage.infer),
            compute_output: micros(&usage.output),
            ..InferenceStatistics::default()
        },
        batch_stats: usage
            .batches()
            .iter()
            .map(|(size, sums)| batch(*size, sums))
            .collect(),
        memory_usage: memory.into_iter().collect(),
    }
}

fn batch(batch_size: u64, sums: &Batch) -> BatchStatistics {
    let all = |sum: Duration| StatisticDuration {
        count: sums.count,
        ns: sum.as_nanos() as u64,
    };
    BatchStatistics {
        batch_size,
        compute_input: all(sums.input),
        compute_infer: all(sums.infer),
        compute_output: all(sums.output),
    }
}
