//! `dunlin serve`: the router on a local address, from the first look at the store to the drain.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use dunlin_engine::Threads;
use dunlin_registry::ModelRef;
use dunlin_serving::{Access, Later, Service, ServiceOptions, router, router_with_admin};
use serde::Serialize;
use tokio::sync::watch;

use super::ls::{self, Listed};
use crate::context::{Context, redact};
use crate::exit::{Exit, Failure};
use crate::progress::Task;
use crate::template::{self, DeployedRoute, Template};
use crate::{net, output, sample, twin};

/// Models that the greeting names.
const NAMED: usize = 20;

/// `dunlin serve`
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on; port 0 takes a free one
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "DUNLIN_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    listen: String,
    /// A model to load before the server is ready; may be given more than once, or with commas
    #[arg(
        long,
        value_name = "MODEL",
        env = "DUNLIN_PRELOAD",
        value_delimiter = ','
    )]
    preload: Vec<ModelRef>,
    /// Runs at one time [default: one for each core]
    #[arg(long, value_name = "N", env = "DUNLIN_WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Threads that share the large nodes of each run: answers come sooner where requests are few
    #[arg(long, value_name = "N", env = "DUNLIN_THREADS", default_value = "1")]
    threads: NonZeroUsize,
    /// Requests that may wait for a worker; more get 429 [default: 64]
    #[arg(long, value_name = "N", env = "DUNLIN_QUEUE")]
    queue: Option<usize>,
    /// Memory for loaded models, in MiB; those not used for the longest time go first [default: 1024]
    #[arg(long, value_name = "MIB", env = "DUNLIN_CACHE_MIB", value_parser = clap::value_parser!(u64).range(1..1 << 40))]
    cache_mib: Option<u64>,
    /// Largest request, in MiB; a larger one gets 413 [default: 64]
    #[arg(long, value_name = "MIB", env = "DUNLIN_BODY_MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    body_mib: Option<u32>,
    /// How long a request may take, in seconds [default: 60]
    #[arg(long, value_name = "S", env = "DUNLIN_REQUEST_SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    request_seconds: Option<u32>,
    /// How old the knowledge of versions and aliases may be, in seconds [default: 5]
    #[arg(long, value_name = "S", env = "DUNLIN_REFRESH_SECONDS")]
    refresh_seconds: Option<u32>,
    /// The share of requests whose payload is kept in the store, in percent [default: none]
    #[arg(long, value_name = "N", env = "DUNLIN_CAPTURE_PERCENT", value_parser = percent)]
    capture_percent: Option<f64>,
    /// What is kept of them: names of inputs and outputs, or `body`; nothing else is
    #[arg(
        long,
        value_name = "NAME",
        env = "DUNLIN_CAPTURE_FIELDS",
        value_delimiter = ','
    )]
    capture_fields: Vec<String>,
    /// Days until `dunlin gc` removes them
    #[arg(long, value_name = "N", env = "DUNLIN_CAPTURE_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    capture_days: u32,
    /// Requests with "Prefer: respond-async" that are answered in the background at one time
    /// [default: 0: such requests are answered at once, as all others]
    #[arg(
        long,
        value_name = "N",
        env = "DUNLIN_LATER",
        default_value_t = 0,
        hide_default_value = true
    )]
    later: usize,
    /// How long running requests may take to end after SIGTERM, in seconds
    #[arg(
        long,
        value_name = "S",
        env = "DUNLIN_DRAIN_SECONDS",
        default_value_t = 30
    )]
    drain_seconds: u32,
    /// Also answer /admin, which changes the store, to callers with this token
    #[arg(
        long,
        value_name = "TOKEN",
        env = "DUNLIN_ADMIN_TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<Access>,
    /// Answer exactly the routes that the API of this template has, as in infra/template.yaml
    #[arg(long, value_name = "FILE", env = "DUNLIN_TEMPLATE")]
    template: Option<PathBuf>,
    /// A parameter of the template, as in AdminAccess=IAM; may be given more than once
    #[arg(long = "parameter", value_name = "NAME=VALUE", requires = "template", value_parser = template::parameter)]
    parameters: Vec<(String, String)>,
}

