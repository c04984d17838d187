//! The rows of a file → parts of a thousand answers.
//!
//! A thread reads rows and cuts them into parts, at most a few ahead of those that are answered. A
//! part's rows are answered in slices, each by one worker in one go: rows are often too little work
//! to be handed over one by one.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use dunlin_protocol::TensorMetadata;
use dunlin_registry::{Digest, ModelRef};
use dunlin_serving::{Call, PredictBody};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::answers::{self, Answered, Refused};
use crate::body::{Asked, ask};
use crate::job::{Done, Event, Job, JobOptions, Pinned, document};
use crate::source::Source;
use crate::table::{Format, Row};
use crate::{Error, Result};

/// Bytes of the source after which a part ends.
const PART_BYTES: u64 = 16 << 20;

/// Rows that a worker answers in one go, and bytes after which they are enough.
const SLICE_ROWS: usize = 16;
const SLICE_BYTES: u64 = 1 << 20;

/// Receipts that are read at one time.
const RECEIPTS: usize = 16;

/// What a part holds. It lies beside the part, written after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The part's name at the destination.
    pub name: String,
    /// Its first row, from 0.
    pub first: u64,
    /// Its rows.
    pub rows: u64,
    /// Those of them that can't be answered.
    pub refused: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Their SHA-256.
    pub digest: Digest,
}

/// What the reader hands over.
enum Read {
    Part(Part),
    /// Of an earlier run.
    Known {
        bytes: u64,
        number: u64,
    },
    /// The time is over.
    Stopped,
}

struct Part {
    number: u64,
    rows: Vec<Row>,
    bytes: u64,
}

pub(crate) async fn run(
    job: &Job,
    model: &ModelRef,
    pinned: &Pinned,
    inputs: Vec<TensorMetadata>,
    source: Source,
    format: Format,
) -> Result<Done> {
    job.options().tell(Event::Bytes(source.size()));
    let known = known(job).await?;
    let (send, receive) = mpsc::channel(1);
    let reading = Reading {
        known: known.keys().copied().collect(),
        rows_per_part: pinned.rows_per_part.unwrap_or(1).max(1) as usize,
        limit: job.service().options().limits.body_bytes,
        options: job.options().clone(),
    };
    let reader = tokio::task::spawn_blocking(move || reading.read(&source, format, &send));
    let road = Road {
        job,
        model,
        inputs,
        format: pinned.format.unwrap_or(format),
        known,
    };
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let parts = stream::unfold(receive, |mut receive| async {
        receive.recv().await.map(|read| (read, receive))
    });
    let mut parts = std::pin::pin!(
        parts
            .map(|read: Result<Read>| async { road.end(read?).await })
            .buffered(cores + 1)
    );
    let mut done = Done {
        finished: true,
        ..Done::default()
    };
    while let Some(ended) = parts.try_next().await? {
        let Some((receipt, already)) = ended else {
            done.finished = false;
            continue;
        };
        done.counts.inputs += receipt.rows;
        done.counts.refused += receipt.refused;
        done.counts.answered += receipt.rows - receipt.refused;
        done.counts.already += if already { receipt.rows } else { 0 };
        done.parts.push(receipt);
    }
    reader
        .await
        .map_err(|_| Error::invalid("the source is so damaged that its reader panicked"))?;
    Ok(done)
}

/// The receipts of earlier runs, by the number of the part.
async fn known(job: &Job) -> Result<BTreeMap<u64, Receipt>> {
    let names = job.to().names("parts").await?;
    let number = |name: &str| {
        name.strip_prefix("parts/")?
            .strip_suffix(".json")?
            .parse()
            .ok()
    };
    let receipts: Vec<(u64, String)> = names
        .into_iter()
        .filter_map(|name| Some((number(&name)?, name)))
        .collect();
    stream::iter(receipts)
        .map(|(number, name)| async move {
            let object = job.to().store.get(&job.to().key(&name)?).await?;
            let receipt = serde_json::from_slice(&object.bytes)
                .map_err(|error| Error::invalid(format!("{name} can't be read: {error}")))?;
            Ok((number, receipt))
        })
        .buffer_unordered(RECEIPTS)
        .try_collect()
        .await
}

/// The thread that reads.
struct Reading {
    known: Vec<u64>,
    rows_per_part: usize,
    limit: usize,
    options: JobOptions,
}

impl Reading {
    fn read(&self, source: &Source, format: Format, send: &mpsc::Sender<Result<Read>>) {
        // The receiver goes when the job fails: then there is nothing more to read for.
        if let Err(error) = self.cut(source, format, send) {
            let _ = send.blocking_send(Err(error));
        }
    }

