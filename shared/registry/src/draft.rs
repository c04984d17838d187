//! What a publisher hands in: a manifest without its number, and the bytes.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use dunlin_storage::Progress;
use serde_json::{Map, Value};

use crate::{Artifact, Digest, Manifest, Measured, ModelName, Role, SCHEMA, Version};

/// A version before it has a number. [`crate::Registry::publish`] makes it one.
#[derive(Clone)]
pub struct Draft {
    /// The manifest to be; `version` and `created` are set when it is published.
    pub manifest: Manifest,
    pub(crate) blobs: BTreeMap<Digest, Bytes>,
    pub(crate) progress: Option<Progress>,
}

impl Draft {
    /// A draft that has a name and nothing else.
    pub fn new(name: ModelName) -> Self {
        let manifest = Manifest {
            schema: SCHEMA,
            name,
            version: Version::FIRST,
            created: String::new(),
            task: None,
            description: None,
            license: None,
            tags: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            transforms: Value::Null,
            artifacts: Vec::new(),
            metrics: Map::new(),
            provenance: Map::new(),
            extra: Map::new(),
        };
        Self {
            manifest,
            blobs: BTreeMap::new(),
            progress: None,
        }
    }

    /// Adds a file; the artifact comes back, for what else is known of it.
    pub fn attach(&mut self, role: Role, format: &str, bytes: Bytes) -> &mut Artifact {
        let digest = Digest::of(&bytes);
        let artifact = Artifact {
            role,
            format: format.to_owned(),
            digest,
            size: bytes.len() as u64,
            engine: None,
            target: None,
            precision: None,
            measured: Measured::default(),
            extra: Map::new(),
        };
        self.blobs.insert(digest, bytes);
        let artifacts = &mut self.manifest.artifacts;
        artifacts.push(artifact);
        let last = artifacts.len() - 1;
        &mut artifacts[last]
    }

    /// Bytes to be stored, before those that the store already has are skipped.
    pub fn size(&self) -> u64 {
        self.blobs.values().map(|bytes| bytes.len() as u64).sum()
    }

    /// Calls this as blobs are stored; skipped blobs count as stored.
    pub fn on_progress(&mut self, progress: Progress) {
        self.progress = Some(progress);
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}
