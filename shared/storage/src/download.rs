//! Large objects: ranged reads in parallel.

mod hedge;

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

pub use self::hedge::Hedge;
use self::hedge::Pace;
use crate::{ETag, Error, ErrorKind, Object, ObjectKey, ObjectMeta, Progress, Result, Store};

/// From which size on bytes are hashed where it may block.
const HASHED_ASIDE: usize = 128 << 10;

/// How [`download`] works.
#[derive(Clone)]
pub struct DownloadOptions {
    /// The size of a part in bytes.
    pub part_bytes: u64,
    /// How many parts are in flight or wait for an earlier one: memory is the object plus this many.
    pub window: usize,
    /// The size that the object probably has, in bytes: its parts are then all asked for at once, not only after the
    /// first has told it.
    pub size: Option<u64>,
    /// The largest object that is downloaded, in bytes.
    pub limit: u64,
    /// Is told of bytes as they arrive.
    pub progress: Option<Progress>,
    /// When a straggling part is asked for a second time; `None`: never.
    pub hedge: Option<Hedge>,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self {
            part_bytes: 8 << 20,
            window: 8,
            size: None,
            limit: 16 << 30,
            progress: None,
            hedge: Some(Hedge::default()),
        }
    }
}

impl std::fmt::Debug for DownloadOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DownloadOptions")
            .field("part_bytes", &self.part_bytes)
            .field("window", &self.window)
            .field("size", &self.size)
            .field("limit", &self.limit)
            .field("hedge", &self.hedge)
            .finish_non_exhaustive()
    }
}

/// An object that [`download`] fetched.
#[derive(Clone, Debug)]
pub struct Download {
    /// All its bytes.
    pub bytes: Bytes,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// What the store tells about it.
    pub meta: ObjectMeta,
}

/// Fetches an object of any size up to the limit.
///
/// Parts come in parallel, each retried on its own as the store's options say, and hedged as
/// [`Hedge`] says. Only the bytes of one content are ever joined: an object that is replaced midway
/// is an error of kind [`Precondition`](crate::ErrorKind::Precondition). A download that is dropped
/// stops its requests.
pub async fn download(
    store: &Arc<dyn Store>,
    key: &ObjectKey,
    options: &DownloadOptions,
) -> Result<Download> {
    let pace = Arc::new(Pace::new(options.hedge, options.window));
    // An empty object has a first part, too: it tells the size.
    let thought = options.size.unwrap_or_default().max(1);
    let mut parts = parts(store, key, 0..thought, None, options, &pace);
    let first = parts.try_next().await?;
    let Some(Object { meta, bytes: first }) = first else {
        unreachable!("there is a first part");
    };
    if meta.size > options.limit {
        let reason = format!("it has {} bytes, the limit is {}", meta.size, options.limit);
        let object = format!("{}/{key}", store.url());
        return Err(Error::new(ErrorKind::TooLarge, "download", object, reason));
    }
    if meta.size != thought {
        let rest = first.len() as u64..meta.size;
        parts = self::parts(store, key, rest, Some(&meta.etag), options, &pace);
    }
    let mut whole = Whole::new(meta.size);
    whole = whole.add(first, options.progress.as_ref()).await?;
    while let Some(part) = parts.try_next().await? {
        if part.meta.etag != meta.etag {
            let object = format!("{}/{key}", store.url());
            let reason = "it has been replaced";
            return Err(Error::new(
                ErrorKind::Precondition,
                "download",
                object,
                reason,
            ));
        }
        whole = whole.add(part.bytes, options.progress.as_ref()).await?;
    }
    drop(parts);
    let (bytes, sha256) = whole.finish();
    if bytes.len() as u64 != meta.size {
        let reason = format!("{} bytes came, it has {}", bytes.len(), meta.size);
        let object = format!("{}/{key}", store.url());
        return Err(Error::new(ErrorKind::Corrupt, "download", object, reason));
    }
    Ok(Download {
        bytes,
        sha256,
        meta,
    })
}

