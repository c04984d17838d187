//! Large objects in parts.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dunlin_storage::{
    DownloadOptions, ETag, ErrorKind, Hedge, Object, ObjectKey, ObjectMeta, Progress, PutCondition,
    Result, Store, download,
};
use sha2::{Digest, Sha256};

use super::{Place, kind, pattern};

const PART: usize = 64 << 10;

fn options(part: usize) -> DownloadOptions {
    DownloadOptions {
        part_bytes: part as u64,
        ..DownloadOptions::default()
    }
}

pub(super) async fn every_size(place: Place) {
    for size in [0, 1, PART - 1, PART, PART + 1, 2 * PART, 20 * PART + 7] {
        let key = place.key(&size.to_string());
        let content = Bytes::from(pattern(size, 11));
        let etag = place
            .store
            .put(&key, content.clone(), PutCondition::Always)
            .await
            .unwrap();
        for window in [1, 4] {
            let told = Arc::new(AtomicU64::new(0));
            let told_too = Arc::clone(&told);
            let progress: Progress = Arc::new(move |bytes| {
                told_too.fetch_add(bytes, Ordering::Relaxed);
            });
            let mut options = DownloadOptions {
                window,
                progress: Some(progress),
                ..options(PART)
            };
            // What is thought of its size may be wrong, either way.
            let sizes = [None, Some(size), Some(size + 2 * PART), Some(size / 2)];
            for thought in sizes {
                told.store(0, Ordering::Relaxed);
                options.size = thought.map(|size| size as u64);
                let got = download(&place.store, &key, &options).await.unwrap();
                assert!(got.bytes == content, "{size} bytes, not {thought:?}");
                assert_eq!(got.sha256, <[u8; 32]>::from(Sha256::digest(&content)));
                assert_eq!((got.meta.size, &got.meta.etag), (size as u64, &etag));
                assert_eq!(told.load(Ordering::Relaxed), size as u64);
            }
        }
    }
    let absent = download(&place.store, &place.key("absent"), &options(PART)).await;
    assert_eq!(kind(absent), ErrorKind::NotFound);
}

pub(super) async fn a_hundred_megabytes(place: Place) {
    let content = Bytes::from(pattern(104_857_600 + 4321, 12));
    let wanted: [u8; 32] = Sha256::digest(&content).into();
    let key = place.key("large");
    place
        .store
        .put(&key, content.clone(), PutCondition::IfAbsent)
        .await
        .unwrap();
    let start = Instant::now();
    let got = download(&place.store, &key, &DownloadOptions::default())
        .await
        .unwrap();
    println!(
        "100 MiB from {} in {:.2?}",
        place.store.url(),
        start.elapsed()
    );
    assert_eq!(got.sha256, wanted);
    assert!(got.bytes == content);
}

pub(super) async fn replaced_midway(place: Place) {
    let (store, key) = (&place.store, place.key("replaced"));
    // Of the same size, so that nothing but the ETag tells.
    let contents = [pattern(10 * PART, 13), pattern(10 * PART, 14)].map(Bytes::from);
    store
        .put(&key, contents[0].clone(), PutCondition::Always)
        .await
        .unwrap();
    let turns = [
        (1, None),
        (2, None),
        (3, None),
        (2, Some(10)),
        (3, Some(10)),
    ];
    for (after, size) in turns {
        let between = Between {
            store: Arc::clone(store),
            reads: AtomicUsize::new(0),
            replace_after: after,
            replacement: contents[after % 2].clone(),
            slow: None,
        };
        let between: Arc<dyn Store> = Arc::new(between);
        let options = DownloadOptions {
            window: 1,
            // A second request would count as a read, and could find the replacement from the start.
            hedge: None,
            size: size.map(|parts| parts * PART as u64),
            ..options(PART)
        };
        let error = download(&between, &key, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
        assert!(error.to_string().contains(key.as_str()), "{error}");
    }
    let whole = download(store, &key, &options(PART)).await.unwrap();
    assert!(contents.contains(&whole.bytes));
}

pub(super) async fn a_limit_is_kept(place: Place) {
    let key = place.key("large");
    let content = Bytes::from(pattern(4 * PART, 15));
    place
        .store
        .put(&key, content, PutCondition::Always)
        .await
        .unwrap();
    let limit = 4 * PART as u64;
    let fits = DownloadOptions {
        limit,
        ..options(PART)
    };
    download(&place.store, &key, &fits).await.unwrap();
    let exceeds = DownloadOptions {
        limit: limit - 1,
        ..options(PART)
    };
    let error = download(&place.store, &key, &exceeds).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error
            .to_string()
            .contains("262144 bytes, the limit is 262143"),
        "{error}"
    );
}

pub(super) async fn stragglers_are_hedged(place: Place) {
    const SLOW: Duration = Duration::from_secs(20);
    let key = place.key("straggles");
    let content = Bytes::from(pattern(12 * PART, 16));
    place
        .store
        .put(&key, content.clone(), PutCondition::Always)
        .await
        .unwrap();
    let slow = Between {
        store: Arc::clone(&place.store),
        reads: AtomicUsize::new(0),
        replace_after: usize::MAX,
        replacement: Bytes::new(),
        slow: Some((5 * PART as u64, SLOW)),
    };
    let slow: Arc<dyn Store> = Arc::new(slow);
    let hedge = Hedge {
        after: Duration::from_millis(100),
        factor: 3,
    };
    let options = DownloadOptions {
        hedge: Some(hedge),
        ..options(PART)
    };
    let start = Instant::now();
    let got = download(&slow, &key, &options).await.unwrap();
    assert!(got.bytes == content);
    assert!(start.elapsed() < SLOW / 2, "took {:?}", start.elapsed());
}

/// A store with something happening between reads: a replacement, or one slow answer.
#[derive(Debug)]
struct Between {
    store: Arc<dyn Store>,
    reads: AtomicUsize,
    replace_after: usize,
    replacement: Bytes,
    /// The first read that begins here takes so long.
    slow: Option<(u64, Duration)>,
}

impl Between {
    async fn read(&self, key: &ObjectKey, start: u64) {
        let number = self.reads.fetch_add(1, Ordering::SeqCst);
        if number == self.replace_after {
            let content = self.replacement.clone();
            self.store
                .put(key, content, PutCondition::Always)
                .await
                .unwrap();
        }
        if let Some((from, time)) = self.slow
            && from == start
            && self.reads.fetch_add(1000, Ordering::SeqCst) < 1000
        {
            tokio::time::sleep(time).await;
        }
    }
}

#[async_trait]
impl Store for Between {
    fn url(&self) -> String {
        self.store.url()
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.store.head(key).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Object> {
        self.store.get(key).await
    }

    async fn get_if_changed(&self, key: &ObjectKey, etag: &ETag) -> Result<Option<Object>> {
        self.store.get_if_changed(key, etag).await
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        etag: Option<&ETag>,
        room: BytesMut,
    ) -> Result<(ObjectMeta, BytesMut)> {
        self.read(key, range.start).await;
        self.store.get_range(key, range, etag, room).await
    }

    async fn put_with_progress(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        condition: PutCondition,
        progress: Option<&Progress>,
    ) -> Result<ETag> {
        self.store
            .put_with_progress(key, bytes, condition, progress)
            .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        self.store.list(prefix).await
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>> {
        self.store.list_folders(folder).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.store.delete(key).await
    }
}
