//! Aliases: read, moved by compare-and-swap, deleted.

use std::time::SystemTime;

use dunlin_storage::{ETag, PutCondition};
use serde_json::Map;

use super::{Registry, back_off, lost};
use crate::alias::{HISTORY_LIMIT, Next, check_targets, short};
use crate::manifest::{read_document, write_document};
use crate::{
    Alias, AliasRecord, Change, Error, ErrorKind, Hint, HistoryEntry, ModelName, Result, SCHEMA,
    Shadow, Target, Version, layout, rfc3339,
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
        let next = Next::to(&targets);
        self.move_alias(name, alias, |_| Ok(next.clone())).await
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
            let next = Next::to(&targets);
            if let Some(record) = self.try_swap(name, alias, next, current).await? {
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

    /// As [`change_alias`](Self::change_alias), by a change that never leaves it.
    pub(super) async fn move_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        change: impl Fn(Option<&AliasRecord>) -> Result<Next>,
    ) -> Result<AliasRecord> {
        let moved = self.change_alias(name, alias, |record| change(record).map(Some));
        moved.await?.ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!("alias {alias} of {name} was not moved"),
            )
        })
    }

    /// Reads, changes and writes back, until nobody came between. `None` from `change`: leave it.
    pub(super) async fn change_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        change: impl Fn(Option<&AliasRecord>) -> Result<Option<Next>>,
    ) -> Result<Option<AliasRecord>> {
        for tries in 0..SWAP_TRIES {
            let current = self.read_alias(name, alias).await?;
            let Some(next) = change(current.as_ref().map(|(record, _)| record))? else {
                return Ok(None);
            };
            if let Some(record) = self.try_swap(name, alias, next, current).await? {
                return Ok(Some(record));
            }
            back_off(tries).await;
        }
        Err(contended(name, alias))
    }

    /// One try: `None` if another came first.
    async fn try_swap(
        &self,
        name: &ModelName,
        alias: &Alias,
        next: Next,
        current: Option<(AliasRecord, ETag)>,
    ) -> Result<Option<AliasRecord>> {
        let Next { targets, change } = next;
        check_targets(alias, &targets)?;
        let before = current
            .as_ref()
            .map_or(&[][..], |(record, _)| &record.targets);
        let mut hints = Vec::with_capacity(targets.len());
        for &Target { version, .. } in &targets {
            let manifest = self.manifest(name, version).await?;
            // What serves already may stay, however it came there.
            if !manifest.is_proven() && !serves(before, version) {
                return Err(unproven(name, version));
            }
            let artifacts = manifest.artifacts;
            hints.push(Hint { version, artifacts });
        }
        let hints = short(hints);
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
                    change,
                    shadow: None,
                    hints,
                    history: Vec::new(),
                    extra,
                };
                (record, PutCondition::IfAbsent)
            }
            Some((mut record, etag)) => {
                let before = HistoryEntry {
                    targets: std::mem::replace(&mut record.targets, targets),
                    updated: std::mem::replace(&mut record.updated, updated),
                    change: std::mem::replace(&mut record.change, change),
                    extra: Map::new(),
                };
                record.hints = hints;
                record.history.insert(0, before);
                // What answers for good need not be asked a second time.
                record.shadow = record
                    .shadow
                    .filter(|shadow| !serves(&record.targets, shadow.version));
                record.history.truncate(HISTORY_LIMIT);
                (record, PutCondition::IfMatch(etag))
            }
        };
        self.try_put(name, alias, record, condition).await
    }

    /// Runs a share of an alias's requests on a second version too; `None`: no more. The share is
    /// no part of what the alias stands for: the history is as it was.
    pub async fn set_shadow(
        &self,
        name: &ModelName,
        alias: &Alias,
        shadow: Option<Shadow>,
    ) -> Result<AliasRecord> {
        let refused = |why: String| {
            Error::new(
                ErrorKind::InvalidAlias,
                format!("alias {alias} of {name}: {why}"),
            )
        };
        if let Some(Shadow { version, percent }) = shadow {
            if !(1..=100).contains(&percent) {
                return Err(refused(format!(
                    "a shadow takes 1 to 100 percent, not {percent}"
                )));
            }
            if !self.manifest(name, version).await?.is_proven() {
                return Err(unproven(name, version));
            }
        }
        for tries in 0..SWAP_TRIES {
            let (mut record, etag) = self.alias(name, alias).await?;
            if let Some(Shadow { version, .. }) = shadow
                && serves(&record.targets, version)
            {
                return Err(refused(format!(
                    "version {version} serves already; a shadow is a version beside those"
                )));
            }
            record.shadow = shadow;
            let put = self.try_put(name, alias, record, PutCondition::IfMatch(etag));
            if let Some(record) = put.await? {
                return Ok(record);
            }
            back_off(tries).await;
        }
        Err(contended(name, alias))
    }

    /// One try to write: `None` if another came first.
    async fn try_put(
        &self,
        name: &ModelName,
        alias: &Alias,
        mut record: AliasRecord,
        condition: PutCondition,
    ) -> Result<Option<AliasRecord>> {
        let key = layout::alias(name, alias)?;
        let written = write_document(key.as_str(), &record).or_else(|_| {
            // An alias that is too large with them can do without.
            record.hints.clear();
            write_document(key.as_str(), &record)
        });
        let bytes = written?;
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

impl Next {
    /// These versions, for no reason that is told.
    fn to(targets: &[(Version, u32)]) -> Self {
        let targets = targets.iter();
        Self {
            targets: targets
                .map(|&(version, weight)| Target::new(version, weight))
                .collect(),
            change: Change::default(),
        }
    }
}

fn serves(targets: &[Target], version: Version) -> bool {
    targets.iter().any(|target| target.version == version)
}

fn contended(name: &ModelName, alias: &Alias) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("alias {alias} of {name} was changed by others {SWAP_TRIES} times meanwhile"),
    )
}

fn unproven(name: &ModelName, version: Version) -> Error {
    Error::new(
        ErrorKind::Unproven,
        format!(
            "version {version} of {name} has no golden examples, so nothing shows that it answers \
             right; publish it with `dunlin push`"
        ),
    )
}
