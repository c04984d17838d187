//! The publish road for an object that somebody has put under `uploads/<name>/`.
//!
//! ```text
//! uploads/digits/model.onnx                  a graph alone, or
//! uploads/digits/2026-03/model.zip           an archive with model.toml, labels, examples
//! uploads/digits/2026-03/model.zip.report.json     what became of it
//! ```
//! One upload makes one version, however often it is told of, by however many at once: its content
//! decides. The folder names the model; whoever may write there may publish it, and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_registry::{Digest, Manifest, ModelName, Registry};
use dunlin_storage::{DownloadOptions, ErrorKind as Storage, ObjectKey, PutCondition, Store};
use serde::Serialize;

use crate::{Candidate, Error, ErrorKind, ProveOptions, Result, WeighOptions, Weighed, archive};

const FOLDER: &str = "uploads/";

/// Where a report lies: behind the upload's own name.
const REPORT: &str = ".report.json";

/// What publishing needs of memory, in sizes of the files: their bytes, the graph, the model that
/// runs, and a second one while it is proven.
const MEMORY_FACTOR: u64 = 4;

/// Time kept back for the report.
const RESERVE: Duration = Duration::from_secs(1);

/// Where to go with what is too much here.
const ELSEWHERE: &str =
    "publish it with `dunlin push` on a larger machine, or from the training job";

/// An object under `uploads/<name>/` that is to become a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The object.
    pub key: ObjectKey,
    /// The model.
    pub name: ModelName,
}

/// What an upload may take.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// Memory of the process, in bytes.
    pub memory_bytes: u64,
    /// When the process is ended.
    pub deadline: Option<Instant>,
}

/// What became of an upload; also the document beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UploadReport {
    /// The object.
    pub upload: String,
    /// Its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The model.
    pub model: ModelName,
    /// The version that it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<dunlin_registry::Version>,
    /// Why it became none, in plain words; empty where it did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// What was inferred rather than declared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Upload {
    /// The upload that a key names; `None` for a report, a folder, or what is no model's.
    pub fn of(key: &str) -> Option<Self> {
        let (name, file) = key.strip_prefix(FOLDER)?.split_once('/')?;
        let ending = Path::new(file).extension()?;
        if !(ending.eq_ignore_ascii_case("onnx") || ending.eq_ignore_ascii_case("zip")) {
            return None;
        }
        Some(Self {
            key: ObjectKey::new(key).ok()?,
            name: ModelName::new(name).ok()?,
        })
    }

    /// Where its report lies.
    pub fn report_key(&self) -> Result<ObjectKey> {
        ObjectKey::new(format!("{}{REPORT}", self.key)).map_err(Error::storage)
    }

    /// Publishes it, and writes the report. An error is the store's: then it is to be tried again;
    /// what is wrong with the upload itself is in the report.
    pub async fn publish(
        &self,
        registry: &Registry,
        options: &UploadOptions,
    ) -> Result<UploadReport> {
        let store = registry.store();
        let mut report = UploadReport {
            upload: self.key.to_string(),
            digest: None,
            model: self.name.clone(),
            version: None,
            refused: Vec::new(),
            notes: Vec::new(),
        };
        let mut condition = PutCondition::Always;
        match self.road(registry, options, &mut report).await {
            Ok((manifest, already)) => {
                report.version = Some(manifest.version);
                if already {
                    // The report of the one that proved it says more.
                    condition = PutCondition::IfAbsent;
                }
            }
            Err(error) if is_the_stores(&error) => return Err(error),
            Err(error) => report.refused = reasons(&error),
        }
        let mut bytes = serde_json::to_vec_pretty(&report).map_err(|error| {
            Error::new(ErrorKind::Read, "the report can't be written").because(error)
        })?;
        bytes.push(b'\n');
        let key = self.report_key()?;
        match store.put(&key, bytes.into(), condition).await {
            Ok(_) => Ok(report),
            Err(error) if error.kind() == Storage::AlreadyExists => Ok(report),
            Err(error) if error.kind() == Storage::Precondition => Ok(report),
            Err(error) => Err(Error::storage(error)),
        }
    }

    async fn road(
        &self,
        registry: &Registry,
        options: &UploadOptions,
        report: &mut UploadReport,
    ) -> Result<(Manifest, bool)> {
        let store = registry.store();
        let fetched = self.fetch(store, options).await?;
        let digest = Digest::from_bytes(fetched.sha256);
        report.digest = Some(digest);
        // Told of again: nothing is proven twice.
        if let Some(manifest) = registry.published_once(&self.name, &digest).await? {
            return Ok((manifest, true));
        }
        let left = options
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now() + RESERVE));
        let mut prove = ProveOptions::default();
        if let Some(left) = left {
            prove.time_limit = prove.time_limit.min(left);
            prove.measure = prove.measure.min(left / 20);
        }
        let (name, file) = (self.name.clone(), self.key.as_str().to_owned());
        let room = options.memory_bytes / MEMORY_FACTOR;
        let work = tokio::task::spawn_blocking(move || {
            let files = archive::files(&file, fetched.bytes, room)?;
            let options = WeighOptions {
                prove,
                ..WeighOptions::default()
            };
            Candidate::from_files(&name, &files)?.weigh(&options, |_| ())
        });
        let proven = match left {
            Some(left) => tokio::time::timeout(left, work)
                .await
                .map_err(|_| too_slow(left))?,
            None => work.await,
        };
        let Weighed { verified, .. } = proven.map_err(|error| {
            Error::new(ErrorKind::Unproven, format!("the proof broke off: {error}"))
        })??;
        report.notes = verified.candidate().notes().to_vec();
        let manifest = verified.publish_once(registry, &digest).await?;
        Ok((manifest, false))
    }

    async fn fetch(
        &self,
        store: &Arc<dyn Store>,
        options: &UploadOptions,
    ) -> Result<dunlin_storage::Download> {
        let room = options.memory_bytes / MEMORY_FACTOR;
        let limits = DownloadOptions {
            limit: room,
            ..DownloadOptions::default()
        };
        match dunlin_storage::download(store, &self.key, &limits).await {
            Ok(fetched) => Ok(fetched),
            Err(error) if error.kind() == Storage::TooLarge => Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "it has more than {} MiB, and here are {} MiB of memory, of which publishing needs {MEMORY_FACTOR} times the file: {ELSEWHERE}",
                    room >> 20,
                    options.memory_bytes >> 20
                ),
            )),
            Err(error) if error.kind() == Storage::NotFound => Err(Error::new(
                ErrorKind::Read,
                "it is no longer there".to_owned(),
            )),
            Err(error) => Err(Error::storage(error)),
        }
    }
}

