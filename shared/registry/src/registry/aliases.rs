//! Aliases: read, moved by compare-and-swap, deleted.

use std::time::SystemTime;

use dunlin_storage::{ETag, PutCondition};
use serde_json::Map;

use super::{Registry, back_off, lost};
use crate::alias::{HISTORY_LIMIT, check_targets};
use crate::manifest::{read_document, write_document};
use crate::{
    Alias, AliasRecord, Error, ErrorKind, HistoryEntry, ModelName, Result, SCHEMA, Target, Version,
    layout, rfc3339,
};

/// How often a move is tried against others that move the same alias.
const SWAP_TRIES: u32 = 100;

impl Registry {
    /// The aliases of a model, by name.
    pub async fn aliases(&self, name: &ModelName) -> Result<Vec<Alias>> {
        let folder = layout::aliases(name);
        let objects = self.store.list(&folder).await;
        let objects =
            objects.map_err(|error| Error::storage(format_args!("list {folder}"), error))?;
        let stems = objects
            .iter()
            .filter_map(|meta| layout::stem(&meta.key, &folder, ".json"));
        Ok(stems.filter_map(|stem| Alias::new(stem).ok()).collect())
    }

    /// What an alias stands for, and its state, for [`swap_alias`](Self::swap_alias).
    pub async fn alias(&self, name: &ModelName, alias: &Alias) -> Result<(AliasRecord, ETag)> {
        match self.read_alias(name, alias).await? {
            Some(read) => Ok(read),
            None => Err(self.no_alias(name, alias).await),
        }
    }

    pub(super) async fn read_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
    ) -> Result<Option<(AliasRecord, ETag)>> {
        let key = layout::alias(name, alias)?;
        let Some(object) = self.get(&key).await? else {
            return Ok(None);
        };
        let record: AliasRecord = read_document(key.as_str(), &object.bytes)?;
        // Whoever picks from it may rely on a target.
        check_targets(alias, &record.targets)?;
        if record.alias != *alias {
            return Err(Error::new(
                ErrorKind::InvalidManifest,
                format!(
                    "{} says that it is the alias {}",
                    key.as_str(),
                    record.alias
                ),
            ));
        }
        Ok(Some((record, object.meta.etag)))
    }

    /// Points an alias at these versions, whatever it stands for now; the earlier state goes into
    /// its history.
    pub async fn set_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        targets: Vec<(Version, u32)>,
    ) -> Result<AliasRecord> {
        self.change_alias(name, alias, |_| Ok(Some(to_targets(&targets))))
            .await
            .and_then(|record| {
                // The change above always gives targets.
                record.ok_or_else(|| {
                    Error::new(
                        ErrorKind::Conflict,
                        format!("alias {alias} of {name} was not set"),
                    )
                })
            })
    }

    /// Points an alias at these versions if its state is still the one `seen` (`None`: there is no
    /// such alias yet); else [`ErrorKind::Conflict`].
    pub async fn swap_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        targets: Vec<(Version, u32)>,
        seen: Option<&ETag>,
    ) -> Result<AliasRecord> {
        let current = self.read_alias(name, alias).await?;
        if current.as_ref().map(|(_, etag)| etag) == seen {
            let targets = to_targets(&targets);
            if let Some(record) = self.try_swap(name, alias, targets, current).await? {
                return Ok(record);
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "alias {alias} of {name} was changed by somebody else; look at it and try again"
            ),
        ))
    }

    /// Removes an alias. One that is not there is no error.
    pub async fn delete_alias(&self, name: &ModelName, alias: &Alias) -> Result<()> {
        let key = layout::alias(name, alias)?;
        let deleted = self.store.delete(&key).await;
        deleted.map_err(|error| Error::storage(format_args!("delete {}", key.as_str()), error))
    }

    /// Reads, changes and writes back, until nobody came between. `None` from `change`: leave it.
    pub(super) async fn change_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        change: impl Fn(Option<&AliasRecord>) -> Result<Option<Vec<Target>>>,
    ) -> Result<Option<AliasRecord>> {
        for tries in 0..SWAP_TRIES {
            let current = self.read_alias(name, alias).await?;
            let Some(targets) = change(current.as_ref().map(|(record, _)| record))? else {
                return Ok(None);
            };
            if let Some(record) = self.try_swap(name, alias, targets, current).await? {
                return Ok(Some(record));
            }
            back_off(tries).await;
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!("alias {alias} of {name} was changed by others {SWAP_TRIES} times meanwhile"),
        ))
    }

    /// One try: `None` if another came first.
    async fn try_swap(
        &self,
        name: &ModelName,
        alias: &Alias,
        targets: Vec<Target>,
        current: Option<(AliasRecord, ETag)>,
    ) -> Result<Option<AliasRecord>> {
        check_targets(alias, &targets)?;
        for target in &targets {
            if !self
                .exists(&layout::manifest(name, target.version)?)
                .await?
            {
                return Err(self.no_version(name, target.version).await);
            }
        }
        let updated = rfc3339(SystemTime::now());
        let (record, condition) = match current {
            None => {
                let extra = Map::new();
                let alias = alias.clone();
                let record = AliasRecord {
                    schema: SCHEMA,
                    alias,
                    targets,
                    updated,
                    history: Vec::new(),
                    extra,
                };
                (record, PutCondition::IfAbsent)
            }
            Some((mut record, etag)) => {
                let before = HistoryEntry {
                    targets: std::mem::replace(&mut record.targets, targets),
                    updated: std::mem::replace(&mut record.updated, updated),
                    extra: Map::new(),
                };
                record.history.insert(0, before);
                record.history.truncate(HISTORY_LIMIT);
                (record, PutCondition::IfMatch(etag))
            }
        };
        let key = layout::alias(name, alias)?;
        let bytes = write_document(key.as_str(), &record)?;
        match self.store.put(&key, bytes, condition).await {
            Ok(_) => Ok(Some(record)),
            Err(error) if lost(&error) => Ok(None),
            // Deleted meanwhile: nothing is there to match.
            Err(error) if error.kind() == dunlin_storage::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::storage(
                format_args!("store {}", key.as_str()),
                error,
            )),
        }
    }
}

fn to_targets(targets: &[(Version, u32)]) -> Vec<Target> {
    targets
        .iter()
        .map(|&(version, weight)| Target::new(version, weight))
        .collect()
}
