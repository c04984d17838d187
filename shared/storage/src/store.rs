//! The seam: what a store can do.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::{ObjectKey, Result};

/// Identifies one content of an object, as the store wrote it; compare for equality only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    /// An `ETag` that a store gave earlier, kept as text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, quotes included where the store uses them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a store tells about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name.
    pub key: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// Which content it has.
    pub etag: ETag,
    /// When it was written.
    pub modified: Option<SystemTime>,
}

/// An object's description and its bytes.
#[derive(Clone, Debug)]
pub struct Object {
    /// What the store tells about it.
    pub meta: ObjectMeta,
    /// All its bytes.
    pub bytes: Bytes,
}

/// When a [`Store::put`] may take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutCondition {
    /// Whatever is there.
    Always,
    /// Only if nothing is there; else [`AlreadyExists`](crate::ErrorKind::AlreadyExists).
    IfAbsent,
    /// Only if this content is there; else [`Precondition`](crate::ErrorKind::Precondition).
    IfMatch(ETag),
}

/// Is told how many bytes were moved since it was last called.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Objects by name. Every method can be called from many tasks at once, and can be cancelled.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Where the objects are: `s3://bucket/prefix` or `file:/path`.
    fn url(&self) -> String;

    /// The object's description.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta>;

    /// A small object, whole; [`TooLarge`](crate::ErrorKind::TooLarge) above
    /// [`StoreOptions::get_limit`](crate::StoreOptions::get_limit). Large ones: [`download`](crate::download).
    async fn get(&self, key: &ObjectKey) -> Result<Object>;

    /// Like [`get`](Self::get), but `None` if the object still has this `ETag`.
    async fn get_if_changed(&self, key: &ObjectKey, etag: &ETag) -> Result<Option<Object>>;

    /// The bytes of `range`, which is not empty, as far as the object has them, and the whole object's
    /// description: one request where a `head` and a read would be two. A range that begins behind the
    /// last byte is an error, but for the start of an empty object. With `if_match`, only if the object
    /// still has this `ETag`; else [`Precondition`](crate::ErrorKind::Precondition).
    ///
    /// The bytes come in `room`, where they fit into it and the first try succeeds: then nothing is
    /// allocated, and nothing copied twice.
    async fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        if_match: Option<&ETag>,
        room: BytesMut,
    ) -> Result<(ObjectMeta, BytesMut)>;

    /// Writes an object, telling `progress` of bytes that the store has.
    async fn put_with_progress(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        condition: PutCondition,
        progress: Option<&Progress>,
    ) -> Result<ETag>;

    /// Writes an object.
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: PutCondition) -> Result<ETag> {
        self.put_with_progress(key, bytes, condition, None).await
    }

    /// All objects whose key begins with `prefix`, sorted by key; however many.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>>;

    /// The names of the folders right below `folder` (`""`: the top), sorted; not the objects there.
    /// Some servers (`SeaweedFS`) still name a folder for a moment after its last object was deleted.
    async fn list_folders(&self, folder: &str) -> Result<Vec<String>>;

    /// A URL by which anybody may get the object for so long, told as being of this content type;
    /// `None` where the store has no such URLs. Whether the object is there is not asked. S3 ends the
    /// URL earlier where the credentials that signed it expire.
    async fn link(
        &self,
        _key: &ObjectKey,
        _valid: Duration,
        _content_type: &str,
    ) -> Result<Option<String>> {
        Ok(None)
    }

    /// Removes an object. One that is not there is no error.
    async fn delete(&self, key: &ObjectKey) -> Result<()>;
}
