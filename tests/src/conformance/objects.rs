//! One object at a time.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use dunlin_storage::{
    ETag, ErrorKind, ObjectKey, ObjectMeta, Progress, PutCondition, Result, Store,
};

use super::{GET_LIMIT, MULTIPART_BYTES, Place, kind, pattern};

pub(super) async fn written_is_read(place: Place) {
    let store = &place.store;
    for length in [0, 1, 4096, 300_000] {
        let key = place.key(&length.to_string());
        let content = Bytes::from(pattern(length, 1));
        let etag = store
            .put(&key, content.clone(), PutCondition::Always)
            .await
            .unwrap();
        let head = store.head(&key).await.unwrap();
        assert_eq!(
            (head.size, &head.etag, &head.key),
            (length as u64, &etag, &key)
        );
        let age = SystemTime::now()
            .duration_since(head.modified.unwrap())
            .unwrap_or_default();
        assert!(age < Duration::from_mins(5), "written {age:?} ago");
        let object = store.get(&key).await.unwrap();
        assert_eq!(object.bytes, content);
        assert_eq!(object.meta.etag, etag);
        store.delete(&key).await.unwrap();
        assert_eq!(kind(store.get(&key).await), ErrorKind::NotFound);
    }
}

pub(super) async fn absent_is_not_found(place: Place) {
    let store = &place.store;
    let there = place.key("there");
    let etag = store
        .put(&there, "x".into(), PutCondition::Always)
        .await
        .unwrap();
    // Below an object, too, which is a file in a directory.
    for name in ["absent", "a/b/c", "there/below"] {
        let key = place.key(name);
        let errors = [
            store.head(&key).await.unwrap_err(),
            store.get(&key).await.unwrap_err(),
            store.get_if_changed(&key, &etag).await.unwrap_err(),
            range(store, &key, 0..10, None).await.unwrap_err(),
            range(store, &key, 0..1, Some(&etag)).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert!(error.to_string().contains(key.as_str()), "{error}");
            assert_eq!(error.tries(), 1, "{error}");
        }
        store.delete(&key).await.unwrap();
    }
    assert_eq!(store.list(&place.below("absent/")).await.unwrap(), []);
    assert!(
        store
            .list_folders(&place.below("absent"))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.get(&there).await.unwrap().bytes, "x");
}

pub(super) async fn only_if_absent(place: Place) {
    let (store, key) = (&place.store, place.key("once"));
    let etag = store
        .put(&key, "first".into(), PutCondition::IfAbsent)
        .await
        .unwrap();
    for content in ["second", "first"] {
        let again = store
            .put(&key, content.into(), PutCondition::IfAbsent)
            .await;
        assert_eq!(kind(again), ErrorKind::AlreadyExists);
    }
    let object = store.get(&key).await.unwrap();
    assert_eq!((object.bytes, object.meta.etag), ("first".into(), etag));
    store.delete(&key).await.unwrap();
    store
        .put(&key, "third".into(), PutCondition::IfAbsent)
        .await
        .unwrap();
}

pub(super) async fn only_if_unchanged(place: Place) {
    let (store, key) = (&place.store, place.key("swapped"));
    let first = store
        .put(&key, "first".into(), PutCondition::Always)
        .await
        .unwrap();
    let swap = |content: &'static str, etag: &_| {
        let condition = PutCondition::IfMatch(Clone::clone(etag));
        store.put(&key, content.into(), condition)
    };
    let second = swap("other", &first).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(kind(swap("third", &first).await), ErrorKind::Precondition);
    assert_eq!(store.get(&key).await.unwrap().bytes, "other");
    store.delete(&key).await.unwrap();
    assert_eq!(kind(swap("third", &second).await), ErrorKind::Precondition);
    assert_eq!(kind(store.head(&key).await), ErrorKind::NotFound);
}

pub(super) async fn etags_follow_content(place: Place) {
    let (store, key) = (&place.store, place.key("changing"));
    let mut seen = HashSet::new();
    for number in 0..40 {
        if number % 4 == 3 {
            store.delete(&key).await.unwrap();
        }
        // Of equal length and as fast as it goes: only the content tells them apart.
        let content = Bytes::from(format!("{number:08}"));
        let etag = store
            .put(&key, content.clone(), PutCondition::Always)
            .await
            .unwrap();
        assert!(
            seen.insert(etag.clone()),
            "content {number} has an ETag of before: {etag}"
        );
        assert_eq!(store.head(&key).await.unwrap().etag, etag);
        assert_eq!(store.list(key.as_str()).await.unwrap()[0].etag, etag);
        assert!(store.get_if_changed(&key, &etag).await.unwrap().is_none());
        for old in seen.iter().filter(|old| **old != etag).take(2) {
            let object = store.get_if_changed(&key, old).await.unwrap().unwrap();
            assert_eq!(
                (object.bytes, object.meta.etag),
                (content.clone(), etag.clone())
            );
        }
    }
}

