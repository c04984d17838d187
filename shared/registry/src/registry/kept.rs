//! What hosts keep of requests: where two versions differ, and payloads that were asked for.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dunlin_storage::{ObjectKey, PutCondition};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::Registry;
use crate::{Error, ModelName, Result, Version, layout, rfc3339};

/// Objects that are read at one time.
const READS: usize = 16;

/// Differences that are looked at, of all that hosts have kept.
const DIFFERENCES: usize = 1000;

const DAY: Duration = Duration::from_hours(24);

impl Registry {
    /// Keeps a request on which a version differs from another, in one of a host's own places.
    pub async fn put_difference(
        &self,
        name: &ModelName,
        version: Version,
        host: &str,
        place: usize,
        document: Bytes,
    ) -> Result<()> {
        let key = layout::difference(name, version, host, place)?;
        self.keep(&key, document, PutCondition::Always).await
    }

    /// The requests on which a model's versions differ most (`distance`), the worst first.
    pub async fn differences(&self, name: &ModelName, most: usize) -> Result<Vec<Value>> {
        let objects = self.list(&layout::differences(name)).await?;
        let read = |key: ObjectKey| async move {
            let object = self.get(&key).await?;
            // One that is overwritten or removed just now is no reason to show none.
            Ok::<_, Error>(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()))
        };
        let read: Vec<Option<Value>> = stream::iter(objects.into_iter().take(DIFFERENCES))
            .map(|meta| read(meta.key))
            .buffered(READS)
            .try_collect()
            .await?;
        let mut differences: Vec<Value> = read.into_iter().flatten().collect();
        let distance = |example: &Value| example["distance"].as_f64().unwrap_or_default();
        differences.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
        differences.truncate(most);
        Ok(differences)
    }

    /// Keeps the payload of a request for so many days; [`expire`](Self::expire) then removes it.
    pub async fn put_capture(
        &self,
        name: &ModelName,
        version: Version,
        id: &str,
        days: u32,
        document: Bytes,
    ) -> Result<()> {
        let day = day(SystemTime::now() + DAY * days);
        let key = layout::capture(&day, name, version, id)?;
        self.keep(&key, document, PutCondition::IfAbsent).await
    }

    /// Payloads whose time is over at `now`: removed, or only told of.
    pub async fn expire(&self, now: SystemTime, remove: bool) -> Result<Vec<ObjectKey>> {
        let today = day(now);
        let folders = self.store.list_folders(layout::CAPTURES).await;
        let folders = folders.map_err(|error| Error::storage("list the captures", error))?;
        let mut expired = Vec::new();
        // What is not a day was put there by others.
        let old = folders.iter().map(|folder| folder.trim_end_matches('/'));
        for day in old.filter(|day| is_day(day) && *day < today.as_str()) {
            let objects = self.list(&format!("{}{day}/", layout::CAPTURES)).await?;
            expired.extend(objects.into_iter().map(|meta| meta.key));
        }
        if remove {
            let removals = stream::iter(&expired).map(|key| async move {
                let deleted = self.store.delete(key).await;
                deleted.map_err(|error| Error::storage(format_args!("delete {key}"), error))
            });
            removals.buffered(READS).try_collect::<()>().await?;
        }
        Ok(expired)
    }

    async fn keep(&self, key: &ObjectKey, document: Bytes, condition: PutCondition) -> Result<()> {
        let put = self.store.put(key, document, condition).await;
        put.map(drop)
            .map_err(|error| Error::storage(format_args!("store {key}"), error))
    }
}

/// The day of a time, as in `2026-03-01`: days sort as text.
fn day(time: SystemTime) -> String {
    rfc3339(time)[..10].to_owned()
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}
