//! The requests on which two versions differ most, kept for people to look at.
//!
//! Each host keeps a few for each version, under keys of its own, a worse one in the place of the
//! least bad. Inputs are kept only where the host captures payloads.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use dunlin_protocol::NamedTensor;
use dunlin_registry::{ModelName, Registry, Version, rfc3339};
use dunlin_transforms::Asked;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ask::Ask;
use crate::capture::Capture;
use crate::compare::Difference;
use crate::load::Loaded;
use crate::mirror::First;

/// Examples that a host keeps of a version.
const KEPT: usize = 10;

/// Pairs of model and version that have examples.
const VERSIONS: usize = 256;

/// The examples of this process.
#[derive(Debug)]
pub(crate) struct Worst {
    registry: Registry,
    host: String,
    capture: Capture,
    /// The distances that are kept, by place.
    kept: Mutex<HashMap<(ModelName, Version), Vec<f64>>>,
}

/// A request on which two versions differ.
#[derive(Debug)]
pub(crate) struct Example {
    distance: f64,
    document: Value,
}

impl Example {
    pub(crate) fn of(
        first: &First,
        second: &Loaded,
        outputs: &[NamedTensor],
        difference: Difference,
        error: Option<&str>,
        input: Option<Value>,
    ) -> Self {
        let answer = |loaded: &Loaded, outputs: &[NamedTensor]| {
            let answer = loaded.pipeline.encode(&Asked::one(), outputs).ok();
            let answer = answer.and_then(|answer| serde_json::to_value(answer).ok());
            // Large tensors are for the model's own makers to compute again.
            answer.filter(|answer| answer.to_string().len() <= ANSWER_BYTES)
        };
        let mut document = json!({
            "model": second.manifest.name,
            "request_id": first.request_id,
            "at": rfc3339(SystemTime::now()),
            "distance": difference.distance,
            "first": {
                "version": first.loaded.manifest.version,
                "answer": answer(&first.loaded, &first.outputs),
            },
            "second": {
                "version": second.manifest.version,
                "answer": answer(second, outputs),
                "error": error,
            },
        });
        if let Some(trace) = first.trace {
            document["trace_id"] = trace.id().to_string().into();
        }
        if let Some(input) = input {
            document["input"] = input;
        }
        Self {
            distance: difference.distance,
            document,
        }
    }
}

/// Bytes of JSON of an answer that is kept.
const ANSWER_BYTES: usize = 16 << 10;

impl Worst {
    pub(crate) fn new(registry: Registry, capture: Capture) -> Self {
        Self {
            registry,
            host: Uuid::now_v7().to_string(),
            capture,
            kept: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ModelName, Version), Vec<f64>>> {
        // Nothing panics while it holds the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be kept of a request, if anything.
    pub(crate) fn input(&self, ask: &Ask) -> Option<Value> {
        self.capture.input(ask)
    }

    /// Whether a difference is among the worst so far.
    pub(crate) fn is_one(&self, name: &ModelName, version: Version, distance: f64) -> bool {
        let kept = self.lock();
        match kept.get(&(name.clone(), version)) {
            None => kept.len() < VERSIONS,
            Some(places) => places.len() < KEPT || places.iter().any(|kept| *kept < distance),
        }
    }

    /// Writes an example into the place of the least bad one.
    pub(crate) async fn keep(&self, name: &ModelName, version: Version, example: Example) {
        let place = {
            let mut kept = self.lock();
            let places = kept.entry((name.clone(), version)).or_default();
            let least = (0..places.len()).min_by(|a, b| places[*a].total_cmp(&places[*b]));
            match least {
                Some(place) if places.len() >= KEPT => {
                    places[place] = example.distance;
                    place
                }
                _ => {
                    places.push(example.distance);
                    places.len() - 1
                }
            }
        };
        let bytes = example.document.to_string().into();
        let put = self
            .registry
            .put_difference(name, version, &self.host, place, bytes);
        if let Err(error) = put.await {
            tracing::warn!(model = %name, %version, %error, "a difference is not kept");
        }
    }
}
