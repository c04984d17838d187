//! The registry over a store: reading here, then one file for each thing that writes.

mod aliases;
mod collect;
mod delete;
mod kept;
mod publish;
mod releases;
mod resolve;
mod signatures;
mod trials;

use std::sync::Arc;

use bytes::Bytes;
use dunlin_storage::{
    DownloadOptions, ErrorKind as StoreError, Object, ObjectKey, Progress, Store,
};

pub use collect::{Collection, Retention};
pub use delete::Deleted;
pub use resolve::{Resolution, Route};
pub use signatures::SignatureCheck;
pub use trials::{Advance, Outcome, Plan};

use crate::signature::{SigningKey, TrustedKeys};
use crate::{Artifact, Digest, Error, ErrorKind, Manifest, ModelName, Result, Version, layout};

/// The models that a store holds. Cheap to clone; every method may be called from many tasks.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
    signer: Option<Arc<SigningKey>>,
    trusted: Option<Arc<TrustedKeys>>,
}

impl Registry {
    /// The models in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            signer: None,
            trusted: None,
        }
    }

    /// Where they are kept.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// All models that have a version, by name.
    pub async fn models(&self) -> Result<Vec<ModelName>> {
        let folders = self.store.list_folders(layout::MODELS).await;
        let folders = folders.map_err(|error| Error::storage("list the models", error))?;
        // What is not a name of ours was put there by others.
        let names = folders
            .iter()
            .filter_map(|folder| ModelName::new(folder.trim_end_matches('/')).ok());
        let mut models = Vec::new();
        for name in names {
            // A folder that deletion emptied, or that holds an alias only, is no model.
            if !self.versions(&name).await?.is_empty() {
                models.push(name);
            }
        }
        Ok(models)
    }

    /// The versions of a model, oldest first; none if there is no such model.
    pub async fn versions(&self, name: &ModelName) -> Result<Vec<Version>> {
        self.numbered(&layout::versions(name), ".json").await
    }

    /// The numbers that name the objects in a folder, smallest first.
    async fn numbered(&self, folder: &str, ending: &str) -> Result<Vec<Version>> {
        let objects = self.store.list(folder).await;
        let objects =
            objects.map_err(|error| Error::storage(format_args!("list {folder}"), error))?;
        let stems = objects
            .iter()
            .filter_map(|meta| layout::stem(&meta.key, folder, ending));
        let mut versions: Vec<Version> = stems.filter_map(|stem| stem.parse().ok()).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// The manifest of a version; see [`trusting`](Self::trusting) for who must have signed it.
    pub async fn manifest(&self, name: &ModelName, version: Version) -> Result<Manifest> {
        let (manifest, document) = self.manifest_document(name, version).await?;
        self.check_trust(&manifest, &document).await?;
        Ok(manifest)
    }

    /// The manifest of a version, and its bytes.
    async fn manifest_document(
        &self,
        name: &ModelName,
        version: Version,
    ) -> Result<(Manifest, Bytes)> {
        let key = layout::manifest(name, version)?;
        let Some(object) = self.get(&key).await? else {
            return Err(self.no_version(name, version).await);
        };
        let manifest = Manifest::from_json(key.as_str(), &object.bytes)?;
        if manifest.name != *name || manifest.version != version {
            return Err(Error::new(
                ErrorKind::InvalidManifest,
                format!(
                    "{} says that it is {} version {}",
                    key.as_str(),
                    manifest.name,
                    manifest.version
                ),
            ));
        }
        Ok((manifest, object.bytes))
    }

    /// The bytes of an artifact, checked: what doesn't have the manifest's digest and size is
    /// refused as [`ErrorKind::Corrupt`].
    pub async fn blob(&self, artifact: &Artifact, progress: Option<Progress>) -> Result<Bytes> {
        let key = layout::blob(&artifact.digest)?;
        let corrupt = |what: String| {
            let object = key.as_str();
            Error::new(
                ErrorKind::Corrupt,
                format!("{object} {what}; publish the model again"),
            )
        };
        // A byte more than stated is enough to know that it is not the one.
        let options = DownloadOptions {
            size: Some(artifact.size),
            limit: artifact.size,
            progress,
            ..Default::default()
        };
        let download = match dunlin_storage::download(&self.store, &key, &options).await {
            Ok(download) => download,
            Err(error) if error.kind() == StoreError::NotFound => {
                return Err(corrupt("is missing, though a manifest names it".into()));
            }
            Err(error) if error.kind() == StoreError::TooLarge => {
                return Err(corrupt(format!(
                    "has more than the {} bytes it should",
                    artifact.size
                )));
            }
            Err(error) => {
                return Err(Error::storage(
                    format_args!("fetch {}", key.as_str()),
                    error,
                ));
            }
        };
        let (got, size) = (
            Digest::from_bytes(download.sha256),
            download.bytes.len() as u64,
        );
        if got != artifact.digest || size != artifact.size {
            return Err(corrupt(format!(
                "is damaged: want {} bytes with digest {}, got {size} bytes with digest {got}",
                artifact.size, artifact.digest
            )));
        }
        Ok(download.bytes)
    }

    /// A small object, or `None` where there is none.
    async fn get(&self, key: &ObjectKey) -> Result<Option<Object>> {
        match self.store.get(key).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind() == StoreError::NotFound => Ok(None),
            Err(error) => Err(Error::storage(format_args!("read {}", key.as_str()), error)),
        }
    }

    /// Whether an object is there.
    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        match self.store.head(key).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == StoreError::NotFound => Ok(false),
            Err(error) => Err(Error::storage(
                format_args!("look up {}", key.as_str()),
                error,
            )),
        }
    }

    fn no_model(&self, name: &ModelName) -> Error {
        Error::new(
            ErrorKind::ModelNotFound,
            format!(
                "no model \"{name}\" in {}; `dunlin ls` lists them",
                self.store.url()
            ),
        )
    }

    /// Says as exactly as the store knows why there is no such version.
    async fn no_version(&self, name: &ModelName, version: Version) -> Error {
        match self.versions(name).await {
            Err(error) => error,
            Ok(versions) => match versions.last() {
                None => self.no_model(name),
                Some(newest) => Error::new(
                    ErrorKind::VersionNotFound,
                    format!("model \"{name}\" has no version {version}; the newest is {newest}"),
                ),
            },
        }
    }
}

/// Whether a conditional write lost to another. Stores differ in which of the two they say.
fn lost(error: &dunlin_storage::Error) -> bool {
    matches!(
        error.kind(),
        StoreError::AlreadyExists | StoreError::Precondition
    )
}

/// Waits before the next try of a race: full jitter, growing to half a second.
async fn back_off(tries: u32) {
    let most = 500.min(4u64 << tries.min(7));
    tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(0..=most))).await;
}
