//! Large objects: ranged reads in parallel.

mod hedge;
mod pages;

use std::mem::{replace, take};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

pub use self::hedge::Hedge;
use self::hedge::Pace;
use crate::{ETag, Error, ErrorKind, ObjectKey, ObjectMeta, Progress, Result, Store};

/// From which size on bytes are hashed where it may block.
const HASHED_ASIDE: usize = 128 << 10;

/// Objects up to this size are believed to have the size that they should: room for a larger one is made when its first
/// part is there.
const AT_ONCE: u64 = 128 << 20;

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
    let thought = options
        .size
        .filter(|&size| size <= AT_ONCE.min(options.limit));
    // An empty object has a first part, too: it tells the size.
    let thought = thought.unwrap_or_default().max(1);
    let (mut whole, room) = Whole::new(options.size.map_or(0, |_| thought));
    let mut parts = parts(store, key, 0..thought, None, room, options, &pace);
    let Some((meta, mut first)) = parts.try_next().await? else {
        unreachable!("there is a first part");
    };
    if meta.size > options.limit {
        let reason = format!("it has {} bytes, the limit is {}", meta.size, options.limit);
        let object = format!("{}/{key}", store.url());
        return Err(Error::new(ErrorKind::TooLarge, "download", object, reason));
    }
    if meta.size != thought {
        let start = first.len() as u64;
        let mut room;
        (whole, room) = Whole::new(meta.size);
        let rest = room.split_off(first.len());
        room.extend_from_slice(&first);
        first = room;
        let range = start..meta.size;
        parts = self::parts(store, key, range, Some(&meta.etag), rest, options, &pace);
    }
    whole = whole.add(first, options.progress.as_ref()).await?;
    while let Some((of_part, part)) = parts.try_next().await? {
        if of_part.etag != meta.etag {
            let object = format!("{}/{key}", store.url());
            let reason = "it has been replaced";
            return Err(Error::new(
                ErrorKind::Precondition,
                "download",
                object,
                reason,
            ));
        }
        whole = whole.add(part, options.progress.as_ref()).await?;
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

/// A part, and what the store tells of the whole object.
type Part = (ObjectMeta, BytesMut);

/// The parts of a range, in order, as many at a time as the window has, each in its place in `room`.
fn parts(
    store: &Arc<dyn Store>,
    key: &ObjectKey,
    range: Range<u64>,
    if_match: Option<&ETag>,
    mut room: BytesMut,
    options: &DownloadOptions,
    pace: &Arc<Pace>,
) -> impl Stream<Item = Result<Part>> + Unpin + Send + use<> {
    let part_bytes = options.part_bytes.max(1);
    let (store, key, if_match) = (Arc::clone(store), key.clone(), if_match.cloned());
    let pace = Arc::clone(pace);
    stream::iter(ranges(range, part_bytes))
        .map(move |range| {
            let (store, key, if_match) = (Arc::clone(&store), key.clone(), if_match.clone());
            let pace = Arc::clone(&pace);
            let length = (range.end - range.start) as usize;
            let behind = room.split_off(length.min(room.capacity()));
            // The first request has the place; a second one of a straggling part has none.
            let own = Mutex::new(replace(&mut room, behind));
            // Tasks, so that parts are decrypted on all cores.
            Aborting(tokio::spawn(async move {
                let part = || {
                    let (store, key, if_match) =
                        (Arc::clone(&store), key.clone(), if_match.clone());
                    let range = range.clone();
                    let own = take(&mut *own.lock().unwrap_or_else(PoisonError::into_inner));
                    async move { store.get_range(&key, range, if_match.as_ref(), own).await }
                };
                pace.hedged(part).await
            }))
            .join()
        })
        .buffered(options.window.max(1))
}

/// A range in parts of so many bytes, the first of which is a whole one, whatever the range.
fn ranges(range: Range<u64>, part: u64) -> impl Iterator<Item = Range<u64>> + Send {
    let Range { start, end } = range;
    let end = if start == 0 { end.max(part) } else { end };
    (start..end)
        .step_by(usize::try_from(part).unwrap_or(usize::MAX))
        .map(move |from| from..end.min(from.saturating_add(part)))
}

/// The object as far as it has come, and the digest of that.
struct Whole {
    /// The object, behind `skip` bytes that align it.
    bytes: BytesMut,
    skip: usize,
    digest: Sha256,
}

/// An object begins at a multiple of this, so that numbers in it can be read where they lie.
const ALIGN: usize = 64;

impl Whole {
    /// Nothing yet, and right behind it room for so many bytes.
    fn new(size: u64) -> (Self, BytesMut) {
        let mut bytes = BytesMut::with_capacity(size as usize + ALIGN);
        // Never none: what is empty can't be joined to its room.
        let skip = ALIGN - bytes.as_ptr() as usize % ALIGN;
        bytes.resize(skip, 0);
        let mut room = bytes.split_off(skip);
        pages::huge(&mut room);
        let digest = Sha256::new();
        (
            Self {
                bytes,
                skip,
                digest,
            },
            room,
        )
    }

    /// Appends the next part: where it came in its place, without a copy.
    async fn add(self, part: BytesMut, progress: Option<&Progress>) -> Result<Self> {
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

    fn add_blocking(mut self, part: BytesMut) -> Self {
        self.digest.update(&part);
        self.bytes.unsplit(part);
        self
    }

    fn finish(self) -> (Bytes, [u8; 32]) {
        let mut bytes = self.bytes.freeze().slice(self.skip..);
        if !(bytes.as_ptr() as usize).is_multiple_of(ALIGN) {
            // A part that was asked for again has moved everything.
            let (mut whole, mut room) = Self::new(bytes.len() as u64);
            room.extend_from_slice(&bytes);
            whole.bytes.unsplit(room);
            bytes = whole.bytes.freeze().slice(whole.skip..);
        }
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
        for (range, part, wanted) in [
            (0..1, 5, "[0..5]"),
            (5..5, 5, "[]"),
            (5..11, 5, "[5..10, 10..11]"),
            (5..15, 5, "[5..10, 10..15]"),
            (0..3, 2, "[0..2, 2..3]"),
        ] {
            let parts: Vec<_> = ranges(range, part).collect();
            assert_eq!(format!("{parts:?}"), wanted);
        }
    }
}
