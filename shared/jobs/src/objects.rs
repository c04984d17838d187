//! Each object of a prefix → an object of its own.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use dunlin_registry::{Digest, ModelRef};
use dunlin_serving::{Call, ErrorKind as Serving, PredictBody, facts};
use dunlin_storage::{ErrorKind as Storage, ObjectMeta};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::job::{Done, Event, Job, Place};
use crate::{Error, Result};

/// Memory for the bodies of objects, in MiB.
const BODIES_MIB: u32 = 256;

/// Lines of a file of the index.
const INDEX_LINES: usize = 10_000;

/// Where an object's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered {
        already: bool,
    },
    Refused {
        already: bool,
    },
    /// The time was over.
    NotBegun,
}

#[derive(Serialize)]
struct Input<'a> {
    object: &'a str,
    etag: &'a str,
}

#[derive(Serialize)]
struct Answer<'a> {
    input: Input<'a>,
    answer: &'a RawValue,
}

#[derive(Serialize)]
struct Refusal<'a> {
    input: Input<'a>,
    kind: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct IndexLine<'a> {
    object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// The road of one job.
struct Road<'a> {
    job: &'a Job,
    model: &'a ModelRef,
    already: HashSet<String>,
    bodies: Semaphore,
    body_limit: u64,
}

pub(crate) async fn run(job: &Job, model: &ModelRef, objects: &[ObjectMeta]) -> Result<Done> {
    job.options().tell(Event::Objects(objects.len() as u64));
    let mut already: HashSet<String> = job.to().names("results").await?.into_iter().collect();
    already.extend(job.to().names("refused").await?);
    let road = Road {
        job,
        model,
        already,
        bodies: Semaphore::new(BODIES_MIB as usize),
        body_limit: job.service().options().limits.body_bytes as u64,
    };
    let mut ends = stream::iter(objects)
        .map(|object| road.end(object))
        .buffered(job.options().at_once.max(1));
    let mut done = Done {
        finished: true,
        ..Done::default()
    };
    let mut index = Index::new(job.to());
    let mut next = objects.iter();
    while let Some(end) = ends.try_next().await? {
        let Some(object) = next.next() else { break };
        job.options().tell(Event::Moved(1));
        let counts = &mut done.counts;
        let (mut result, mut refused) = (None, None);
        let already = match end {
            End::NotBegun => {
                done.finished = false;
                continue;
            }
            End::Answered { already } => {
                counts.answered += 1;
                result = Some(road.name("results", object));
                already
            }
            End::Refused { already } => {
                counts.refused += 1;
                refused = Some(road.name("refused", object));
                already
            }
        };
        counts.inputs += 1;
        counts.already += u64::from(already);
        let line = IndexLine {
            object: object.key.as_str(),
            result,
            refused,
        };
        // Half an index tells nothing that the results don't.
        if done.finished {
            index.add(&line).await?;
        }
    }
    if done.finished {
        done.index = index.end().await?;
    }
    Ok(done)
}

