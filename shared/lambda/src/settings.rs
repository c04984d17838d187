//! What a function is told, by its environment or by flags.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use dunlin_registry::{ModelRef, PemSource, Registry};
use dunlin_serving::{CaptureOptions, Limits, ServiceOptions};
use dunlin_storage::{Store, StoreOptions};
use dunlin_telemetry::{Collector, Exporter, LogFormat};
use lambda_http::Error;

use crate::Start;

/// Where models are kept, and how to log.
#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    /// Where models are kept: `s3://bucket/prefix` or `file:PATH`
    #[arg(long, value_name = "URL", env = "DUNLIN_STORE")]
    pub store: String,
    /// An S3 other than AWS's, as <http://host:port>
    #[arg(long, value_name = "URL", env = "DUNLIN_S3_ENDPOINT")]
    s3_endpoint: Option<String>,
    /// The bucket's region [default: the function's]
    #[arg(long, value_name = "NAME", env = "DUNLIN_S3_REGION")]
    s3_region: Option<String>,
    /// Put the bucket into the path, not the host name [default: true with an endpoint]
    #[arg(long, value_name = "true|false", env = "DUNLIN_S3_PATH_STYLE")]
    s3_path_style: Option<bool>,
    /// Serve only versions that one of these public keys has signed: a PEM file, or its text
    #[arg(long, value_name = "KEYS", env = "DUNLIN_TRUSTED_KEYS")]
    trusted_keys: Option<PemSource>,
    /// What to log, as in `info` or `dunlin_serving=debug,warn`
    #[arg(
        long,
        value_name = "FILTER",
        env = "DUNLIN_LOG",
        default_value = "info"
    )]
    log: String,
    /// How to log: auto (JSON on Lambda), text or json
    #[arg(
        long,
        value_name = "FORMAT",
        env = "DUNLIN_LOG_FORMAT",
        default_value = "auto"
    )]
    log_format: LogFormat,
    /// The `CloudWatch` namespace of the metrics in the log; empty: none
    #[arg(
        long,
        value_name = "NAME",
        env = "DUNLIN_METRICS_NAMESPACE",
        default_value = "Dunlin"
    )]
    pub(crate) metrics_namespace: String,
    /// The function's memory in MB, as Lambda tells it
    #[arg(
        long,
        value_name = "MB",
        env = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        default_value_t = 512,
        hide = true
    )]
    pub memory_mb: u64,
}

/// What of a reply's limit is for its headers, and what else an event's JSON has around a body.
const AROUND: usize = 48 << 10;

/// Memory in MB for which a function has one core.
const CORE_MB: usize = 1769;

/// How the models of a function serve.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// A collector of OTLP beside the function (an extension), as <http://localhost:4318>: it gets the
    /// spans of requests whose trace is sampled
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<Collector>,
    /// What this service is called there
    #[arg(
        long,
        value_name = "NAME",
        env = "OTEL_SERVICE_NAME",
        default_value = "dunlin"
    )]
    service_name: String,
    /// Models to load in the init phase, as in "digits,faces@production"
    #[arg(
        long,
        value_name = "MODEL",
        env = "DUNLIN_PRELOAD",
        value_delimiter = ','
    )]
    preload: Vec<ModelRef>,
    /// Memory for loaded models, in MiB [default: half of the function's]
    #[arg(long, value_name = "MIB", env = "DUNLIN_CACHE_MIB", value_parser = clap::value_parser!(u64).range(1..1 << 40))]
    cache_mib: Option<u64>,
    /// Largest request, in MiB; a larger one gets 413 [default: 64; Lambda itself takes 6 MB]
    #[arg(long, value_name = "MIB", env = "DUNLIN_BODY_MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    body_mib: Option<u32>,
    /// Largest reply, in MiB, as an event carries it (bytes as base64); a larger one is stored, and the
    /// caller sent there. A load balancer takes 1
    #[arg(long, value_name = "MIB", env = "DUNLIN_REPLY_MIB", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=6))]
    reply_mib: u32,
    /// How old the knowledge of versions and aliases may be, in seconds
    #[arg(
        long,
        value_name = "S",
        env = "DUNLIN_REFRESH_SECONDS",
        default_value_t = 5
    )]
    refresh_seconds: u32,
    /// How long the init phase may spend on models and the store, in seconds; Lambda allows 10
    #[arg(
        long,
        value_name = "S",
        env = "DUNLIN_WARM_SECONDS",
        default_value_t = 8
    )]
    warm_seconds: u32,
    /// Of the requests that a shadow or a guarded canary's agreement wants asked of a second version,
    /// the share that is, in percent: each costs the time of another run, after the reply
    #[arg(long, value_name = "N", env = "DUNLIN_MIRROR_PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    mirror_percent: u32,
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
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("a number from 0 to 100".to_owned()),
    }
}

