//! What was chosen, kept beside the checkpoints: the same command goes on with it, however fast the
//! machine is by then.

use std::sync::Arc;

use clap::ValueEnum as _;
use dunlin_storage::{ErrorKind as StoreError, ObjectKey, PutCondition, Store};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{Auto, Chosen};
use crate::recipes::Recipe;
use crate::{Error, ErrorKind, Result};

/// Where it is kept, in the store of the run.
const FILE: &str = "auto.json";

/// A choice, with what it followed from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    data: String,
    seconds: u64,
    compared: bool,
    recipe: String,
    width: usize,
    epochs: usize,
}

impl Auto<'_> {
    /// What was chosen when the run began, or is chosen now.
    pub(crate) fn choose_once(
        &self,
        recipe: Recipe,
        store: &Arc<dyn Store>,
        runtime: &Handle,
    ) -> Result<Chosen> {
        let key = ObjectKey::new(FILE)?;
        if !self.cli.fresh
            && let Some(chosen) = self.kept(&key, store, runtime)?
        {
            self.say(&format!(
                "auto       {} {}, {} epochs, as chosen when this run began; --fresh chooses anew",
                chosen.recipe.name(),
                chosen.width,
                chosen.epochs
            ));
            return Ok(chosen);
        }
        let chosen = self.choose(recipe, self.cli.auto.compare)?;
        let body = serde_json::to_vec_pretty(&self.keep(&chosen)).map_err(|error| {
            Error::new(ErrorKind::Failed, "the choice can't be written").because(error)
        })?;
        runtime.block_on(store.put(&key, body.into(), PutCondition::Always))?;
        Ok(chosen)
    }

    /// The choice, if it followed from the same.
    fn kept(
        &self,
        key: &ObjectKey,
        store: &Arc<dyn Store>,
        runtime: &Handle,
    ) -> Result<Option<Chosen>> {
        let bytes = match runtime.block_on(store.get(key)) {
            Ok(object) => object.bytes,
            Err(error) if error.kind() == StoreError::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Ok(kept) = serde_json::from_slice::<Kept>(&bytes) else {
            return Ok(None);
        };
        let Ok(recipe) = Recipe::from_str(&kept.recipe, false) else {
            return Ok(None);
        };
        let chosen = Chosen {
            recipe,
            width: kept.width,
            epochs: kept.epochs,
        };
        Ok((self.keep(&chosen) == kept).then_some(chosen))
    }

    fn keep(&self, chosen: &Chosen) -> Kept {
        Kept {
            data: self.data.census.digest.clone(),
            seconds: self.cli.auto.budget().as_secs(),
            compared: self.cli.auto.compare,
            recipe: chosen.recipe.name().to_owned(),
            width: chosen.width,
            epochs: chosen.epochs,
        }
    }
}