fn too_slow(left: Duration) -> Error {
    Error::new(
        ErrorKind::TooSlow,
        format!("it was not proven within the {left:.0?} that are left here: {ELSEWHERE}"),
    )
}

fn is_the_stores(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Registry(
            dunlin_registry::ErrorKind::Storage(_) | dunlin_registry::ErrorKind::Conflict
        )
    )
}

/// Each reason by itself: the examples that failed, else the error and its causes.
fn reasons(error: &Error) -> Vec<String> {
    let failures = error.failures().iter();
    let mut reasons: Vec<String> = failures
        .map(|failure| format!("example {}: {}", failure.example, failure.why))
        .collect();
    if reasons.is_empty() {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        reasons.push(text);
    }
    reasons
}

/// An uploaded file's bytes by name are all that the road needs.
pub(crate) type Files = std::collections::BTreeMap<String, Bytes>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_upload() {
        for (key, name) in [
            ("uploads/digits/model.onnx", Some("digits")),
            ("uploads/digits/2026/03/Model.ZIP", Some("digits")),
            ("uploads/digits/model.onnx.report.json", None),
            ("uploads/digits/", None),
            ("uploads/model.onnx", None),
            ("uploads/not a name/model.onnx", None),
            ("inbox/digits/model.onnx", None),
        ] {
            let upload = Upload::of(key);
            assert_eq!(
                upload.as_ref().map(|upload| upload.name.as_str()),
                name,
                "{key}"
            );
        }
        let report = Upload::of("uploads/a/b.zip").unwrap().report_key().unwrap();
        assert_eq!(report.as_str(), "uploads/a/b.zip.report.json");
    }
}
