//! A batch transform as an event: as much of it as the function's time allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_jobs::{Format, Job, JobOptions, Place};
use dunlin_lambda::HostArgs;
use dunlin_serving::Service;
use lambda_runtime::Error;
use serde::Deserialize;
use serde_json::Value;

/// Inputs in work at one time, of a function's little memory.
const AT_ONCE: usize = 16;

/// Time kept for what is in work when no more is begun: a tenth of all, at least this.
const LEAST_KEPT: Duration = Duration::from_secs(5);

/// `{"batch": {…}}`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    batch: Transform,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transform {
    model: String,
    source: String,
    to: String,
    format: Option<Format>,
    part_rows: Option<u32>,
}

/// Whether an event asks for a batch transform.
pub(crate) fn is_asked(event: &Value) -> bool {
    event.get("batch").is_some()
}

/// Does it, and tells how far it is: `finished` says whether the same event has to come again.
pub(crate) async fn run(
    service: Arc<Service>,
    host: &HostArgs,
    event: Value,
    left: Option<Duration>,
) -> Result<Value, Error> {
    let asked: Asked = serde_json::from_value(event)
        .map_err(|error| format!("the event can't be read: {error}"))?;
    let asked = asked.batch;
    let source = place(&asked.source, &service, host).await?;
    let mut to = place(&asked.to, &service, host).await?;
    to.prefix = to.prefix.trim_end_matches('/').to_owned();
    let mut options = JobOptions {
        format: asked.format,
        at_once: AT_ONCE,
        until: left.map(|left| Instant::now() + left.saturating_sub(LEAST_KEPT.max(left / 10))),
        ..JobOptions::default()
    };
    if let Some(rows) = asked.part_rows {
        options.rows_per_part = rows.max(1);
    }
    let job = Job::new(service, asked.model.parse()?, source, to, options);
    let manifest = job.run().await?;
    Ok(serde_json::to_value(manifest)?)
}

/// A bucket's objects, or a prefix of the models' store.
async fn place(text: &str, service: &Service, host: &HostArgs) -> Result<Place, Error> {
    let Some(place) = text.strip_prefix("s3://") else {
        return Ok(Place {
            store: service.registry().store().clone(),
            prefix: text.to_owned(),
        });
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    Ok(Place {
        store: host.open(&format!("s3://{bucket}")).await?,
        prefix: prefix.to_owned(),
    })
}