/// What the server tells when it begins.
#[derive(Serialize)]
struct Greeting {
    url: String,
    store: String,
    models: Vec<Listed>,
    workers: usize,
    threads: usize,
    queue: usize,
    cache_bytes: u64,
    body_bytes: usize,
    request_seconds: u64,
    refresh_seconds: u64,
    drain_seconds: u32,
    preload: Vec<String>,
    /// A command that works as it stands.
    #[serde(rename = "try")]
    example: String,
}

pub(crate) async fn serve(arguments: ServeArgs, context: &Context) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let deployed = arguments.deployed()?;
    let begun = Instant::now();
    let registry = context.trusting_registry().await?;
    let open = begun.elapsed();
    let listener = net::listen(&arguments.listen).await?;
    if context.is_default_store() {
        sample::publish_if_absent(&registry, context.output).await?;
    }
    let options = arguments.service_options()?;
    let mut greeting = Greeting {
        url: format!("http://{}", listener.local_addr()?),
        store: redact(&registry.store().url()),
        models: ls::list(&registry).await?,
        workers: options.workers,
        threads: arguments.threads.get(),
        queue: options.queue,
        cache_bytes: options.cache_bytes,
        body_bytes: options.limits.body_bytes,
        request_seconds: options.request_timeout.as_secs(),
        refresh_seconds: options.refresh.as_secs(),
        drain_seconds: arguments.drain_seconds,
        preload: options.preload.iter().map(ToString::to_string).collect(),
        example: String::new(),
    };
    greeting.example = greeting.example();

    let service = Service::new(registry, options);
    let (stop, stopped) = watch::channel(false);
    // Health is answered while models load.
    let all = match arguments.admin_token {
        Some(access) => router_with_admin(service.clone(), access),
        None => router(service.clone()),
    };
    let app = match &deployed {
        Some(deployed) => twin::twin(&all, deployed)?,
        None => all,
    };
    let mut server = tokio::spawn(net::serve(listener, app, stopped));
    if !arguments.preload.is_empty() {
        let task = Task::start(context.output, "loading models");
        tokio::select! {
            loaded = service.preload() => loaded?,
            () = signals.next() => return Ok(()),
        }
        task.done();
    }
    let preload = begun.elapsed().saturating_sub(open);
    service.started(&[("open", open), ("preload", preload)]);
    context.output.line(&greeting, || greeting.describe())?;

    tokio::select! {
        ended = &mut server => return Err(Failure::failed(format!("the server ended by itself: {ended:?}"))),
        () = signals.next() => {}
    }
    let patience = Duration::from_secs(arguments.drain_seconds.into());
    context.output.note(&format!(
        "draining: running requests may take {patience:?} to end; once more ends at once"
    ));
    let drain = async {
        // New requests are refused from now on, then connections are closed as they fall idle.
        service.drain().await;
        stop.send_replace(true);
        server.await
    };
    tokio::select! {
        _ = drain => Ok(()),
        () = signals.next() => Err(Failure::failed("ended by a second signal, with requests still running")),
        () = tokio::time::sleep(patience) => {
            Err(Failure::failed(format!("ended with requests still running after {patience:?}; --drain-seconds gives more")))
        }
    }
}

impl ServeArgs {
    /// The routes of the API that the template deploys, if there is a template.
    fn deployed(&self) -> Result<Option<Vec<DeployedRoute>>, Failure> {
        let Some(path) = &self.template else {
            return Ok(None);
        };
        let given: BTreeMap<_, _> = self.parameters.iter().cloned().collect();
        let routes = Template::read(path, &given)?.routes()?;
        if twin::has_admin(&routes) && self.admin_token.is_none() {
            return Err(Exit::Usage.failure(
                "the template deploys /admin, behind an authorizer; here --admin-token TOKEN says who may call it",
            ));
        }
        Ok(Some(routes))
    }

