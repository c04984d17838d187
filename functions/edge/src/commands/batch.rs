//! `dunlin batch`: many inputs through one version of a model.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args;
use dunlin_jobs::{Event, Job, JobOptions, Manifest, Place};
use dunlin_registry::{ModelRef, Registry};
use dunlin_serving::{Service, ServiceOptions};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::Task;

/// `dunlin batch`
#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// MODEL, MODEL@VERSION or MODEL@ALIAS
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// A file of rows (.jsonl, .csv, .parquet) or a folder; a prefix of the store; or a URL of either
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where results go: a prefix of the store, a folder (./…, /…), or a URL
    #[arg(long, value_name = "PREFIX")]
    to: String,
    /// How answers of rows are written: jsonl, csv or parquet [default: as the rows are]
    #[arg(long, value_name = "FORMAT")]
    format: Option<dunlin_jobs::Format>,
    /// Rows that one part of the results answers
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    part_rows: u32,
    /// Threads that run the model [default: a core each]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
}

/// How long one input may take, and wait for its turn: nobody waits for it.
const PATIENCE: Duration = Duration::from_hours(1);

#[derive(Serialize)]
struct Batched {
    to: String,
    /// Inputs that an earlier run had ended.
    already: u64,
    #[serde(flatten)]
    manifest: Manifest,
}

pub(crate) async fn batch(arguments: BatchArgs, context: &Context) -> Result<(), Failure> {
    let registry = context.trusting_registry().await?;
    let source = source(&arguments.source, &registry, context).await?;
    let to = destination(&arguments.to, &registry, context).await?;
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let workers = arguments.workers.map_or(cores, usize::from);
    let mut options = JobOptions {
        format: arguments.format,
        rows_per_part: arguments.part_rows,
        progress: Some(progress(context.output, &arguments)),
        ..JobOptions::default()
    };
    options.at_once = options.at_once.max(4 * workers);
    let service = ServiceOptions {
        workers,
        queue: 2 * options.at_once,
        queue_timeout: PATIENCE,
        request_timeout: PATIENCE,
        background: false,
        ..ServiceOptions::default()
    };
    let service = Service::new(registry, service);
    let url = to.url();
    let job = Job::new(service, arguments.model, source, to, options);
    let manifest = job.run().await?;
    let batched = Batched {
        to: url,
        already: manifest.counts.already,
        manifest,
    };
    context.output.answer(&batched, || batched.describe())
}

/// A bar over inputs, or over the bytes of a file. It begins when the job knows how much there is.
fn progress(output: Output, arguments: &BatchArgs) -> Arc<dyn Fn(Event) + Send + Sync> {
    let what = format!("{} on {}", arguments.model, arguments.source);
    let task: Mutex<Option<Task>> = Mutex::new(None);
    Arc::new(move |event| {
        let mut task = task.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Objects(total) => *task = Some(Task::inputs(output, what.as_str(), total)),
            Event::Bytes(total) => *task = Some(Task::bytes(output, what.as_str(), total)),
            Event::Moved(count) => {
                if let Some(task) = task.as_ref() {
                    task.moved(count);
                }
            }
        }
    })
}

/// A file or folder of this machine where there is one, else a prefix of the store.
async fn source(text: &str, registry: &Registry, context: &Context) -> Result<Place, Failure> {
    if let Some(place) = by_url(text, context).await? {
        return Ok(place);
    }
    let path = Path::new(text);
    if path.is_dir() {
        return folder(text, String::new(), context).await;
    }
    if path.is_file() {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let parent = parent.unwrap_or(Path::new(".")).display().to_string();
        return folder(&parent, name.into_owned(), context).await;
    }
    if text.is_empty() || is_path(text) {
        return Err(Exit::NotFound.failure(format!("there is no file or folder {text:?}")));
    }
    Ok(Place {
        store: registry.store().clone(),
        prefix: text.to_owned(),
    })
}

/// A folder of this machine where it is written as one, else a prefix of the store.
async fn destination(text: &str, registry: &Registry, context: &Context) -> Result<Place, Failure> {
    let mut place = match by_url(text, context).await? {
        Some(place) => place,
        None if is_path(text) => folder(text, String::new(), context).await?,
        None => Place {
            store: registry.store().clone(),
            prefix: text.to_owned(),
        },
    };
    place.prefix = place.prefix.trim_end_matches('/').to_owned();
    Ok(place)
}

fn is_path(text: &str) -> bool {
    text == "."
        || ["./", "../", "/"]
            .iter()
            .any(|start| text.starts_with(start))
}

async fn folder(path: &str, prefix: String, context: &Context) -> Result<Place, Failure> {
    let store = context.store_at(&format!("file:{path}")).await?;
    Ok(Place { store, prefix })
}

async fn by_url(text: &str, context: &Context) -> Result<Option<Place>, Failure> {
    if let Some(place) = text.strip_prefix("s3://") {
        // The bucket alone is the store: a prefix need not end at a folder.
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let store = context.store_at(&format!("s3://{bucket}")).await?;
        let prefix = prefix.to_owned();
        return Ok(Some(Place { store, prefix }));
    }
    match text.strip_prefix("file:") {
        Some(path) if Path::new(path).is_file() => {
            let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
            folder(parent, name.to_owned(), context).await.map(Some)
        }
        Some(path) => folder(path, String::new(), context).await.map(Some),
        None => Ok(None),
    }
}

impl Batched {
    fn describe(&self) -> String {
        let counts = &self.manifest.counts;
        let mut text = format!(
            "{} of {} inputs answered by {} version {}",
            counts.answered, counts.inputs, self.manifest.job.model, self.manifest.job.version
        );
        if counts.refused > 0 {
            let _ = write!(text, ", {} refused", counts.refused);
        }
        if self.already > 0 {
            let _ = write!(text, " ({} by an earlier run)", self.already);
        }
        let _ = writeln!(text, "\n{}/manifest.json", self.to.trim_end_matches('/'));
        text
    }
}
