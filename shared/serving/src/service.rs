//! The service: everything that HTTP, events and the command line ask of loaded models.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dunlin_protocol::Encoded;
use dunlin_registry::{ModelRef, Registry};
use dunlin_telemetry::{Phase, Phases};
use prometheus::proto::MetricFamily;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::admission::Workers;
use crate::after::After;
use crate::ask::Ask;
use crate::cache::ModelCache;
use crate::capture::Capture;
use crate::http::Budget;
use crate::infer::Done;
use crate::later::Running;
use crate::load::{Loaded, Loader};
use crate::metrics::Metrics;
use crate::mirror::Mirror;
use crate::models::Models;
use crate::readiness::StoreProbe;
use crate::resolve::Resolver;
use crate::trial::Trials;
use crate::usage::{CANCELED, Usage};
use crate::worst::Worst;
use crate::{
    Call, Error, ErrorKind, InferBody, PredictBody, Readiness, ServiceOptions, facts, predict,
};

/// The models of a registry, answering requests. One a process, shared by all that ask.
#[derive(Debug)]
pub struct Service {
    registry: Registry,
    options: ServiceOptions,
    pub(crate) models: Models,
    pub(crate) workers: Arc<Workers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) trials: Arc<Trials>,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) capture: Capture,
    probe: StoreProbe,
    budget: Budget,
    pub(crate) running: Running,
    preloaded: Vec<AtomicBool>,
    draining: AtomicBool,
    /// Requests that are being answered.
    active: watch::Sender<usize>,
}

/// A request that is being answered, for as long as this lives.
struct Active<'a>(&'a watch::Sender<usize>);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|active| *active -= 1);
    }
}

/// Counts a request as cancelled, unless its end is told.
struct Counting {
    usage: Arc<Usage>,
    started: std::time::Instant,
    told: bool,
}

impl Counting {
    fn tell<T>(mut self, result: &Result<Done<T>, Error>, phases: &Phases) {
        self.told = true;
        let total = self.started.elapsed();
        match result {
            Ok(done) => self.usage.succeeded(phases, total, done.batch),
            Err(error) => self.usage.failed(facts(error.kind()).reason, total),
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !self.told {
            self.usage.failed(CANCELED, self.started.elapsed());
        }
    }
}

impl Service {
    /// A service over a registry. Starts its worker threads; loads nothing yet.
    pub fn new(registry: Registry, mut options: ServiceOptions) -> Arc<Self> {
        // One limit on bodies, wherever it is looked up.
        options.limits.protocol.body_bytes = options.limits.body_bytes;
        options.limits.transforms.protocol = options.limits.protocol.clone();
        let metrics = Arc::new(Metrics::new());
        let workers = Workers::new(options.workers, options.queue, options.queue_timeout);
        let workers = Arc::new(workers);
        let loader = Loader::new(registry.clone(), &options, metrics.clone(), &workers);
        let loader = Arc::new(loader);
        let (bytes, retry) = (options.cache_bytes, options.retry_failed);
        let cache = Arc::new(ModelCache::new(loader, metrics.clone(), bytes, retry));
        let resolver = Resolver::new(registry.clone(), options.refresh, options.background);
        let resolver = Arc::new(resolver);
        options.capture.limits = options.limits.protocol.clone();
        let capture = Capture::new(options.capture.clone(), registry.clone(), metrics.clone());
        let trials = Trials::new(registry.clone(), options.refresh, options.background);
        let trials = Arc::new(trials);
        let mirror = Arc::new(Mirror {
            resolver: resolver.clone(),
            cache: cache.clone(),
            metrics: metrics.clone(),
            trials: trials.clone(),
            worst: Worst::new(registry.clone(), capture.clone()),
            limits: options.limits.protocol.clone(),
            percent: options.mirror_percent,
            waits: !options.background,
            place: Arc::new(Semaphore::new(1)),
        });
        Arc::new(Self {
            registry,
            trials,
            mirror,
            capture,
            models: Models::new(resolver, cache, options.background),
            workers,
            metrics,
            probe: StoreProbe::default(),
            budget: Budget::new(options.limits.bodies_bytes),
            running: Running::default(),
            preloaded: options
                .preload
                .iter()
                .map(|_| AtomicBool::new(false))
                .collect(),
            draining: AtomicBool::new(false),
            active: watch::Sender::new(0),
            options,
        })
    }

    /// How it was set up.
    pub fn options(&self) -> &ServiceOptions {
        &self.options
    }

