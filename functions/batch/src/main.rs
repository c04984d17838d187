//! Lambda: inputs named by events and messages, answered into storage, each once.
//!
//! S3 notifications (direct, through SQS, SNS or `EventBridge`), messages that carry an input or name
//! one, schedules (which sweep up what events have missed), and direct invocation. `DUNLIN_ROUTES`
//! says which model serves what; docs/events.md has all of it. A batch transform is asked for
//! directly: docs/batch.md.

mod reply;
mod transform;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Instant, SystemTime};

use clap::Parser;
use dunlin_lambda::events::Intake;
use dunlin_lambda::{HostArgs, Meter, ModelArgs, Settle};
use dunlin_serving::Service;
use dunlin_serving::batch::{Batch, BatchOptions, Routes};
use dunlin_telemetry::Trace;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answer events and messages as a Lambda function. The environment is the usual place for all of this.
#[derive(Debug, Parser)]
#[command(name = "bootstrap-batch", version)]
struct Config {
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    models: ModelArgs,
    /// Which model serves what, as in "inbox/digits/=digits,queue:jobs=faces@production"
    #[arg(long, value_name = "WHERE=MODEL,…", env = "DUNLIN_ROUTES")]
    routes: Routes,
    /// Where the objects are that events name [default: the bucket of the models]
    #[arg(long, value_name = "URL", env = "DUNLIN_INPUTS")]
    inputs: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    dunlin_lambda::end(run(Config::parse()).await)
}

async fn run(config: Config) -> Result<(), Error> {
    let mut start = config.host.start()?;
    tracing::info!(?config, "starting");
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let mut options = config.models.service_options(&config.host);
    options.workers = cores;
    let service = Service::new(config.host.registry().await?, options);
    let inputs = config.host.open(&config.inputs_url()).await?;
    start.done("open");
    dunlin_lambda::warm(&service, config.models.warm_time()).await;
    start.done("preload");
    let meter = Meter::new(&service, &config.host, &start);
    let options = BatchOptions {
        routes: config.routes,
        // While the cores run, as many again are fetched or stored.
        at_once: 2 * cores,
    };
    let batch = Batch::new(service.clone(), inputs, options);
    let settle = Settle(service.clone(), meter.clone());
    let host = Arc::new((service, config.host, batch));
    let answer = service_fn(move |event: LambdaEvent<Value>| {
        let (host, meter) = (host.clone(), meter.clone());
        async move {
            let id = event.context.request_id.clone();
            let trace = event.context.xray_trace_id.as_deref();
            let trace = trace.and_then(Trace::of_amazon);
            let answer = answer(host, event).await;
            meter.answered(&id, trace.map(|trace| trace.id()));
            answer
        }
    });
    Runtime::new(answer)
        .layer(TracingLayer::new())
        .layer(settle)
        .run()
        .await
}

async fn answer(
    host: Arc<(Arc<Service>, HostArgs, Batch)>,
    event: LambdaEvent<Value>,
) -> Result<Value, Error> {
    let (service, settings, batch) = &*host;
    let left = dunlin_lambda::time_left(event.context.deadline, SystemTime::now());
    if transform::is_asked(&event.payload) {
        return transform::run(service.clone(), settings, event.payload, left).await;
    }
    let deadline = left.map(|left| Instant::now() + left);
    let mut intake = Intake::of(event.payload)?;
    if intake.sweeps {
        intake.add("", batch.unanswered().await?);
    }
    let outcomes = batch.run(&intake.works, deadline).await;
    reply::reply(&intake, &outcomes)
}

impl Config {
    /// Events name any object of a bucket, whatever prefix the models have in it.
    fn inputs_url(&self) -> String {
        let store = &self.host.store;
        self.inputs
            .clone()
            .unwrap_or_else(|| match store.strip_prefix("s3://") {
                Some(place) => format!("s3://{}", place.split('/').next().unwrap_or(place)),
                None => store.clone(),
            })
    }
}
