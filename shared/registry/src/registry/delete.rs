//! Deleting: the manifest first, so that nobody sees half a version; then aliases to nowhere.
//!
//! Blobs stay: other versions may share them, and collecting those that nobody names is a job of
//! its own. Numbers stay too, so that none ever names a second version.

use std::time::SystemTime;

use dunlin_storage::PutCondition;

use super::{Registry, lost};
use crate::alias::Next;
use crate::{Alias, Change, Error, ModelName, Result, Version, layout, rfc3339};

/// What a deletion did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The versions that are gone.
    pub versions: Vec<Version>,
    /// The aliases that named nothing else and are gone too.
    pub aliases: Vec<Alias>,
    /// The aliases that named other versions as well, and now name those only.
    pub changed_aliases: Vec<Alias>,
}

impl Registry {
    /// Deletes a version, and what aliases say of it. Its number is never used again.
    pub async fn delete_version(&self, name: &ModelName, version: Version) -> Result<Deleted> {
        let key = layout::manifest(name, version)?;
        if !self.exists(&key).await? {
            return Err(self.no_version(name, version).await);
        }
        self.delete_manifest(name, version).await?;
        let mut deleted = Deleted {
            versions: vec![version],
            ..Deleted::default()
        };
        for alias in self.aliases(name).await? {
            self.forget(name, alias, version, &mut deleted).await?;
        }
        Ok(deleted)
    }

    /// Deletes all versions and aliases of a model. A later model of that name goes on counting.
    pub async fn delete_model(&self, name: &ModelName) -> Result<Deleted> {
        let versions = self.versions(name).await?;
        if versions.is_empty() {
            return Err(self.no_model(name));
        }
        for version in &versions {
            self.delete_manifest(name, *version).await?;
        }
        let aliases = self.aliases(name).await?;
        for alias in &aliases {
            self.delete_alias(name, alias).await?;
        }
        Ok(Deleted {
            versions,
            aliases,
            changed_aliases: Vec::new(),
        })
    }

    async fn delete_manifest(&self, name: &ModelName, version: Version) -> Result<()> {
        // A manifest that was copied here by other means may lack its claim: make it now.
        self.claim(name, version).await?;
        // What is published once must not come back under this number.
        let mark = layout::deleted(name, version)?;
        let note = format!("deleted {}\n", rfc3339(SystemTime::now()));
        match self
            .store
            .put(&mark, note.into(), PutCondition::IfAbsent)
            .await
        {
            Ok(_) => {}
            Err(error) if lost(&error) => {}
            Err(error) => return Err(Error::storage(format_args!("store {mark}"), error)),
        }
        let key = layout::manifest(name, version)?;
        let deleted = self.store.delete(&key).await;
        deleted.map_err(|error| Error::storage(format_args!("delete {}", key.as_str()), error))?;
        self.delete_signatures(name, version).await
    }

    /// Takes a deleted version out of an alias.
    async fn forget(
        &self,
        name: &ModelName,
        alias: Alias,
        version: Version,
        deleted: &mut Deleted,
    ) -> Result<()> {
        let Some((record, _)) = self.read_alias(name, &alias).await? else {
            return Ok(());
        };
        if record
            .shadow
            .is_some_and(|shadow| shadow.version == version)
        {
            self.set_shadow(name, &alias, None).await?;
        }
        if record
            .targets
            .iter()
            .all(|target| target.version == version)
        {
            self.delete_alias(name, &alias).await?;
            deleted.aliases.push(alias);
            return Ok(());
        }
        let changed = self.change_alias(name, &alias, |record| {
            let targets = record.map_or(&[][..], |record| &record.targets);
            let rest: Vec<_> = targets
                .iter()
                .filter(|t| t.version != version)
                .cloned()
                .collect();
            // Already moved by somebody else, to elsewhere.
            let moves = rest.len() < targets.len() && !rest.is_empty();
            Ok(moves.then(|| Next {
                targets: rest,
                change: Change {
                    reason: Some(format!("version {version} was deleted")),
                    ..Change::default()
                },
            }))
        });
        if changed.await?.is_some() {
            deleted.changed_aliases.push(alias);
        }
        Ok(())
    }
}