    /// The registry that it serves.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Loads the models of [`ServiceOptions::preload`]; the first error, after all were tried.
    ///
    /// One that failed is tried again whenever [`ready`](Self::ready) is asked.
    pub async fn preload(self: &Arc<Self>) -> Result<(), Error> {
        let loads = (0..self.options.preload.len()).map(|index| self.preload_one(index));
        futures_util::future::join_all(loads)
            .await
            .into_iter()
            .collect()
    }

    async fn preload_one(&self, index: usize) -> Result<(), Error> {
        let reference = &self.options.preload[index];
        self.models.find(reference, &mut Call::new(None)).await?;
        self.probe.alive();
        self.preloaded[index].store(true, Ordering::Release);
        Ok(())
    }

    /// Answers a request of the Open Inference Protocol v2.
    pub async fn infer(
        &self,
        reference: &ModelRef,
        body: InferBody,
        call: &mut Call,
    ) -> Result<Encoded, Error> {
        self.answer(reference, call, Ask::Infer(body)).await
    }

    /// Answers a picture or a JSON body as the manifest's transforms take it.
    pub async fn predict(
        &self,
        reference: &ModelRef,
        body: PredictBody,
        call: &mut Call,
    ) -> Result<Encoded, Error> {
        self.answer(reference, call, Ask::Predict(body)).await
    }

    /// As [`predict`](Self::predict) for each body, one after the other by one worker: for bodies
    /// that are too little work to be handed over one by one. An error is of all of them.
    pub async fn predict_each(
        &self,
        reference: &ModelRef,
        bodies: Vec<PredictBody>,
        call: &mut Call,
    ) -> Result<Vec<Result<Encoded, Error>>, Error> {
        let named = |error: Error| error.of_model(reference.name.as_str());
        let _active = self.enter().map_err(named)?;
        let deadline = self.deadline(call);
        let loaded = self.loaded(reference, call, deadline).await;
        let loaded = loaded.map_err(named)?;
        let counting = Counting {
            usage: loaded.usage.clone(),
            started: call.started,
            told: false,
        };
        let (limits, cache) = (
            self.options.limits.protocol.clone(),
            self.models.cache.clone(),
        );
        let queued = Phases::start(Phase::Queue);
        let run = move || {
            let mut phases = Phases::new();
            queued.stop(&mut phases);
            let mut batch = 0;
            let replies = bodies.iter().map(|body| {
                let done = predict::predict(&loaded, body, &limits, &mut phases, None)?;
                batch += done.batch;
                Ok(done.reply)
            });
            let reply: Vec<_> = replies.collect();
            if loaded.has_grown() {
                cache.trim();
            }
            (Done { reply, batch }, phases)
        };
        let result = self.workers.run(deadline, run).await;
        let result = result.map(|(done, phases)| {
            call.phases.merge(&phases);
            done
        });
        counting.tell(&result, &call.phases);
        result.map(|done| done.reply).map_err(named)
    }

    /// `resolve` → (`fetch` → `verify` → `load` → `warm`) → `queue` → `decode` → `infer` → `encode`.
    pub(crate) async fn answer(
        &self,
        reference: &ModelRef,
        call: &mut Call,
        ask: Ask,
    ) -> Result<Encoded, Error> {
        let named = |error: Error| error.of_model(reference.name.as_str());
        let _active = self.enter().map_err(named)?;
        let deadline = self.deadline(call);
        let found = self.loaded(reference, call, deadline).await;
        let watched = call.watched.take();
        if let Some((route, picked)) = &watched {
            self.count_unloaded(&reference.name, route, *picked, &found);
        }
        let loaded = found.map_err(named)?;
        let after = self.after(watched, &loaded, call, &ask);

        let usage = loaded.usage.clone();
        let pending = usage.pend();
        let queued = Phases::start(Phase::Queue);
        let counting = Counting {
            usage,
            started: call.started,
            told: false,
        };
        let cache = self.models.cache.clone();
        let bytes = ask.bytes();
        let quick = bytes.is_some_and(|bytes| loaded.pace.is_quick(bytes));
        let limits = self.options.limits.protocol.clone();
        let mut kept = after.as_ref().and_then(After::keeps);
        let run = move || {
            let mut phases = Phases::new();
            queued.stop(&mut phases);
            drop(pending);
            let begun = Instant::now();
            let done = ask.run(&loaded, &limits, &mut phases, kept.as_mut());
            if let Some(bytes) = bytes {
                loaded.pace.learn(bytes, begun.elapsed());
            }
            if loaded.has_grown() {
                cache.trim();
            }
            (done, phases, kept)
        };
        let here = if quick {
            self.workers.run_here(deadline, run)
        } else {
            Err(run)
        };
        let ran = match here {
            Ok(ran) => ran,
            Err(run) => self.workers.run(deadline, run).await,
        };
        let mut outputs = None;
        let result = match ran {
            Ok((result, phases, kept)) => {
                call.phases.merge(&phases);
                outputs = kept;
                result
            }
            Err(error) => Err(error),
        };
        counting.tell(&result, &call.phases);
        if let Some(after) = after {
            self.follow(after, call, &result, outputs);
        }
        result.map(|done| done.reply).map_err(named)
    }

