//! Retention: old versions go by policy, and files that no version names.
//!
//! # Safe beside publishing
//! A publisher skips files that are stored already, so a file must not go between its look and its
//! manifest. Two marks see to it. A publisher first writes an *intent* (`intents/<id>`, the digests
//! it will name), then looks whether a collection runs (`collecting`), and waits for its end if so.
//! A collection first writes `collecting`, then reads the intents, and spares what they name. On
//! storage where a read sees every write before it, one of the two always sees the other.
//!
//! Marks of the dead do no harm for long: a collection ends itself well before publishers stop
//! waiting for it, and publishers give up well before their intents stop counting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use dunlin_storage::{ErrorKind as StoreError, ObjectKey, ObjectMeta, PutCondition};

use super::{Registry, back_off, lost};
use crate::{Digest, Error, ErrorKind, ModelName, Result, Version, layout, rfc3339};

/// How long a collection deletes; the next one goes on.
const COLLECTING: Duration = Duration::from_mins(2);

/// When its mark stops counting. Clocks may differ by the quarter of an hour that S3 allows.
const COLLECTING_DEAD: Duration = Duration::from_mins(20);

/// How long a publisher may take from its intent to its manifest.
const INTENT: Duration = Duration::from_hours(6);

/// When its intent stops counting.
const INTENT_DEAD: Duration = Duration::from_hours(24);

/// Earlier states of an alias whose versions are kept, for rollbacks.
const STATES_KEPT: usize = 10;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Versions of each model, the newest; `None`: all.
    pub versions: Option<usize>,
    /// Versions younger than this, whatever their number.
    pub version_age: Duration,
    /// Files younger than this, though no version names them.
    pub file_age: Duration,
}

impl Default for Retention {
    /// Every version, and files of the last day.
    fn default() -> Self {
        Self {
            versions: None,
            version_age: Duration::ZERO,
            file_age: Duration::from_hours(24),
        }
    }
}

/// What is to go, or has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collection {
    /// Versions; their files go with the next collection, so that hosts that still load them can.
    pub versions: Vec<(ModelName, Version)>,
    /// Files that no version names, with their bytes.
    pub files: Vec<(Digest, u64)>,
    /// Files that are kept.
    pub kept: usize,
}

/// An intent of a publisher, withdrawn when it is done.
pub(super) struct Intent {
    key: ObjectKey,
    begun: Instant,
}

