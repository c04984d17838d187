//! How a service is set up.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use dunlin_registry::ModelRef;
use dunlin_telemetry::Exporter;

use crate::Later;

/// How a [`Service`](crate::Service) is set up. `Default` suits a server on this machine.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Bytes that loaded models may hold together. Default: 1 GiB.
    pub cache_bytes: u64,
    /// Runs at one time. Default: one for each core.
    pub workers: usize,
    /// Requests that may wait for a worker; more are refused with 429. Default: 64.
    pub queue: usize,
    /// How long a request may wait for a worker before it is refused with 429. Default: 10 s.
    pub queue_timeout: Duration,
    /// How long a request may take from its first byte to its answer, a load of the model
    /// included. A host can set less by [`Deadline`](crate::Deadline). Default: 60 s.
    pub request_timeout: Duration,
    /// How old the knowledge of aliases and versions may be before it is read again. Default: 5 s.
    pub refresh: Duration,
    /// Whether refreshes and the loads that an alias's move asks for run beside the requests, the
    /// version that served serving on. False where the process is frozen between requests: then
    /// the request that needs them waits. Default: true.
    pub background: bool,
    /// Models loaded before the service is ready.
    pub preload: Vec<ModelRef>,
    /// How long the golden examples may take when a model is loaded; one always runs.
    /// Default: 2 s.
    pub prove_time: Duration,
    /// For how long a model that failed to load isn't tried again. Default: 10 s.
    pub retry_failed: Duration,
    /// What is kept of requests' payloads. Default: nothing.
    pub capture: CaptureOptions,
    /// Of the requests that an alias wants asked of a second version too (a shadow, a guarded canary's
    /// agreement), the share that is, in percent. Less than all is for hosts that pay for it.
    /// Default: 100.
    pub mirror_percent: u32,
    /// Who answers requests with `Prefer: respond-async`; `None`: they are answered at once, as
    /// all others. Default: `None`.
    pub later: Option<Later>,
    /// Where spans of requests go whose callers have their trace sampled. Default: nowhere.
    pub spans: Option<Arc<Exporter>>,
    /// Bytes of a reply that the host can carry in the JSON of an event; a larger one is stored, and
    /// its caller sent there. `None`: there is no limit. Default: `None`.
    pub reply_bytes: Option<usize>,
    /// Bounds on what comes from outside.
    pub limits: Limits,
}

/// What is kept of requests' payloads.
#[derive(Debug, Clone)]
pub struct CaptureOptions {
    /// The share of the requests that are kept, 0 to 1. Default: 0.
    pub share: f64,
    /// What is kept of them: names of inputs and outputs, and `body` for the body as it came.
    /// Default: nothing but which model answered when.
    pub fields: Vec<String>,
    /// Days until they expire. Default: 30.
    pub days: u32,
    /// Bounds on what is decoded; the service sets its own.
    pub(crate) limits: dunlin_protocol::Limits,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            share: 0.0,
            fields: Vec::new(),
            days: 30,
            limits: dunlin_protocol::Limits::default(),
        }
    }
}

/// Bounds on what comes from outside, each checked before the work that it bounds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request's body. Default: 64 MiB.
    pub body_bytes: usize,
    /// Bytes of all bodies that are held at one time; more are refused with 429.
    /// Default: 512 MiB.
    pub bodies_bytes: usize,
    /// How long a body may take to arrive. Default: 30 s.
    pub body_timeout: Duration,
    /// Bytes of a request's URI. Default: 4 KiB.
    pub uri_bytes: usize,
    /// Bytes of a request's headers together. Default: 32 KiB.
    pub header_bytes: usize,
    /// Bounds on tensors and JSON. Its `body_bytes` is replaced by the one above.
    pub protocol: dunlin_protocol::Limits,
    /// Bounds on pictures.
    pub transforms: dunlin_transforms::Limits,
    /// Bounds on models, and how they are loaded.
    pub engine: dunlin_engine::LoadOptions,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 1 << 30,
            workers: available_parallelism().map_or(1, NonZeroUsize::get),
            queue: 64,
            queue_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_mins(1),
            refresh: Duration::from_secs(5),
            background: true,
            preload: Vec::new(),
            prove_time: Duration::from_secs(2),
            retry_failed: Duration::from_secs(10),
            capture: CaptureOptions::default(),
            mirror_percent: 100,
            later: None,
            spans: None,
            reply_bytes: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            bodies_bytes: 512 << 20,
            body_timeout: Duration::from_secs(30),
            uri_bytes: 4 << 10,
            header_bytes: 32 << 10,
            protocol: dunlin_protocol::Limits::default(),
            transforms: dunlin_transforms::Limits::default(),
            engine: dunlin_engine::LoadOptions::default(),
        }
    }
}
