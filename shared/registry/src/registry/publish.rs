//! Publishing: the blobs, a number, and the manifest last.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use dunlin_storage::{ErrorKind as StoreError, Progress, PutCondition};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Registry, back_off, lost};
use crate::{
    Digest, Draft, Error, ErrorKind, Manifest, ModelName, Result, Version, layout, rfc3339,
};

/// Blobs that are stored at the same time.
const BLOBS_AT_ONCE: usize = 4;

/// How often a publisher goes for a number before it gives up: a race of hundreds is won in dozens.
const CLAIM_TRIES: u32 = 1000;

impl Registry {
    /// Makes a draft a version, with the next number of its model.
    ///
    /// If this fails, or dies midway, no version appears; blobs that were stored are used by the
    /// next publisher of the same bytes.
    pub async fn publish(&self, draft: Draft) -> Result<Manifest> {
        let (mut manifest, blobs, progress) = checked(draft)?;
        let intent = self.intend(blobs.keys()).await?;
        let published = async {
            self.store_blobs(blobs, progress).await?;
            loop {
                manifest.version = self.claim_number(&manifest.name).await?;
                manifest.created = rfc3339(SystemTime::now());
                intent.holds()?;
                if self.store_manifest(&manifest).await? {
                    return Ok(manifest);
                }
            }
        };
        let published = published.await;
        self.withdraw(intent).await;
        published
    }

