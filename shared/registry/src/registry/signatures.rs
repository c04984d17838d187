//! Signatures: made before a manifest is there, asked for before one is used.

use std::sync::Arc;

use bytes::Bytes;
use dunlin_storage::{ObjectKey, PutCondition};

use super::Registry;
use crate::signature::{self, KeyId, PublicKey, SigningKey, TrustedKeys};
use crate::{Digest, Error, ErrorKind, Manifest, ModelName, Result, Version, layout};

/// What was found of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureCheck {
    /// The key in the store.
    pub object: String,
    /// The key that made it, if it is one of those that were asked about.
    pub key: Option<KeyId>,
    /// The id of the key that it says it is from.
    pub hint: Option<String>,
    /// Why it does not count.
    pub fault: Option<String>,
}

impl Registry {
    /// Signs every version that it publishes.
    #[must_use]
    pub fn signing(mut self, key: Arc<SigningKey>) -> Self {
        self.signer = Some(key);
        self
    }

    /// Gives no manifest that none of these keys has signed: such a version is
    /// [`ErrorKind::Untrusted`].
    #[must_use]
    pub fn trusting(mut self, keys: Arc<TrustedKeys>) -> Self {
        self.trusted = Some(keys);
        self
    }

    /// Signs a version that is published already, as a new key does with what an old one signed.
    pub async fn sign(&self, name: &ModelName, version: Version, key: &SigningKey) -> Result<()> {
        let (manifest, document) = self.manifest_document(name, version).await?;
        self.store_signature(key, &manifest, &document).await
    }

    /// Before the manifest itself: who sees that finds its signature.
    pub(super) async fn store_signature(
        &self,
        key: &SigningKey,
        manifest: &Manifest,
        document: &Bytes,
    ) -> Result<()> {
        let bundle = signature::sign(key, manifest, document)?;
        let object = signature_key(manifest, document, &key.public().id())?;
        // Of the same key and the same bytes: either is as good.
        match self.store.put(&object, bundle, PutCondition::Always).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::storage(format_args!("store {object}"), error)),
        }
    }

    /// Refuses a manifest that no trusted key has signed, where there are trusted keys.
    pub(super) async fn check_trust(&self, manifest: &Manifest, document: &Bytes) -> Result<()> {
        let Some(trusted) = &self.trusted else {
            return Ok(());
        };
        let mut fault = None;
        for key in trusted.keys() {
            let object = signature_key(manifest, document, &key.id())?;
            let Some(found) = self.get(&object).await? else {
                continue;
            };
            match signature::verify(key, &found.bytes, manifest, document) {
                Ok(()) => return Ok(()),
                Err(error) => fault = Some(error),
            }
        }
        Err(fault.unwrap_or_else(|| {
            let ids = trusted.keys().iter().map(|key| key.id().to_string());
            let ids = ids.collect::<Vec<_>>().join(", ");
            Error::new(
                ErrorKind::Untrusted,
                format!(
                    "{} version {} is signed by none of the trusted keys ({ids}); `dunlin sign` signs it",
                    manifest.name, manifest.version
                ),
            )
        }))
    }

    /// The SHA-256 of a version's manifest, as it is stored.
    pub async fn manifest_digest(&self, name: &ModelName, version: Version) -> Result<Digest> {
        let (_, document) = self.manifest_document(name, version).await?;
        Ok(Digest::of(&document))
    }

    /// Every signature of a version, held against these keys.
    pub async fn signatures(
        &self,
        name: &ModelName,
        version: Version,
        keys: &[PublicKey],
    ) -> Result<Vec<SignatureCheck>> {
        let (manifest, document) = self.manifest_document(name, version).await?;
        let folder = layout::signatures(name, version);
        let objects = self.store.list(&folder).await;
        let objects =
            objects.map_err(|error| Error::storage(format_args!("list {folder}"), error))?;
        let mut checks = Vec::new();
        for object in objects {
            let Some(found) = self.get(&object.key).await? else {
                continue;
            };
            let hint = signature::hint(&found.bytes);
            let key = keys
                .iter()
                .find(|key| hint.as_deref() == Some(key.id().hex().as_str()));
            let verified =
                key.map(|key| signature::verify(key, &found.bytes, &manifest, &document));
            checks.push(SignatureCheck {
                object: object.key.to_string(),
                key: key.map(PublicKey::id),
                hint,
                fault: match verified {
                    Some(Ok(())) => None,
                    Some(Err(error)) => Some(error.to_string()),
                    None => Some("its key is none of those that were given".to_owned()),
                },
            });
        }
        Ok(checks)
    }

    /// Removes the signatures of a version that is deleted.
    pub(super) async fn delete_signatures(&self, name: &ModelName, version: Version) -> Result<()> {
        let folder = layout::signatures(name, version);
        let failed = |error| Error::storage(format_args!("delete below {folder}"), error);
        for object in self.store.list(&folder).await.map_err(failed)? {
            self.store.delete(&object.key).await.map_err(failed)?;
        }
        Ok(())
    }
}

fn signature_key(manifest: &Manifest, document: &[u8], by: &KeyId) -> Result<ObjectKey> {
    let digest = Digest::of(document);
    layout::signature(&manifest.name, manifest.version, &digest, by)
}