impl Registry {
    /// What a collection would remove now.
    pub async fn collection(&self, retention: &Retention) -> Result<Collection> {
        // Files first: one that comes later is not looked at.
        let files = self.list("blobs/sha256/").await?;
        let spared = self.intended().await?;
        let mut collection = Collection::default();
        let mut named = BTreeSet::new();
        for name in self.models().await? {
            let versions = self.version_ages(&name).await?;
            for version in versions.keys() {
                // One that can't be read may name anything: then nothing goes.
                match self.manifest(&name, *version).await {
                    Ok(manifest) => named.extend(manifest.artifacts.iter().map(|a| a.digest)),
                    // Deleted since it was listed.
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::VersionNotFound | ErrorKind::ModelNotFound
                        ) => {}
                    Err(error) => return Err(error),
                }
            }
            let old = self.old_versions(&name, &versions, retention).await?;
            let old = old.into_iter().map(|version| (name.clone(), version));
            collection.versions.extend(old);
        }
        for file in files {
            let hex = layout::stem(&file.key, "blobs/sha256/", "").unwrap_or_default();
            let Ok(digest) = format!("sha256:{hex}").parse::<Digest>() else {
                continue;
            };
            let young = age(&file) < retention.file_age;
            if young || named.contains(&digest) || spared.contains(&digest) {
                collection.kept += 1;
            } else {
                collection.files.push((digest, file.size));
            }
        }
        Ok(collection)
    }

    /// Removes what [`collection`](Self::collection) names. What it says is what has gone.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if another collection runs.
    pub async fn collect(&self, retention: &Retention) -> Result<Collection> {
        let began = Instant::now();
        self.begin_collecting().await?;
        let collected = self.remove(retention, began).await;
        // Left behind, it only delays publishers.
        let ended = self.store.delete(&layout::collecting()?).await;
        let collected = collected?;
        ended.map_err(|error| Error::storage("end the collection", error))?;
        Ok(collected)
    }

    async fn remove(&self, retention: &Retention, began: Instant) -> Result<Collection> {
        // Read again now that publishers know.
        let wanted = self.collection(retention).await?;
        let mut gone = Collection {
            kept: wanted.kept,
            ..Collection::default()
        };
        for (digest, size) in wanted.files {
            if began.elapsed() > COLLECTING {
                gone.kept += 1;
                continue;
            }
            let key = layout::blob(&digest)?;
            let deleted = self.store.delete(&key).await;
            deleted.map_err(|error| Error::storage(format_args!("delete {key}"), error))?;
            gone.files.push((digest, size));
        }
        for (name, version) in wanted.versions {
            // An alias may have come to it meanwhile.
            if !self.kept_by_aliases(&name).await?.contains(&version) {
                self.delete_version(&name, version).await?;
                gone.versions.push((name, version));
            }
        }
        Ok(gone)
    }

    async fn begin_collecting(&self) -> Result<()> {
        let key = layout::collecting()?;
        let note = || format!("since {}\n", rfc3339(SystemTime::now())).into();
        let condition = match self.store.head(&key).await {
            Ok(mark) if age(&mark) < COLLECTING_DEAD => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("another collection runs ({key}); try again later"),
                ));
            }
            Ok(mark) => PutCondition::IfMatch(mark.etag),
            Err(error) if error.kind() == StoreError::NotFound => PutCondition::IfAbsent,
            Err(error) => return Err(Error::storage("look for a collection", error)),
        };
        match self.store.put(&key, note(), condition).await {
            Ok(_) => Ok(()),
            Err(error) if lost(&error) => Err(Error::new(
                ErrorKind::Conflict,
                "another collection begins at this moment",
            )),
            Err(error) => Err(Error::storage("begin a collection", error)),
        }
    }

    /// Says which files are about to be named, and waits for a collection that runs.
    pub(super) async fn intend(&self, digests: impl Iterator<Item = &Digest>) -> Result<Intent> {
        let digests: Vec<String> = digests.map(Digest::to_string).collect();
        let text = digests.join("\n");
        let key = layout::intent(&format!("{:032x}", fastrand::u128(..)))?;
        let begun = Instant::now();
        let put = self.store.put(&key, text.into(), PutCondition::IfAbsent);
        put.await
            .map_err(|error| Error::storage(format_args!("store {key}"), error))?;
        let collecting = layout::collecting()?;
        let mut tries = 0;
        loop {
            match self.store.head(&collecting).await {
                Ok(mark) if age(&mark) < COLLECTING_DEAD => back_off(tries).await,
                Ok(_) => return Ok(Intent { key, begun }),
                Err(error) if error.kind() == StoreError::NotFound => {
                    return Ok(Intent { key, begun });
                }
                Err(error) => return Err(Error::storage("look for a collection", error)),
            }
            tries += 1;
        }
    }

    pub(super) async fn withdraw(&self, intent: Intent) {
        // Left behind, it only spares its files for a day.
        let _ = self.store.delete(&intent.key).await;
    }

    /// The digests that publishers are about to name.
    async fn intended(&self) -> Result<BTreeSet<Digest>> {
        let mut digests = BTreeSet::new();
        for intent in self.list(layout::INTENTS).await? {
            if age(&intent) > INTENT_DEAD {
                continue;
            }
            let Some(object) = self.get(&intent.key).await? else {
                continue;
            };
            let text = String::from_utf8_lossy(&object.bytes);
            digests.extend(text.lines().filter_map(|line| line.parse::<Digest>().ok()));
        }
        Ok(digests)
    }

    async fn old_versions(
        &self,
        name: &ModelName,
        versions: &BTreeMap<Version, Duration>,
        retention: &Retention,
    ) -> Result<Vec<Version>> {
        let Some(keep) = retention.versions else {
            return Ok(Vec::new());
        };
        let kept = self.kept_by_aliases(name).await?;
        let beyond = versions.iter().rev().skip(keep.max(1));
        let old = beyond
            .filter(|(version, age)| **age >= retention.version_age && !kept.contains(*version));
        Ok(old.map(|(version, _)| *version).collect())
    }

    /// Versions that an alias stands for, or may be rolled back to.
    async fn kept_by_aliases(&self, name: &ModelName) -> Result<BTreeSet<Version>> {
        let mut kept = BTreeSet::new();
        for alias in self.aliases(name).await? {
            let Some((record, _)) = self.read_alias(name, &alias).await? else {
                continue;
            };
            let earlier = record.history.iter().take(STATES_KEPT);
            let states = earlier.map(|state| &state.targets).chain([&record.targets]);
            kept.extend(states.flatten().map(|target| target.version));
            kept.extend(record.shadow.map(|shadow| shadow.version));
        }
        Ok(kept)
    }

    async fn version_ages(&self, name: &ModelName) -> Result<BTreeMap<Version, Duration>> {
        let folder = layout::versions(name);
        let objects = self.list(&folder).await?;
        let ages = objects.iter().filter_map(|object| {
            let version = layout::stem(&object.key, &folder, ".json")?.parse().ok()?;
            Some((version, age(object)))
        });
        Ok(ages.collect())
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let listed = self.store.list(folder).await;
        listed.map_err(|error| Error::storage(format_args!("list {folder}"), error))
    }
}

impl Intent {
    /// Whether it still counts; one that was held for too long must not end in a manifest.
    pub(super) fn holds(&self) -> Result<()> {
        if self.begun.elapsed() < INTENT {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!("storing the files took more than {INTENT:?}; publish again"),
        ))
    }
}

/// How long ago an object was written; nothing where the store doesn't say, or by another clock.
fn age(object: &ObjectMeta) -> Duration {
    let written = object.modified.and_then(|at| at.elapsed().ok());
    written.unwrap_or_default()
}