    async fn loaded(
        &self,
        reference: &ModelRef,
        call: &mut Call,
        deadline: Instant,
    ) -> Result<Arc<Loaded>, Error> {
        match timeout_at(deadline, self.models.find(reference, call)).await {
            Ok(found) => found,
            Err(_) => Err(Error::new(
                ErrorKind::Deadline,
                format!("{reference} is not loaded yet; loading goes on"),
            )),
        }
    }

    fn deadline(&self, call: &Call) -> Instant {
        let own = call.started + self.options.request_timeout;
        call.deadline
            .map_or(own, |deadline| deadline.min(own))
            .into()
    }

    fn enter(&self) -> Result<Active<'_>, Error> {
        // Counted first, so that a drain that begins now waits for it or refuses it.
        self.active.send_modify(|active| *active += 1);
        let active = Active(&self.active);
        if self.draining() {
            return Err(Error::new(ErrorKind::Draining, "the server is going down"));
        }
        Ok(active)
    }

    /// Refuses new requests, and waits for those that are being answered.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        let mut active = self.active.subscribe();
        // The sender lives in `self`: waiting can't fail.
        let _ = active.wait_for(|active| *active == 0).await;
        self.trials.flush().await;
        if let Some(spans) = &self.options.spans {
            spans.flush().await;
        }
    }

    /// Writes what was counted of guarded canaries and is not written yet; it is written every few
    /// seconds by itself, and when the service drains.
    pub async fn write_counts(&self) {
        self.trials.flush().await;
    }

    /// Whether [`drain`](Self::drain) has begun.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether the service takes requests: the store answers, all of
    /// [`ServiceOptions::preload`] is loaded and proven, and it is not going down.
    pub async fn ready(self: &Arc<Self>) -> Readiness {
        let mut reasons = Vec::new();
        if self.draining() {
            reasons.push("the server is going down".to_owned());
        }
        reasons.extend(self.probe.trouble(self.registry.store().as_ref()).await);
        for (index, done) in self.preloaded.iter().enumerate() {
            if !done.load(Ordering::Acquire) {
                reasons.push(format!("{} is not loaded", self.options.preload[index]));
                let service = self.clone();
                // A load going on is joined, one that just failed not repeated; the cache logs it.
                tokio::spawn(async move { service.preload_one(index).await });
            }
        }
        Readiness { reasons }
    }

    /// Loads a model if need be, and says whether it is loaded and proven.
    pub async fn model_ready(&self, reference: &ModelRef, call: &mut Call) -> Result<(), Error> {
        let _active = self.enter()?;
        let deadline = self.deadline(call);
        self.loaded(reference, call, deadline).await.map(|_| ())
    }

    /// The text of `GET /metrics`.
    pub fn metrics_text(&self) -> Result<String, Error> {
        self.look();
        self.metrics
            .text()
            .map_err(|error| Error::new(ErrorKind::Internal, error))
    }

    /// The same as data, for [`Emf`](dunlin_telemetry::Emf).
    pub fn metric_families(&self) -> Vec<MetricFamily> {
        self.look();
        self.metrics.families()
    }

    /// Looks at what is not counted as it happens.
    fn look(&self) {
        self.metrics
            .own
            .loaded
            .set(self.models.cache.loaded() as i64);
        self.metrics.own.running.set(self.workers.running() as i64);
        self.metrics.own.waiting.set(self.workers.waiting() as i64);
    }

    /// Counts how long the process took until it could answer, in each part of its start.
    pub fn started(&self, parts: &[(&str, Duration)]) {
        self.metrics.start(parts);
    }

    /// The memory set aside for bodies.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Counts an error reply.
    pub(crate) fn count_error(&self, error: &Error) {
        self.metrics.error(error);
    }

    /// How long a host should wait for [`drain`](Self::drain) at most.
    pub fn drain_timeout(&self) -> Duration {
        self.options.request_timeout
    }
}