    async fn store_blobs(
        &self,
        blobs: BTreeMap<Digest, Bytes>,
        progress: Option<Progress>,
    ) -> Result<()> {
        stream::iter(blobs)
            .map(|(digest, bytes)| self.store_blob(digest, bytes, progress.clone()))
            .buffer_unordered(BLOBS_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    /// As [`publish`](Self::publish), but of all that are published under one key, at any time and
    /// by whomever, one alone becomes a version; the others get its manifest.
    ///
    /// One that dies midway leaves its number to the next with its key.
    pub async fn publish_once(&self, draft: Draft, key: &Digest) -> Result<Manifest> {
        let (mut manifest, blobs, progress) = checked(draft)?;
        let name = manifest.name.clone();
        if let Some(published) = self.published_once(&name, key).await? {
            return Ok(published);
        }
        let intent = self.intend(blobs.keys()).await?;
        let published = async {
            manifest.version = self.number_of(&name, key).await?;
            self.store_blobs(blobs, progress).await?;
            manifest.created = rfc3339(SystemTime::now());
            intent.holds()?;
            if self.store_manifest(&manifest).await? {
                return Ok(manifest);
            }
            self.manifest(&name, manifest.version).await
        };
        let published = published.await;
        self.withdraw(intent).await;
        published
    }

    /// The version that was published under this key, if one was.
    ///
    /// # Errors
    /// [`ErrorKind::VersionNotFound`] if it is deleted: what is published once does not come back.
    pub async fn published_once(&self, name: &ModelName, key: &Digest) -> Result<Option<Manifest>> {
        let Some(version) = self.read_once(name, key).await? else {
            return Ok(None);
        };
        let object = layout::manifest(name, version)?;
        if let Some(found) = self.get(&object).await? {
            return Manifest::from_json(object.as_str(), &found.bytes).map(Some);
        }
        if self.exists(&layout::deleted(name, version)?).await? {
            return Err(Error::new(
                ErrorKind::VersionNotFound,
                format!(
                    "it was version {version} of {name}, which is deleted; to have it back, `dunlin push` it"
                ),
            ));
        }
        Ok(None)
    }

    async fn read_once(&self, name: &ModelName, key: &Digest) -> Result<Option<Version>> {
        let object = layout::once(name, key)?;
        let Some(found) = self.get(&object).await? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&found.bytes).unwrap_or_default();
        let version = text.trim().parse().map_err(|error| {
            let message = format!("{} names no version", object.as_str());
            Error::with_source(ErrorKind::InvalidManifest, message, error)
        })?;
        Ok(Some(version))
    }

    /// The number that belongs to a key: the first that was taken for it.
    async fn number_of(&self, name: &ModelName, key: &Digest) -> Result<Version> {
        if let Some(version) = self.read_once(name, key).await? {
            return Ok(version);
        }
        let version = self.claim_number(name).await?;
        let object = layout::once(name, key)?;
        let note = format!("{version}\n");
        let put = self.store.put(&object, note.into(), PutCondition::IfAbsent);
        match put.await {
            Ok(_) => Ok(version),
            // Another was faster; the number stays a gap.
            Err(error) if lost(&error) => Ok(self.read_once(name, key).await?.unwrap_or(version)),
            Err(error) => Err(Error::storage(
                format_args!("store {}", object.as_str()),
                error,
            )),
        }
    }

    /// Stores a blob, unless it is there.
    async fn store_blob(
        &self,
        digest: Digest,
        bytes: Bytes,
        progress: Option<Progress>,
    ) -> Result<()> {
        let key = layout::blob(&digest)?;
        let size = bytes.len() as u64;
        let condition = match self.store.head(&key).await {
            Ok(meta) if meta.size == size => {
                if let Some(progress) = progress {
                    progress(size);
                }
                return Ok(());
            }
            // A blob of the wrong size is damaged; these bytes are what its name says.
            Ok(meta) => PutCondition::IfMatch(meta.etag),
            Err(error) if error.kind() == StoreError::NotFound => PutCondition::IfAbsent,
            Err(error) => {
                return Err(Error::storage(
                    format_args!("look up {}", key.as_str()),
                    error,
                ));
            }
        };
        match self
            .store
            .put_with_progress(&key, bytes, condition, progress.as_ref())
            .await
        {
            Ok(_) => Ok(()),
            // Another publisher of the same bytes was faster.
            Err(error) if lost(&error) => Ok(()),
            Err(error) => Err(Error::storage(
                format_args!("store {}", key.as_str()),
                error,
            )),
        }
    }

    /// Takes the next number of a model, for good.
    ///
    /// Our own claim whose answer got lost looks like another's: the number is skipped then.
    async fn claim_number(&self, name: &ModelName) -> Result<Version> {
        for tries in 0..CLAIM_TRIES {
            let numbers = layout::numbers(name);
            let versions = layout::versions(name);
            // Manifests count too: they may have been copied here without their numbers.
            let (claimed, published) = futures_util::try_join!(
                self.numbered(&numbers, ""),
                self.numbered(&versions, ".json")
            )?;
            let version = match claimed.last().max(published.last()) {
                Some(last) => last.next()?,
                None => Version::FIRST,
            };
            if self.claim(name, version).await? {
                return Ok(version);
            }
            back_off(tries).await;
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "no number for a version of {name} after {CLAIM_TRIES} tries: too many publish it at once"
            ),
        ))
    }

    /// Takes one number; `false` if it is taken.
    pub(super) async fn claim(&self, name: &ModelName, version: Version) -> Result<bool> {
        let key = layout::number(name, version)?;
        let note = format!("taken {}\n", rfc3339(SystemTime::now()));
        match self
            .store
            .put(&key, note.into(), PutCondition::IfAbsent)
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if lost(&error) => Ok(false),
            Err(error) => Err(Error::storage(format_args!("take {}", key.as_str()), error)),
        }
    }

    /// Creates the manifest; `false` if another one is there.
    async fn store_manifest(&self, manifest: &Manifest) -> Result<bool> {
        let key = layout::manifest(&manifest.name, manifest.version)?;
        let bytes = manifest.to_json()?;
        if let Some(signer) = &self.signer {
            self.store_signature(signer, manifest, &bytes).await?;
        }
        match self
            .store
            .put(&key, bytes.clone(), PutCondition::IfAbsent)
            .await
        {
            Ok(_) => Ok(true),
            // A put of our own whose answer got lost, and that was tried again, ends here too.
            Err(error) if lost(&error) => Ok(self
                .get(&key)
                .await?
                .is_some_and(|object| object.bytes == bytes)),
            Err(error) => Err(Error::storage(
                format_args!("store {}", key.as_str()),
                error,
            )),
        }
    }
}

/// The parts of a draft that is whole: it holds every file that it names.
fn checked(draft: Draft) -> Result<(Manifest, BTreeMap<Digest, Bytes>, Option<Progress>)> {
    let Draft {
        mut manifest,
        blobs,
        progress,
    } = draft;
    for artifact in &manifest.artifacts {
        if !blobs.contains_key(&artifact.digest) {
            return Err(Error::new(
                ErrorKind::InvalidManifest,
                format!(
                    "the draft of {} names {} and doesn't hold it",
                    manifest.name, artifact.digest
                ),
            ));
        }
    }
    // Too large is said before anything is stored.
    manifest.created = rfc3339(SystemTime::now());
    manifest.to_json()?;
    Ok((manifest, blobs, progress))
}
