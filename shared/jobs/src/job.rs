//! A job: its model, source and destination, and how it is taken up again.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dunlin_protocol::TensorMetadata;
use dunlin_registry::{ModelRef, Selector, Version};
use dunlin_serving::{Call, Service};
use dunlin_storage::{ErrorKind as Storage, ObjectKey, ObjectMeta, PutCondition, Store};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::source::Source;
use crate::table::Format;
use crate::{Error, ErrorKind, Result, objects, rows};

/// The schema of the documents that a job writes.
const SCHEMA: u32 = 1;

/// Folders of the models' store that no results may go to; nor to its top.
const KEPT: [&str; 6] = ["", "blobs", "models", "numbers", "uploads", "dead-letters"];

/// A prefix in a store.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What keys begin with. Of a destination: a folder, without a slash at its end.
    pub prefix: String,
}

/// How a job is done.
#[derive(Clone)]
pub struct JobOptions {
    /// How answers of rows are written. Default: as the source is.
    pub format: Option<Format>,
    /// Rows that one part answers; a part also ends after 16 MiB of its source. Default: 1,000.
    pub rows_per_part: u32,
    /// Objects that are fetched, answered or stored at one time. Default: 64.
    pub at_once: usize,
    /// No input is begun after this moment: the job is left to be taken up again.
    pub until: Option<Instant>,
    /// Is told how far the job is.
    pub progress: Option<Arc<dyn Fn(Event) + Send + Sync>>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// So many objects are to be answered.
    Objects(u64),
    /// A file of so many bytes is to be answered.
    Bytes(u64),
    /// So many more of them are.
    Moved(u64),
}

/// Many inputs through one version of a model.
#[derive(Debug)]
pub struct Job {
    service: Arc<Service>,
    model: ModelRef,
    source: Place,
    to: Place,
    options: JobOptions,
}

/// What a run of a job has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Inputs that have an end: answered or refused.
    pub inputs: u64,
    /// Those with an answer.
    pub answered: u64,
    /// Those that can't be answered; each says why.
    pub refused: u64,
    /// Inputs that an earlier run had ended. Not in the manifest.
    #[serde(default, skip_serializing)]
    pub already: u64,
}

/// What a job was, and what came of it; also what lies at `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The job.
    #[serde(flatten)]
    pub job: Pinned,
    /// How many inputs it had, and how they ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Whether all is done. One that is not is not stored.
    pub finished: bool,
    /// Of rows: the parts, in the rows' order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<rows::Receipt>,
    /// Of objects: the files that tell each object's result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index: Vec<String>,
}

/// What a job is, from its first run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// The schema of this document.
    pub schema: u32,
    /// The model, as it was asked for.
    pub model: String,
    /// The version that it meant then: a job has answers of one version.
    pub version: Version,
    /// Where the inputs are.
    pub source: String,
    /// Of rows: which content the file had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Of rows: how the answers are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Of rows: how many a part has at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_part: Option<u32>,
}

/// What the inputs are.
enum Found {
    Rows(ObjectMeta, Format),
    Objects(Vec<ObjectMeta>),
}

/// What a road has done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) counts: Counts,
    pub(crate) finished: bool,
    pub(crate) parts: Vec<rows::Receipt>,
    pub(crate) index: Vec<String>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            format: None,
            rows_per_part: 1000,
            at_once: 64,
            until: None,
            progress: None,
        }
    }
}

impl fmt::Debug for JobOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobOptions")
            .field("format", &self.format)
            .field("rows_per_part", &self.rows_per_part)
            .field("at_once", &self.at_once)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl JobOptions {
    /// Whether no input may be begun any more.
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    pub(crate) fn tell(&self, event: Event) {
        if let Some(progress) = &self.progress {
            progress(event);
        }
    }
}

impl Place {
    /// The key of `name` below this folder.
    pub(crate) fn key(&self, name: &str) -> Result<ObjectKey> {
        let key = match self.prefix.as_str() {
            "" => ObjectKey::new(name),
            prefix => ObjectKey::new(format!("{prefix}/{name}")),
        };
        Ok(key?)
    }

    /// Where it is, for people.
    pub fn url(&self) -> String {
        let url = self.store.url();
        format!("{}/{}", url.trim_end_matches('/'), self.prefix)
    }

    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let key = self.key(name)?;
        self.store.put(&key, bytes, PutCondition::Always).await?;
        Ok(())
    }

    /// The names of all objects below a folder of this one.
    pub(crate) async fn names(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = self.key(folder)?;
        let below = self.key("x")?.as_str().len() - 1;
        let objects = self.store.list(&format!("{prefix}/")).await?;
        let names = objects
            .iter()
            .map(|object| object.key.as_str()[below..].to_owned());
        Ok(names.collect())
    }
}

impl Job {
    /// A job.
    pub fn new(
        service: Arc<Service>,
        model: ModelRef,
        source: Place,
        to: Place,
        options: JobOptions,
    ) -> Self {
        Self {
            service,
            model,
            source,
            to,
            options,
        }
    }