    fn cut(
        &self,
        source: &Source,
        format: Format,
        send: &mpsc::Sender<Result<Read>>,
    ) -> Result<()> {
        let mut rows = format.open(source, self.limit)?.peekable();
        for number in 0.. {
            if rows.peek().is_none() {
                break;
            }
            let known = self.known.binary_search(&number).is_ok();
            if !known && self.options.is_over() {
                let _ = send.blocking_send(Ok(Read::Stopped));
                break;
            }
            let mut part = Part {
                number,
                rows: Vec::new(),
                bytes: 0,
            };
            let mut count = 0;
            while count < self.rows_per_part && part.bytes < PART_BYTES {
                let Some(row) = rows.next().transpose()? else {
                    break;
                };
                count += 1;
                part.bytes += row.bytes;
                if !known {
                    part.rows.push(row);
                }
            }
            let read = match (known, part.bytes) {
                (true, bytes) => Read::Known { bytes, number },
                (false, _) => Read::Part(part),
            };
            if send.blocking_send(Ok(read)).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// The road of one job.
struct Road<'a> {
    job: &'a Job,
    model: &'a ModelRef,
    inputs: Vec<TensorMetadata>,
    format: Format,
    known: BTreeMap<u64, Receipt>,
}

impl Road<'_> {
    /// The receipt of a part, and whether an earlier run wrote it; `None` if it was not begun.
    async fn end(&self, read: Read) -> Result<Option<(Receipt, bool)>> {
        let part = match read {
            Read::Stopped => return Ok(None),
            Read::Known { bytes, number } => {
                self.job.options().tell(Event::Moved(bytes));
                let receipt = self.known.get(&number).cloned();
                return Ok(receipt.map(|receipt| (receipt, true)));
            }
            Read::Part(part) => part,
        };
        let first = part.rows.first().map_or(0, |row| row.number);
        let answers: Vec<Vec<Answered>> = stream::iter(slices(part.rows))
            .map(|rows| self.answer(rows))
            .buffered(2)
            .try_collect()
            .await?;
        let answers: Vec<Answered> = answers.into_iter().flatten().collect();
        let bytes = answers::write(self.format, &answers)?;
        let stem = format!("parts/{:05}", part.number);
        let receipt = Receipt {
            name: format!("{stem}.{}", self.format),
            first,
            rows: answers.len() as u64,
            refused: answers.iter().filter(|row| row.answer.is_err()).count() as u64,
            bytes: bytes.len() as u64,
            digest: Digest::of(&bytes),
        };
        self.job.to().put(&receipt.name, bytes).await?;
        let beside = format!("{stem}.json");
        self.job.to().put(&beside, document(&receipt)?).await?;
        self.job.options().tell(Event::Moved(part.bytes));
        Ok(Some((receipt, false)))
    }

    async fn answer(&self, rows: Vec<Row>) -> Result<Vec<Answered>> {
        let mut bodies = Vec::with_capacity(rows.len());
        let mut asked: Vec<(u64, Option<Value>, Option<String>)> = Vec::with_capacity(rows.len());
        for row in rows {
            let Asked { id, body } = ask(row.fields, &self.inputs);
            asked.push((row.number, id, body.as_ref().err().cloned()));
            bodies.extend(body);
        }
        let mut replies = self.replies(bodies).await?.into_iter();
        let answers = asked.into_iter().map(|(row, id, refused)| {
            let answer = match refused {
                Some(reason) => Err(Refused {
                    kind: "invalid_request",
                    reason,
                }),
                None => match replies.next() {
                    Some(Ok(reply)) => Ok(reply.body),
                    Some(Err(error)) if error.kind().is_the_inputs() => Err(Refused::of(&error)),
                    Some(Err(error)) => return Err(error.into()),
                    None => return Err(Error::internal(format!("row {row} got no reply"))),
                },
            };
            Ok(Answered { row, id, answer })
        });
        answers.collect()
    }

    async fn replies(
        &self,
        bodies: Vec<PredictBody>,
    ) -> Result<Vec<Result<dunlin_protocol::Encoded, dunlin_serving::Error>>> {
        if bodies.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = Call::new(None);
        let service = self.job.service();
        Ok(service.predict_each(self.model, bodies, &mut call).await?)
    }
}

/// Rows in slices that are worth handing over.
fn slices(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut slices: Vec<Vec<Row>> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        bytes += row.bytes;
        match slices.last_mut() {
            Some(slice) if slice.len() < SLICE_ROWS && bytes <= SLICE_BYTES => slice.push(row),
            _ => {
                bytes = row.bytes;
                slices.push(vec![row]);
            }
        }
    }
    slices
}