impl HostArgs {
    /// Starts logging, before which nothing is logged, and the clock of the cold start.
    pub fn start(&self) -> Result<Start, Error> {
        dunlin_telemetry::init(self.log_format, &self.log)?;
        Ok(Start::new())
    }

    /// The models of the store; with trusted keys, those that one of them has signed.
    pub async fn registry(&self) -> Result<Registry, Error> {
        let registry = Registry::new(self.open(&self.store).await?);
        Ok(match &self.trusted_keys {
            Some(keys) => registry.trusting(Arc::new(keys.trusted_keys()?)),
            None => registry,
        })
    }

    /// Whole cores of the function, as far as the machine has them; part of one counts as one.
    pub fn cores(&self) -> NonZeroUsize {
        let paid = NonZeroUsize::new(self.memory_mb as usize / CORE_MB);
        let here = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        paid.map_or(NonZeroUsize::MIN, |paid| paid.min(here))
    }

    /// A store that is reached as the models' is.
    pub async fn open(&self, url: &str) -> Result<Arc<dyn Store>, Error> {
        let mut options = StoreOptions::default();
        options.endpoint.clone_from(&self.s3_endpoint);
        options.region.clone_from(&self.s3_region);
        options.path_style = self.s3_path_style;
        Ok(dunlin_storage::open(url, &options).await?)
    }
}

impl ModelArgs {
    /// The options of the service, in a function with this memory.
    pub fn service_options(&self, host: &HostArgs) -> ServiceOptions {
        let mut limits = Limits::default();
        if let Some(mib) = self.body_mib {
            limits.body_bytes = (mib as usize) << 20;
        }
        let mut capture = CaptureOptions::default();
        capture.share = self.capture_percent.unwrap_or_default() / 100.0;
        capture.fields.clone_from(&self.capture_fields);
        capture.days = self.capture_days;
        ServiceOptions {
            limits,
            capture,
            reply_bytes: Some(((self.reply_mib as usize) << 20) - AROUND),
            cache_bytes: self.cache_mib.unwrap_or(host.memory_mb / 2).max(1) << 20,
            // An environment of Lambda has one request at a time.
            workers: 1,
            refresh: Duration::from_secs(self.refresh_seconds.into()),
            // Between requests the process is frozen.
            background: false,
            spans: self
                .otlp_endpoint
                .as_ref()
                .map(|collector| Arc::new(Exporter::new(collector.clone(), &self.service_name))),
            mirror_percent: self.mirror_percent,
            preload: self.preload.clone(),
            ..ServiceOptions::default()
        }
    }

    /// How long the init phase may spend on models and the store.
    pub fn warm_time(&self) -> Duration {
        Duration::from_secs(self.warm_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Config {
        #[command(flatten)]
        host: HostArgs,
        #[command(flatten)]
        models: ModelArgs,
    }

    #[test]
    fn half_of_the_memory_is_for_models() {
        let options = |arguments: &[&str]| {
            let always = ["bootstrap", "--store", "file:x", "--memory-mb", "1024"];
            let config = Config::try_parse_from([&always, arguments].concat()).unwrap();
            config.models.service_options(&config.host)
        };
        assert_eq!(options(&[]).cache_bytes, 512 << 20);
        let told = options(&["--cache-mib", "7", "--preload", "digits,faces@production"]);
        assert_eq!(told.cache_bytes, 7 << 20);
        assert_eq!(told.preload.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, words) in [
            (&["--preload", "../x"][..], "--preload"),
            (&["--cache-mib", "0"], "--cache-mib"),
            (&["--log-format", "yaml"], "text, json"),
        ] {
            let always = &["bootstrap", "--store", "file:x"][..];
            let error = Config::try_parse_from([always, arguments].concat()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