async fn range(
    store: &Arc<dyn Store>,
    key: &ObjectKey,
    range: Range<u64>,
    if_match: Option<&ETag>,
) -> Result<(ObjectMeta, BytesMut)> {
    let room = BytesMut::with_capacity((range.end - range.start) as usize);
    store.get_range(key, range, if_match, room).await
}

pub(super) async fn ranges(place: Place) {
    let (store, key) = (&place.store, place.key("ranged"));
    let content = Bytes::from(pattern(100_000, 2));
    let etag = store
        .put(&key, content.clone(), PutCondition::Always)
        .await
        .unwrap();
    for wanted in [
        0..1,
        0..100_000,
        0..200_000,
        99_999..100_000,
        99_999..100_001,
        12_345..67_890,
    ] {
        for if_match in [None, Some(&etag)] {
            let got = range(store, &key, wanted.clone(), if_match).await;
            let (meta, bytes) = got.unwrap();
            let end = wanted.end.min(100_000) as usize;
            assert_eq!(bytes, content[wanted.start as usize..end], "{wanted:?}");
            assert_eq!((meta.size, &meta.etag), (100_000, &etag), "{wanted:?}");
        }
    }
    for wanted in [5..5, 100_000..100_001, 200_000..300_000] {
        let got = range(store, &key, wanted.clone(), Some(&etag)).await;
        let error = got.unwrap_err();
        assert_eq!(
            (error.kind(), error.tries()),
            (ErrorKind::Other, 1),
            "{wanted:?}: {error}"
        );
    }
    store
        .put(&key, content.slice(1..), PutCondition::Always)
        .await
        .unwrap();
    let stale = range(store, &key, 0..10, Some(&etag)).await;
    assert_eq!(kind(stale), ErrorKind::Precondition);
}

/// The start of an object tells its size, also where there is nothing in it.
pub(super) async fn starts(place: Place) {
    let store = &place.store;
    for size in [0_usize, 1, 1000] {
        let key = place.key(&size.to_string());
        let content = Bytes::from(pattern(size, 3));
        let etag = store
            .put(&key, content.clone(), PutCondition::Always)
            .await
            .unwrap();
        for length in [1_usize, 999, 1000, 5000] {
            let (meta, start) = range(store, &key, 0..length as u64, None).await.unwrap();
            assert_eq!((meta.size, &meta.etag), (size as u64, &etag));
            assert_eq!(start, content[..length.min(size)], "{length} of {size}");
        }
    }
}

pub(super) async fn get_has_a_limit(place: Place) {
    let store = &place.store;
    for (name, length) in [("fits", GET_LIMIT), ("too-large", GET_LIMIT + 1)] {
        let content = Bytes::from(pattern(length as usize, 4));
        store
            .put(&place.key(name), content, PutCondition::Always)
            .await
            .unwrap();
    }
    assert_eq!(
        store.get(&place.key("fits")).await.unwrap().bytes.len() as u64,
        GET_LIMIT
    );
    let error = store.get(&place.key("too-large")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error
            .to_string()
            .contains("1048577 bytes, the limit is 1048576"),
        "{error}"
    );
}

/// Where there are links: a directory has none.
pub(super) async fn links_give_the_object(place: Place) {
    let (store, key) = (&place.store, place.key("a b+ü"));
    let content = Bytes::from(pattern(100_000, 9));
    let put = store.put(&key, content.clone(), PutCondition::Always);
    put.await.unwrap();
    let link = store.link(&key, Duration::from_mins(1), "text/x-dunlin");
    let Some(url) = link.await.unwrap() else {
        return;
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let got = client.get(&url).send().await.unwrap();
    assert_eq!(got.status(), 200, "{url}");
    assert_eq!(got.headers()["content-type"], "text/x-dunlin");
    assert!(got.bytes().await.unwrap() == content);
}

pub(super) async fn parts_keep_conditions(place: Place) {
    let (store, key) = (&place.store, place.key("large"));
    let content = |seed| Bytes::from(pattern(MULTIPART_BYTES * 4, seed));
    let told = Arc::new(AtomicU64::new(0));
    let progress: Progress = {
        let told = Arc::clone(&told);
        Arc::new(move |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        })
    };
    let first = store
        .put_with_progress(&key, content(5), PutCondition::IfAbsent, Some(&progress))
        .await
        .unwrap();
    assert_eq!(told.load(Ordering::Relaxed), content(5).len() as u64);
    let again = store.put(&key, content(6), PutCondition::IfAbsent).await;
    assert_eq!(kind(again), ErrorKind::AlreadyExists);
    assert_eq!(store.head(&key).await.unwrap().etag, first);
    let second = store
        .put(&key, content(7), PutCondition::IfMatch(first.clone()))
        .await
        .unwrap();
    let stale = store
        .put(&key, content(8), PutCondition::IfMatch(first))
        .await;
    assert_eq!(kind(stale), ErrorKind::Precondition);
    let all = 0..content(7).len() as u64;
    let (_, got) = range(store, &key, all, Some(&second)).await.unwrap();
    assert!(got == content(7));
}