    /// Does what is not done yet.
    pub async fn run(&self) -> Result<Manifest> {
        self.check_destination()?;
        let found = self.find().await?;
        let pinned = self.pin(&found).await?;
        let model = ModelRef {
            name: self.model.name.clone(),
            selector: Selector::Version(pinned.version),
        };
        // A model that can't be loaded fails the job, not its inputs.
        let mut call = Call::new(None);
        self.service.model_ready(&model, &mut call).await?;
        let done = match found {
            Found::Objects(objects) => objects::run(self, &model, &objects).await?,
            Found::Rows(meta, format) => {
                let source = Source::new(self.source.store.clone(), meta, Handle::current());
                let inputs = self.inputs(&model, pinned.version).await?;
                rows::run(self, &model, &pinned, inputs, source, format).await?
            }
        };
        let manifest = Manifest {
            job: pinned,
            counts: done.counts,
            finished: done.finished,
            parts: done.parts,
            index: done.index,
        };
        if manifest.finished {
            self.to.put("manifest.json", document(&manifest)?).await?;
        }
        Ok(manifest)
    }

    fn check_destination(&self) -> Result<()> {
        let (to, models) = (self.to.url(), self.service.registry().store().url());
        let Some(inside) = to.strip_prefix(models.trim_end_matches('/')) else {
            return Ok(());
        };
        let Some(inside) = inside.strip_prefix('/') else {
            return Ok(());
        };
        if KEPT.contains(&inside.split('/').next().unwrap_or_default()) {
            return Err(Error::invalid(format!(
                "results can't go to {to}: in the models' store they need a folder of their own, as in results/NAME"
            )));
        }
        Ok(())
    }

    async fn inputs(&self, model: &ModelRef, version: Version) -> Result<Vec<TensorMetadata>> {
        let registry = self.service.registry();
        Ok(registry.manifest(&model.name, version).await?.inputs)
    }

    async fn find(&self) -> Result<Found> {
        let (store, prefix) = (&self.source.store, &self.source.prefix);
        if let (Some(format), Ok(key)) = (Format::of(prefix), ObjectKey::new(prefix)) {
            match store.head(&key).await {
                Ok(meta) => {
                    format.check()?;
                    return Ok(Found::Rows(meta, format));
                }
                Err(error) if matches!(error.kind(), Storage::NotFound | Storage::InvalidKey) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut objects = store.list(prefix).await?;
        if store.url() == self.to.store.url() {
            let own = format!("{}/", self.to.prefix);
            objects.retain(|object| !object.key.as_str().starts_with(&own));
        }
        if objects.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no object at {}", self.source.url()),
            ));
        }
        Ok(Found::Objects(objects))
    }

    /// What the first run has written down, or writes down now.
    async fn pin(&self, found: &Found) -> Result<Pinned> {
        let key = self.to.key("job.json")?;
        if let Some(pinned) = self.pinned(&key, found).await? {
            return Ok(pinned);
        }
        let registry = self.service.registry();
        // By the destination: all that begin the job at once pick the same side of an alias.
        let side = self.to.url().bytes().fold(0u64, |side, byte| {
            side.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let version = registry.resolve(&self.model, side).await?.version;
        let pinned = self.describe(found, version)?;
        let put = self
            .to
            .store
            .put(&key, document(&pinned)?, PutCondition::IfAbsent);
        match put.await {
            Ok(_) => Ok(pinned),
            Err(error)
                if matches!(error.kind(), Storage::AlreadyExists | Storage::Precondition) =>
            {
                let pinned = self.pinned(&key, found).await?;
                pinned.ok_or_else(|| Error::internal(format!("{key} was there, and is gone")))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn describe(&self, found: &Found, version: Version) -> Result<Pinned> {
        let (etag, format, rows) = match found {
            Found::Objects(_) if self.options.format.is_some() => {
                return Err(Error::invalid(
                    "a format is for the answers of rows; each object gets a JSON object of its own",
                ));
            }
            Found::Objects(_) => (None, None, None),
            Found::Rows(meta, format) => {
                let format = self.options.format.unwrap_or(*format);
                format.check()?;
                let etag = meta.etag.as_str().to_owned();
                (Some(etag), Some(format), Some(self.options.rows_per_part))
            }
        };
        Ok(Pinned {
            schema: SCHEMA,
            model: self.model.to_string(),
            version,
            source: self.source.url(),
            etag,
            format,
            rows_per_part: rows,
        })
    }

    /// The job that lies at the destination: this one, or it is refused.
    async fn pinned(&self, key: &ObjectKey, found: &Found) -> Result<Option<Pinned>> {
        let object = match self.to.store.get(key).await {
            Ok(object) => object,
            Err(error) if error.kind() == Storage::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let other = |what: String| {
            let to = self.to.url();
            let message = format!("{to} holds another job: {what}; name another destination");
            Err(Error::new(ErrorKind::OtherJob, message))
        };
        let pinned: Pinned = match serde_json::from_slice(&object.bytes) {
            Ok(pinned) => pinned,
            Err(error) => return other(format!("its job.json can't be read: {error}")),
        };
        let ours = self.describe(found, pinned.version)?;
        if pinned.source != ours.source {
            return other(format!("its source is {}", pinned.source));
        }
        if pinned.etag != ours.etag {
            return other("its source had another content".to_owned());
        }
        if pinned != ours {
            let was = serde_json::to_string(&pinned).unwrap_or_default();
            return other(format!("it is {was}"));
        }
        Ok(Some(pinned))
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    pub(crate) fn source(&self) -> &Place {
        &self.source
    }

    pub(crate) fn to(&self) -> &Place {
        &self.to
    }

    pub(crate) fn options(&self) -> &JobOptions {
        &self.options
    }
}

/// A document as it is stored.
pub(crate) fn document(value: &impl Serialize) -> Result<Bytes> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::internal(format!("a document does not become JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes.into())
}
