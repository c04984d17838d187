//! What a run needs to go on, in a store.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use dunlin_registry::Digest;
use dunlin_storage::{ObjectKey, PutCondition, Store};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{Hyperparameters, Point, Spent};
use crate::{Error, ErrorKind, Result};

/// Begins every checkpoint; its last byte is the version of the format.
const MAGIC: &[u8; 8] = b"dunlin\x0c\x04";

/// Checkpoints that stay: a second one, in case the last is damaged.
const KEPT: usize = 2;

/// What a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The recipe.
    pub recipe: String,
    /// [`Census::digest`](crate::data::Census::digest).
    pub data: String,
    /// The sizes that the network is made for.
    pub shape: Vec<usize>,
    /// How it is trained.
    pub hyperparameters: Hyperparameters,
}

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) fingerprint: Fingerprint,
    /// Batches done.
    pub(super) step: usize,
    /// Before this process.
    pub(super) spent: Spent,
    /// Sums over the examples of the epoch so far.
    pub(super) loss: f64,
    pub(super) right: usize,
    pub(super) examples: usize,
    pub(super) history: Vec<Point>,
    /// The epoch with the lowest validation loss.
    pub(super) best: Option<Point>,
}

/// A state, with the bytes of weights and optimizer.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) state: State,
    pub(super) network: Vec<u8>,
    pub(super) optimizer: Vec<u8>,
    /// The weights of the best epoch.
    pub(super) best: Option<Vec<u8>>,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The checkpoints of a run, in a store.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    store: Arc<dyn Store>,
    runtime: Handle,
}

impl Checkpoints {
    /// Checkpoints below `checkpoints/` of a store. All methods block.
    pub fn new(store: Arc<dyn Store>, runtime: Handle) -> Self {
        Self { store, runtime }
    }

    /// Removes all of them.
    pub fn clear(&self) -> Result<()> {
        for key in self.keys()? {
            self.runtime.block_on(self.store.delete(&key))?;
        }
        Ok(())
    }

    /// Stores a checkpoint, and removes those before the last.
    pub(super) fn store(&self, checkpoint: &Checkpoint) -> Result<()> {
        let body = postcard::to_allocvec(checkpoint).map_err(|error| {
            Error::new(ErrorKind::Failed, "the checkpoint can't be written").because(error)
        })?;
        let bytes = [&MAGIC[..], Digest::of(&body).as_bytes(), &body].concat();
        let key = ObjectKey::new(format!("checkpoints/{:012}", checkpoint.state.step))?;
        self.runtime
            .block_on(self.store.put(&key, bytes.into(), PutCondition::Always))?;
        let keys = self.keys()?;
        for old in &keys[..keys.len().saturating_sub(KEPT)] {
            self.runtime.block_on(self.store.delete(old))?;
        }
        Ok(())
    }

    /// The last checkpoint that is sound. One of another run is refused, with what is different.
    pub(super) fn last(&self, fingerprint: &Fingerprint) -> Result<Option<Checkpoint>> {
        let keys = self.keys()?;
        let mut damage = None;
        for key in keys.iter().rev() {
            let object = self.runtime.block_on(self.store.get(key))?;
            match parse(&object.bytes) {
                Ok(checkpoint) => {
                    checkpoint.state.fingerprint.must_be(fingerprint)?;
                    return Ok(Some(checkpoint));
                }
                Err(why) => {
                    eprintln!(
                        "warning: checkpoint {key} is damaged ({why}); the one before it is taken"
                    );
                    damage = Some(key);
                }
            }
        }
        match damage {
            None => Ok(None),
            Some(key) => Err(Error::new(
                ErrorKind::Corrupt,
                format!("no checkpoint of this run is sound, {key} neither; --fresh begins anew"),
            )),
        }
    }

    fn keys(&self) -> Result<Vec<ObjectKey>> {
        let found = self.runtime.block_on(self.store.list("checkpoints/"))?;
        Ok(found.into_iter().map(|object| object.key).collect())
    }
}

fn parse(bytes: &Bytes) -> Result<Checkpoint, String> {
    let head = MAGIC.len() + 32;
    if bytes.len() < head || bytes[..MAGIC.len()] != MAGIC[..] {
        return Err("it is no checkpoint of this program".to_owned());
    }
    let body = &bytes[head..];
    if Digest::of(body).as_bytes() != &bytes[MAGIC.len()..head] {
        return Err("its digest is another".to_owned());
    }
    postcard::from_bytes(body).map_err(|error| error.to_string())
}

impl Fingerprint {
    /// Fails with what is different.
    fn must_be(&self, now: &Self) -> Result<()> {
        let what = if self.data != now.data {
            "the data has changed since the checkpoint"
        } else if self.recipe != now.recipe || self.shape != now.shape {
            "the checkpoint is of another network"
        } else if self.hyperparameters != now.hyperparameters {
            "the checkpoint was trained with other options"
        } else {
            return Ok(());
        };
        let message =
            format!("{what}: give the run another place with --run, or begin anew with --fresh");
        Err(Error::usage(message))
    }
}
