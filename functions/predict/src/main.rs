//! Lambda: the HTTP API of Dunlin, read-only on storage. Answers events of API Gateway (HTTP API
//! and REST), of load balancers, and of function URLs.
//!
//! The init phase, which has a full core whatever the function's memory, opens the store (TLS,
//! credentials) and loads the models of `DUNLIN_PRELOAD`.

mod config;
mod event;

use std::process::ExitCode;

use clap::Parser as _;
use dunlin_registry::Registry;
use dunlin_serving::{Service, router};
use lambda_http::{Error, Request, service_fn};
use tower::ServiceExt as _;

use crate::config::Config;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Config::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error_type = "init_failed", error = %error, "the function ends");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Error> {
    dunlin_telemetry::init(config.log_format, &config.log)?;
    tracing::info!(?config, "starting");
    let store = dunlin_storage::open(&config.store, &config.store_options()).await?;
    let service = Service::new(Registry::new(store), config.service_options());
    warm(&service, &config).await;
    let app = router(service);
    lambda_http::run(service_fn(move |request: Request| {
        app.clone().oneshot(event::http_request(request))
    }))
    .await
}

/// Loads the models to be preloaded and speaks to the store once. A failure here ends nothing:
/// readiness tells of it, and the request that needs the model tries again.
async fn warm(service: &std::sync::Arc<Service>, config: &Config) {
    let warming = async {
        if let Err(error) = service.preload().await {
            tracing::warn!(error = error.chain(), "a model could not be preloaded");
        }
        service.ready().await
    };
    match tokio::time::timeout(config.warm_time(), warming).await {
        Ok(readiness) if readiness.ready() => {}
        Ok(readiness) => tracing::warn!(reasons = ?readiness.reasons, "not ready yet"),
        Err(_) => tracing::warn!("warming took too long; requests go on with it"),
    }
}
