//! Payloads kept for later: off unless a host asks for it, a sample of the requests, only the fields
//! that it lists, and for a stated time.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dunlin_protocol::{InferOutput, InferRequest, InferResponse, NamedTensor, Parameters};
use dunlin_registry::{ModelName, Registry, Version, rfc3339};
use dunlin_telemetry::Trace;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::ask::Ask;
use crate::embed::EmbedBody;
use crate::metrics::Metrics;
use crate::options::CaptureOptions;
use crate::{InferBody, PredictBody};

/// Bytes of a document that is kept.
const DOCUMENT_BYTES: usize = 8 << 20;

/// Documents on their way at one time.
const AT_ONCE: usize = 4;

/// What a host keeps, and where.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    options: Arc<CaptureOptions>,
    registry: Registry,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
}

/// A request that was answered, and is to be kept.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) name: ModelName,
    pub(crate) version: Version,
    pub(crate) request_id: String,
    pub(crate) trace: Option<Trace>,
    pub(crate) ask: Ask,
    pub(crate) outputs: Vec<NamedTensor>,
}

impl Capture {
    pub(crate) fn new(options: CaptureOptions, registry: Registry, metrics: Arc<Metrics>) -> Self {
        Self {
            options: Arc::new(options),
            registry,
            metrics,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Whether this request is of the sample.
    pub(crate) fn wants(&self, key: u64) -> bool {
        let share = self.options.share;
        share > 0.0
            && (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 <= share * 2f64.powi(53)
    }

    fn allows(&self, field: &str) -> bool {
        self.options.fields.iter().any(|allowed| allowed == field)
    }

    /// Keeps a request, beside everything else; what can't be kept is dropped, and counted.
    pub(crate) fn begin(&self, captured: Captured) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.metrics
                .captured(&captured.name, captured.version, "dropped");
            return;
        };
        tokio::spawn(self.clone().keep(captured, place));
    }

    /// Ends when all is kept.
    pub(crate) async fn settle(&self) {
        // Nothing closes the semaphore.
        drop(self.places.acquire_many(AT_ONCE as u32).await);
    }

    async fn keep(self, captured: Captured, _place: OwnedSemaphorePermit) {
        let (name, version) = (captured.name.clone(), captured.version);
        let outcome = match self.put(captured).await {
            Ok(()) => "kept",
            Err(error) => {
                tracing::warn!(model = %name, %version, error, "a request is not kept");
                "failed"
            }
        };
        self.metrics.captured(&name, version, outcome);
    }

    async fn put(&self, captured: Captured) -> Result<(), String> {
        let (name, version) = (captured.name.clone(), captured.version);
        let capture = self.clone();
        let document = tokio::task::spawn_blocking(move || capture.document(&captured));
        let document = document.await.map_err(|error| error.to_string())?;
        if document.len() > DOCUMENT_BYTES {
            return Err(format!("it has {} bytes", document.len()));
        }
        let id = Uuid::now_v7().to_string();
        let put = self
            .registry
            .put_capture(&name, version, &id, self.options.days, document);
        put.await.map_err(|error| error.to_string())
    }

    fn document(&self, captured: &Captured) -> Bytes {
        let mut document = json!({
            "model": captured.name,
            "version": captured.version,
            "request_id": captured.request_id,
            "at": rfc3339(SystemTime::now()),
            "input": self.input(&captured.ask),
            "outputs": self.tensors(&captured.outputs),
        });
        if let Some(trace) = captured.trace {
            document["trace_id"] = trace.id().to_string().into();
        }
        document.to_string().into()
    }

    /// The fields of a request that may be kept; `None` where none may.
    pub(crate) fn input(&self, ask: &Ask) -> Option<Value> {
        if self.options.share <= 0.0 {
            return None;
        }
        let (body, header_length) = match ask {
            Ask::Infer(InferBody::Request(_)) => (&Bytes::new(), None),
            Ask::Infer(InferBody::Wire {
                body,
                header_length,
            })
            | Ask::Predict(PredictBody {
                body,
                header_length,
                ..
            }) => (body, *header_length),
            Ask::Embed(EmbedBody { body, .. }) => (body, None),
        };
        let request = match ask {
            Ask::Infer(InferBody::Request(request)) => Some(request.clone()),
            // The data of the one input alone: it is no request that can be decoded.
            _ if header_length == Some(0) => None,
            _ => self.decode(body, header_length),
        };
        let mut kept = Map::new();
        if let Some(request) = request {
            let inputs = request.inputs.into_iter();
            let inputs: Vec<NamedTensor> = inputs
                .map(|input| NamedTensor::new(input.name, input.tensor))
                .collect();
            if let Some(tensors) = self.tensors(&inputs) {
                kept.insert("tensors".into(), tensors);
            }
        }
        if self.allows("body") && !body.is_empty() {
            kept.insert("body_base64".into(), STANDARD.encode(body).into());
        }
        (!kept.is_empty()).then_some(Value::Object(kept))
    }

    fn decode(&self, body: &Bytes, header_length: Option<usize>) -> Option<InferRequest> {
        InferRequest::decode(body, header_length, &self.options.limits).ok()
    }

    /// Those tensors whose names are listed, as the protocol writes them.
    fn tensors(&self, tensors: &[NamedTensor]) -> Option<Value> {
        let allowed = tensors.iter().filter(|tensor| self.allows(&tensor.name));
        let outputs: Vec<InferOutput> = allowed
            .map(|NamedTensor { name, tensor }| InferOutput {
                name: name.clone(),
                parameters: Parameters::new(),
                tensor: tensor.clone(),
                binary: false,
            })
            .collect();
        if outputs.is_empty() {
            return None;
        }
        let response = InferResponse {
            outputs,
            ..InferResponse::default()
        };
        let encoded = response.encode().ok()?;
        let mut document: Value = serde_json::from_slice(&encoded.body).ok()?;
        Some(document["outputs"].take())
    }
}