/// The parts of a range, in order, as many at a time as the window has.
fn parts(
    store: &Arc<dyn Store>,
    key: &ObjectKey,
    range: Range<u64>,
    if_match: Option<&ETag>,
    options: &DownloadOptions,
    pace: &Arc<Pace>,
) -> impl Stream<Item = Result<Object>> + Unpin + Send + use<> {
    let part_bytes = options.part_bytes.max(1);
    let (store, key, if_match) = (Arc::clone(store), key.clone(), if_match.cloned());
    let pace = Arc::clone(pace);
    stream::iter(ranges(range.start, range.end, part_bytes))
        .map(move |range| {
            let (store, key, if_match) = (Arc::clone(&store), key.clone(), if_match.clone());
            let pace = Arc::clone(&pace);
            // Tasks, so that parts are decrypted on all cores.
            Aborting(tokio::spawn(async move {
                let part = || {
                    let (store, key, if_match) =
                        (Arc::clone(&store), key.clone(), if_match.clone());
                    let range = range.clone();
                    async move {
                        match range.start {
                            0 => store.get_start(&key, part_bytes).await,
                            _ => store.get_range(&key, range, if_match.as_ref()).await,
                        }
                    }
                };
                pace.hedged(part).await
            }))
            .join()
        })
        .buffered(options.window.max(1))
}

/// The ranges from `start` to `size`, `part` bytes each.
fn ranges(start: u64, size: u64, part: u64) -> impl Iterator<Item = Range<u64>> + Send {
    (start..size)
        .step_by(usize::try_from(part).unwrap_or(usize::MAX))
        .map(move |from| from..size.min(from.saturating_add(part)))
}

/// The object as far as it has come, and the digest of that.
struct Whole {
    size: u64,
    bytes: Joined,
    digest: Sha256,
}

enum Joined {
    /// The one part of a small object is kept as it came.
    Whole(Bytes),
    /// The object, after so many bytes that align it.
    Growing(BytesMut, usize),
}

/// A joined object begins at a multiple of this, so that numbers in it can be read where they lie.
const ALIGN: usize = 64;

impl Whole {
    fn new(size: u64) -> Self {
        Self {
            size,
            bytes: Joined::Whole(Bytes::new()),
            digest: Sha256::new(),
        }
    }

    /// Appends the next part.
    async fn add(self, part: Bytes, progress: Option<&Progress>) -> Result<Self> {
        let length = part.len();
        let added = if length < HASHED_ASIDE {
            self.add_blocking(part)
        } else {
            spawn_blocking(move || self.add_blocking(part))
                .await
                .map_err(|stopped| {
                    Error::new(
                        ErrorKind::Other,
                        "hash",
                        "a part",
                        "the worker thread was stopped",
                    )
                    .with_source(stopped)
                })?
        };
        if let Some(progress) = progress {
            progress(length as u64);
        }
        Ok(added)
    }

    fn add_blocking(mut self, part: Bytes) -> Self {
        self.digest.update(&part);
        self.bytes = match self.bytes {
            Joined::Whole(_) if part.len() as u64 == self.size => Joined::Whole(part),
            Joined::Whole(before) => {
                let mut joined = BytesMut::with_capacity(self.size as usize + ALIGN);
                let skip = joined.as_ptr().align_offset(ALIGN);
                joined.resize(skip, 0);
                joined.extend_from_slice(&before);
                joined.extend_from_slice(&part);
                Joined::Growing(joined, skip)
            }
            Joined::Growing(mut joined, skip) => {
                joined.extend_from_slice(&part);
                Joined::Growing(joined, skip)
            }
        };
        self
    }

    fn finish(self) -> (Bytes, [u8; 32]) {
        let bytes = match self.bytes {
            Joined::Whole(bytes) => bytes,
            Joined::Growing(joined, skip) => joined.freeze().slice(skip..),
        };
        (bytes, self.digest.finalize().into())
    }
}

/// A task that ends when nobody waits for it any more.
struct Aborting<T>(JoinHandle<T>);

impl<T> Aborting<Result<T>> {
    async fn join(mut self) -> Result<T> {
        (&mut self.0).await.unwrap_or_else(|stopped| {
            let reason = "the task of a part was stopped";
            Err(Error::new(ErrorKind::Other, "download", "a part", reason).with_source(stopped))
        })
    }
}

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_once() {
        for (start, size, part, wanted) in [
            (0, 0, 5, vec![]),
            (5, 5, 5, vec![]),
            (5, 11, 5, vec![5..10, 10..11]),
            (5, 15, 5, vec![5..10, 10..15]),
            (0, 3, 2, vec![0..2, 2..3]),
        ] {
            assert_eq!(ranges(start, size, part).collect::<Vec<_>>(), wanted);
        }
    }
}
