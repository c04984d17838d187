//! Objects as files in a directory.

mod files;
mod lock;
mod temporary;
mod walk;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use self::files::Files;
use crate::key::{check_prefix, folder_prefix};
use crate::{
    ETag, Error, ErrorKind, Object, ObjectKey, ObjectMeta, Progress, PutCondition, Result, Store,
    StoreOptions,
};

/// Objects as files: the object `a/b` is the file `a/b` below the root.
///
/// Writers may be threads or processes on one machine. An object is written to a file of its own,
/// synced, and then linked or renamed into its place under a lock, so it is whole or absent even
/// after `kill -9` or a power cut. What dead writers left is removed by the next writer.
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    files: Arc<Files>,
}

impl DirectoryStore {
    /// A store in `root`, which is made by the first write if it is not there.
    pub fn new(root: impl AsRef<Path>, options: &StoreOptions) -> Result<Self> {
        let root = root.as_ref();
        let fail = |reason: String| {
            Error::new(
                ErrorKind::InvalidConfig,
                "open",
                format!("file:{}", root.display()),
                reason,
            )
        };
        let absolute = std::path::absolute(root)
            .map_err(|error| fail(format!("not a usable path: {error}")).with_source(error))?;
        if absolute.exists() && !absolute.is_dir() {
            return Err(fail("it is a file".into()).with_cure("name a directory"));
        }
        Ok(Self {
            files: Arc::new(Files::new(absolute, options.clone())),
        })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        self.files.root()
    }

    /// Runs file system work where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let files = Arc::clone(&self.files);
        let start = Instant::now();
        let result = tokio::task::spawn_blocking(move || work(&files)).await;
        let result = result.unwrap_or_else(|stopped| {
            let reason = "the worker thread was stopped";
            Err(Error::new(ErrorKind::Other, "reach", self.url(), reason).with_source(stopped))
        });
        result.map_err(|error| error.after(start.elapsed(), 1))
    }
}

#[async_trait]
impl Store for DirectoryStore {
    fn url(&self) -> String {
        format!("file:{}", self.root().display())
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        let key = key.clone();
        self.blocking(move |files| files.head(&key)).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Object> {
        let key = key.clone();
        self.blocking(move |files| files.get(&key)).await
    }

    async fn get_if_changed(&self, key: &ObjectKey, etag: &ETag) -> Result<Option<Object>> {
        let (key, etag) = (key.clone(), etag.clone());
        self.blocking(move |files| {
            if files.head(&key)?.etag == etag {
                Ok(None)
            } else {
                files.get(&key).map(Some)
            }
        })
        .await
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        if_match: Option<&ETag>,
        room: BytesMut,
    ) -> Result<(ObjectMeta, BytesMut)> {
        let (key, etag) = (key.clone(), if_match.cloned());
        self.blocking(move |files| files.get_range(&key, range, etag.as_ref(), room))
            .await
    }

    async fn put_with_progress(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        condition: PutCondition,
        progress: Option<&Progress>,
    ) -> Result<ETag> {
        let (key, progress) = (key.clone(), progress.cloned());
        self.blocking(move |files| files.put(&key, &bytes, &condition, progress.as_ref()))
            .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        check_prefix("list", &self.url(), prefix)?;
        let prefix = prefix.to_owned();
        self.blocking(move |files| files.list(&prefix)).await
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = folder_prefix("list", &self.url(), folder)?;
        self.blocking(move |files| files.list_folders(prefix.trim_end_matches('/')))
            .await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        let key = key.clone();
        self.blocking(move |files| files.delete(&key)).await
    }
}

/// Where an object's file is.
fn path_of(root: &Path, key: &ObjectKey) -> PathBuf {
    root.join(key.as_str())
}