    fn service_options(&self) -> Result<ServiceOptions, Failure> {
        let mut options = ServiceOptions {
            preload: self.preload.clone(),
            later: (self.later > 0).then_some(Later::Here(self.later)),
            ..ServiceOptions::default()
        };
        if let Some(workers) = self.workers {
            options.workers = workers.into();
        }
        if let Some(queue) = self.queue {
            options.queue = queue;
        }
        if let Some(mib) = self.cache_mib {
            options.cache_bytes = mib << 20;
        }
        if let Some(mib) = self.body_mib {
            options.limits.body_bytes = (mib as usize) << 20;
            options.limits.bodies_bytes =
                options.limits.bodies_bytes.max(options.limits.body_bytes);
        }
        if let Some(seconds) = self.request_seconds {
            options.request_timeout = Duration::from_secs(seconds.into());
        }
        if let Some(seconds) = self.refresh_seconds {
            options.refresh = Duration::from_secs(seconds.into());
        }
        options.capture.share = self.capture_percent.unwrap_or_default() / 100.0;
        options.capture.fields.clone_from(&self.capture_fields);
        options.capture.days = self.capture_days;
        options.limits.engine.threads = Threads::new(self.threads)?;
        Ok(options)
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("a number from 0 to 100".to_owned()),
    }
}

impl Greeting {
    fn describe(&self) -> String {
        let mut text = format!("dunlin {} serves {}\n", env!("CARGO_PKG_VERSION"), self.url);
        let mut line = |what: &str, value: &str| {
            let _ = writeln!(text, "  {what:<9} {value}");
        };
        line("store", &self.store);
        let mut models: Vec<String> = self
            .models
            .iter()
            .take(NAMED)
            .map(|model| match model.default {
                Some(version) => format!("{} (version {version})", model.name),
                None => format!("{} (can't be read)", model.name),
            })
            .collect();
        if self.models.len() > NAMED {
            models.push(format!("and {} more", self.models.len() - NAMED));
        }
        if models.is_empty() {
            models.push("none yet; dunlin push model.onnx publishes one".to_owned());
        }
        line("models", &models.join(", "));
        if !self.preload.is_empty() {
            line("loaded", &self.preload.join(", "));
        }
        line(
            "capacity",
            &format!(
                "{} at one time, {} waiting, {} of models",
                self.workers,
                self.queue,
                output::bytes(self.cache_bytes)
            ),
        );
        line(
            "limits",
            &format!(
                "{} a request, {} s, {} s to drain",
                output::bytes(self.body_bytes as u64),
                self.request_seconds,
                self.drain_seconds
            ),
        );
        line(
            "fresh",
            &format!(
                "versions and aliases are looked up again after {} s",
                self.refresh_seconds
            ),
        );
        let _ = write!(text, "\nTry:\n  {}\n", self.example);
        text
    }

    /// A command for the reader's terminal: the sample's picture where both are there, else any model.
    fn example(&self) -> String {
        let url = self
            .url
            .replace("//0.0.0.0:", "//127.0.0.1:")
            .replace("//[::]:", "//[::1]:");
        let sample = |model: &Listed| model.name.as_str() == sample::NAME;
        if self.models.iter().any(sample)
            && let Some(picture) = sample::picture()
        {
            let (picture, name) = (picture.display(), sample::NAME);
            return format!("curl --data-binary @{picture} {url}/predict/{name}");
        }
        match self.models.first() {
            Some(model) => format!("curl {url}/v2/models/{}", model.name),
            None => format!("curl {url}/v2"),
        }
    }
}

/// The signals that ask a server to end.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    #[allow(
        clippy::unnecessary_wraps,
        reason = "installing handlers can fail on Unix"
    )]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    #[allow(
        clippy::unused_self,
        reason = "the handlers are the process's own here"
    )]
    async fn next(&mut self) {
        // Without a handler for Ctrl-C the process simply ends on it.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
