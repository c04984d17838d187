//! A function's metrics: nobody can scrape it, so it writes them to its log.

use std::env;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dunlin_serving::Service;
use dunlin_telemetry::Emf;

use crate::HostArgs;

/// The clock of a cold start.
#[derive(Debug)]
pub struct Start {
    lap: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Start {
    pub(crate) fn new() -> Self {
        Self {
            lap: Instant::now(),
            parts: Vec::new(),
        }
    }

    /// A part of the start is done: `open` (the store), `preload` (models, and the store's answer).
    pub fn done(&mut self, part: &'static str) {
        let now = Instant::now();
        self.parts.push((part, now - self.lap));
        self.lap = now;
    }
}

/// The metrics of a service, told after each invocation: those that have changed, on standard
/// output, where `CloudWatch` takes them from the log.
#[derive(Debug)]
pub struct Meter {
    service: Arc<Service>,
    emf: Option<Mutex<Emf>>,
    function: String,
    /// The invocation whose metrics are not told yet: its id, and its trace's.
    invocation: Mutex<Option<(String, Option<String>)>>,
}

impl Meter {
    /// The metrics of a service that has started. Without a namespace none are told.
    pub fn new(service: &Arc<Service>, host: &HostArgs, start: &Start) -> Arc<Self> {
        service.started(&start.parts);
        let namespace = host.metrics_namespace.as_str();
        Arc::new(Self {
            service: service.clone(),
            emf: (!namespace.is_empty()).then(|| Mutex::new(Emf::new(namespace))),
            function: env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
            invocation: Mutex::default(),
        })
    }

    /// An invocation is answered: once its reply is sent, [`tell`](Self::tell) tells what it changed.
    pub fn answered(&self, request_id: &str, trace_id: Option<impl Display>) {
        let invocation = (request_id.to_owned(), trace_id.map(|id| id.to_string()));
        *lock(&self.invocation) = Some(invocation);
    }

    /// Tells what has changed, beside the ids of the invocation that changed it.
    pub fn tell(&self) {
        let (Some(emf), Some((request_id, trace_id))) = (&self.emf, lock(&self.invocation).take())
        else {
            return;
        };
        let mut properties = vec![
            ("function", self.function.as_str()),
            ("request_id", &request_id),
        ];
        properties.extend(trace_id.as_deref().map(|id| ("trace_id", id)));
        let families = self.service.metric_families();
        let lines = lock(emf).lines(&families, &properties, SystemTime::now());
        // A log that can't be written is no reason to fail a request.
        let _ = io::stdout().lock().write_all(lines.as_bytes());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
