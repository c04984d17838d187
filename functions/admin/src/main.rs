//! Lambda: what changes the store, over HTTP: aliases set, promoted, put on trial, rolled back,
//! deleted; versions deleted. It loads no model. On a schedule of `EventBridge` it looks at every
//! guarded canary, and moves it on or back.
//!
//! Who may do so is for what stands in front to ask (IAM on a function URL, an authorizer of an
//! API), or for the token of `DUNLIN_ADMIN_TOKEN`. One of the two has to be chosen.

use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use dunlin_lambda::{HostArgs, Meter};
use dunlin_serving::{Access, Service, ServiceOptions, admin_router};
use lambda_http::Error;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Change a store over HTTP, as a Lambda function. The environment is the usual place for all of this.
#[derive(Debug, Parser)]
#[command(name = "bootstrap-admin", version, group(ArgGroup::new("access").required(true)))]
struct Config {
    #[command(flatten)]
    host: HostArgs,
    /// The token that callers send: `Authorization: Bearer TOKEN`
    #[arg(
        long,
        value_name = "TOKEN",
        env = "DUNLIN_ADMIN_TOKEN",
        hide_env_values = true,
        group = "access"
    )]
    token: Option<Access>,
    /// Whoever gets here may: IAM or an authorizer in front has asked already
    #[arg(long, env = "DUNLIN_ADMIN_GUARDED", group = "access")]
    guarded: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    dunlin_lambda::end(run(Config::parse()).await)
}

async fn run(config: Config) -> Result<(), Error> {
    let mut start = config.host.start()?;
    tracing::info!(?config, "starting");
    let access = config.token.unwrap_or(Access::Guarded);
    let options = ServiceOptions {
        workers: 1,
        background: false,
        ..ServiceOptions::default()
    };
    let service = Service::new(config.host.registry().await?, options);
    start.done("open");
    let meter = Meter::new(&service, &config.host, &start);
    let router = admin_router(service.clone(), access);
    let on_schedule = move || {
        let service = service.clone();
        async move { Ok(service.advance_all().await?) }
    };
    dunlin_lambda::serve_scheduled(router, meter, on_schedule).await
}
