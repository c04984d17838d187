//! Lambda: an object under `uploads/<name>/` becomes a version of that model by the publish road, and
//! a report beside it says what became of it. docs/publishing.md has all of it.
//!
//! It is told by S3, direct or through SQS, SNS or `EventBridge`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use clap::Parser;
use dunlin_lambda::HostArgs;
use dunlin_lambda::events::Intake;
use dunlin_publishing::{Upload, UploadOptions};
use dunlin_registry::{PemSource, Registry};
use dunlin_serving::batch::{Input, Work};
use dunlin_storage::key_in_store;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Publish uploads as a Lambda function. The environment is the usual place for all of this.
#[derive(Debug, Parser)]
#[command(name = "bootstrap-publish", version)]
struct Config {
    #[command(flatten)]
    host: HostArgs,
    /// Sign each version with this secret key: a PEM file, or its text
    #[arg(
        long,
        value_name = "KEY",
        env = "DUNLIN_SIGN_KEY",
        hide_env_values = true
    )]
    sign_key: Option<PemSource>,
}

#[tokio::main]
async fn main() -> ExitCode {
    dunlin_lambda::end(run(Config::parse()).await)
}

async fn run(config: Config) -> Result<(), Error> {
    config.host.start()?;
    tracing::info!(?config, "starting");
    let mut registry = config.host.registry().await?;
    if let Some(key) = &config.sign_key {
        registry = registry.signing(Arc::new(key.signing_key()?));
    }
    let memory_bytes = config.host.memory_mb << 20;
    lambda_runtime::run(service_fn(move |event| {
        answer(registry.clone(), memory_bytes, event)
    }))
    .await
}

/// One upload after the other: each may need all of the memory.
async fn answer(
    registry: Registry,
    memory_bytes: u64,
    event: LambdaEvent<Value>,
) -> Result<Value, Error> {
    let left = dunlin_lambda::time_left(event.context.deadline, SystemTime::now());
    let deadline = left.map(|left| Instant::now() + left);
    let options = UploadOptions {
        memory_bytes,
        deadline,
    };
    let intake = Intake::of(event.payload)?;
    let (mut reports, mut returned) = (Vec::new(), Vec::new());
    for work in &intake.works {
        let published = match upload(&registry, work) {
            Some(upload) => upload.publish(&registry, &options).await.map(Some),
            None => Ok(None),
        };
        returned.push(match published {
            Ok(report) => {
                reports.extend(report);
                None
            }
            Err(error) => {
                tracing::warn!(%error, ?work, "returned");
                Some(error.to_string())
            }
        });
    }
    intake.give_back(&returned, json!({"uploads": reports}))
}

/// The upload that an event tells of, if it is one, and in the store.
fn upload(registry: &Registry, work: &Work) -> Option<Upload> {
    let Input::Object { bucket, key } = &work.input else {
        return None;
    };
    let key = match bucket {
        Some(bucket) => key_in_store(&registry.store().url(), bucket, key)?,
        None => key,
    };
    Upload::of(key)
}
