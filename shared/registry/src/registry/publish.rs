//! Publishing: the blobs, a number, and the manifest last.

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

        stream::iter(blobs)
            .map(|(digest, bytes)| self.store_blob(digest, bytes, progress.clone()))
            .buffer_unordered(BLOBS_AT_ONCE)
            .try_collect::<()>()
            .await?;

        loop {
            manifest.version = self.claim_number(&manifest.name).await?;
            manifest.created = rfc3339(SystemTime::now());
            if self.store_manifest(&manifest).await? {
                return Ok(manifest);
            }
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