impl Road<'_> {
    /// The name of an object's end at the destination: by its key below the source, and its content.
    fn name(&self, folder: &str, object: &ObjectMeta) -> String {
        let prefix = &self.job.source().prefix;
        // The folder of the prefix is the same for all.
        let common = prefix.rfind('/').map_or(0, |slash| slash + 1);
        let key = object.key.as_str();
        let tag = &Digest::of(object.etag.as_str().as_bytes()).hex()[..16];
        format!("{folder}/{}/{tag}.json", key.get(common..).unwrap_or(key))
    }

    async fn end(&self, object: &ObjectMeta) -> Result<End> {
        let results = self.name("results", object);
        let refused = self.name("refused", object);
        if self.already.contains(&results) {
            return Ok(End::Answered { already: true });
        }
        if self.already.contains(&refused) {
            return Ok(End::Refused { already: true });
        }
        if self.job.options().is_over() {
            return Ok(End::NotBegun);
        }
        let url = self.job.source().store.url();
        let url = format!("{}/{}", url.trim_end_matches('/'), object.key);
        let input = Input {
            object: &url,
            etag: object.etag.as_str(),
        };
        match self.answer(object).await? {
            Ok(answer) => {
                let answer = serde_json::from_slice(&answer)
                    .map_err(|error| Error::internal(format!("an answer is no JSON: {error}")))?;
                let document = line(&Answer { input, answer })?;
                self.job.to().put(&results, document.into()).await?;
                Ok(End::Answered { already: false })
            }
            Err((kind, reason)) => {
                let (kind, reason) = (facts(kind).word, reason.as_str());
                let refusal = Refusal {
                    input,
                    kind,
                    reason,
                };
                self.job.to().put(&refused, line(&refusal)?.into()).await?;
                Ok(End::Refused { already: false })
            }
        }
    }

    /// The answer, or why the object can have none. An error is of the moment.
    async fn answer(&self, object: &ObjectMeta) -> Result<Result<Bytes, (Serving, String)>> {
        let (size, limit) = (object.size, self.body_limit);
        if size > limit {
            let reason = format!("it has {size} bytes; the limit is {limit}");
            return Ok(Err((Serving::TooLarge, reason)));
        }
        let mib = (size >> 20) as u32 + 1;
        let _held = self
            .bodies
            .acquire_many(mib.min(BODIES_MIB))
            .await
            .map_err(|_| Error::internal("nothing closes the semaphore"))?;
        let body = match self.job.source().store.get(&object.key).await {
            Ok(found) if found.meta.etag == object.etag => found.bytes,
            Ok(_) => {
                let reason = "it was replaced while the job ran; another run answers it";
                return Ok(Err((Serving::Conflict, reason.to_owned())));
            }
            Err(error) => match error.kind() {
                Storage::NotFound => return Ok(Err((Serving::InvalidRequest, error.to_string()))),
                Storage::TooLarge => return Ok(Err((Serving::TooLarge, error.to_string()))),
                _ => return Err(error.into()),
            },
        };
        let body = PredictBody {
            body,
            content_type: content_type(object.key.as_str()).map(str::to_owned),
            header_length: None,
        };
        let mut call = Call::new(None);
        match self
            .job
            .service()
            .predict(self.model, body, &mut call)
            .await
        {
            Ok(reply) => Ok(Ok(reply.body)),
            Err(error) if error.kind().is_the_inputs() => Ok(Err((error.kind(), error.chain()))),
            Err(error) => Err(error.into()),
        }
    }
}

/// A picture's format is read from its bytes; what else is not named here is what the model takes.
fn content_type(key: &str) -> Option<&'static str> {
    let ending = Path::new(key).extension()?.to_str()?;
    match ending.to_ascii_lowercase().as_str() {
        "json" => Some("application/json"),
        "txt" => Some("text/plain"),
        _ => None,
    }
}

/// A document of one line.
fn line(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| Error::internal(format!("a document does not become JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Which result belongs to which object.
struct Index<'a> {
    to: &'a Place,
    lines: Vec<u8>,
    held: usize,
    names: Vec<String>,
}

impl<'a> Index<'a> {
    fn new(to: &'a Place) -> Self {
        Self {
            to,
            lines: Vec::new(),
            held: 0,
            names: Vec::new(),
        }
    }

    async fn add(&mut self, entry: &IndexLine<'_>) -> Result<()> {
        self.lines.extend(line(entry)?);
        self.held += 1;
        if self.held == INDEX_LINES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let name = format!("index/{:05}.jsonl", self.names.len());
        let lines = std::mem::take(&mut self.lines);
        self.to.put(&name, lines.into()).await?;
        self.names.push(name);
        self.held = 0;
        Ok(())
    }

    async fn end(mut self) -> Result<Vec<String>> {
        if self.held > 0 {
            self.flush().await?;
        }
        Ok(self.names)
    }
}
