//! Lambda: the HTTP API of Dunlin, which changes no model. Answers events of API Gateway (HTTP API
//! and REST), of load balancers, and of function URLs.
//!
//! The init phase, which has a full core whatever the function's memory, opens the store (TLS,
//! credentials) and loads the models of `DUNLIN_PRELOAD`.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser;
use dunlin_engine::Threads;
use dunlin_lambda::{HostArgs, Meter, ModelArgs, Settle};
use dunlin_serving::{Later, Service, router};
use lambda_http::Error;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serve models as a Lambda function. The environment is the usual place for all of this.
#[derive(Debug, Parser)]
#[command(name = "bootstrap", version)]
struct Config {
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    models: ModelArgs,
    /// Threads that share the large nodes of a run [default: one for each whole core of the function]
    #[arg(long, value_name = "N", env = "DUNLIN_THREADS")]
    threads: Option<NonZeroUsize>,
    /// Store requests with "Prefer: respond-async" for the function `batch`, which is told of them
    #[arg(long, env = "DUNLIN_LATER", value_name = "true|false", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true")]
    later: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    dunlin_lambda::end(run(Config::parse()).await)
}

async fn run(config: Config) -> Result<(), Error> {
    let mut start = config.host.start()?;
    tracing::info!(?config, "starting");
    let registry = config.host.registry().await?;
    start.done("open");
    let mut options = config.models.service_options(&config.host);
    let threads = config.threads.unwrap_or_else(|| config.host.cores());
    options.limits.engine.threads = Threads::new(threads)?;
    options.later = config.later.then_some(Later::Events);
    let service = Service::new(registry, options);
    dunlin_lambda::warm(&service, config.models.warm_time()).await;
    start.done("preload");
    let meter = Meter::new(&service, &config.host, &start);
    dunlin_lambda::serve(router(service.clone()), Settle(service, meter)).await
}
