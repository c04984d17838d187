//! Many writers and readers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dunlin_storage::{ErrorKind, PutCondition};
use futures_util::future::join_all;

use super::{Place, pattern};

pub(super) async fn one_creator_wins(place: Place) {
    for (round, writers) in [(0, 16), (1, 64)] {
        let key = place.key(&round.to_string());
        let creators = (0..writers).map(|number| {
            let (store, key) = (Arc::clone(&place.store), key.clone());
            tokio::spawn(async move {
                let content = Bytes::from(format!("written by {number}"));
                store.put(&key, content, PutCondition::IfAbsent).await
            })
        });
        let mut winner = None;
        for (number, result) in join_all(creators).await.into_iter().enumerate() {
            match result.unwrap() {
                Ok(etag) => assert!(winner.replace((number, etag)).is_none(), "two winners"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
            }
        }
        let (number, etag) = winner.expect("one wins");
        let object = place.store.get(&key).await.unwrap();
        assert_eq!(
            (object.bytes, object.meta.etag),
            (format!("written by {number}").into(), etag)
        );
    }
}

pub(super) async fn increments_are_not_lost(place: Place) {
    const TASKS: usize = 8;
    const EACH: usize = 6;
    let key = place.key("counter");
    place
        .store
        .put(&key, "0".into(), PutCondition::IfAbsent)
        .await
        .unwrap();
    let tasks = (0..TASKS).map(|_| {
        let (store, key) = (Arc::clone(&place.store), key.clone());
        tokio::spawn(async move {
            let mut done = 0;
            while done < EACH {
                let object = store.get(&key).await.unwrap();
                let count: usize = std::str::from_utf8(&object.bytes).unwrap().parse().unwrap();
                let next = Bytes::from((count + 1).to_string());
                match store
                    .put(&key, next, PutCondition::IfMatch(object.meta.etag))
                    .await
                {
                    Ok(_) => done += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Precondition, "{error}"),
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let end = place.store.get(&key).await.unwrap().bytes;
    assert_eq!(end, (TASKS * EACH).to_string());
}

pub(super) async fn readers_see_whole_objects(place: Place) {
    let key = place.key("flickers");
    let contents: Vec<_> = [10, 100_000, 700_000]
        .map(|n| Bytes::from(pattern(n, 9)))
        .into();
    let first = contents[0].clone();
    place
        .store
        .put(&key, first, PutCondition::Always)
        .await
        .unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let readers = (0..4).map(|_| {
        let (store, key, over) = (Arc::clone(&place.store), key.clone(), Arc::clone(&over));
        let contents = contents.clone();
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let object = store.get(&key).await.unwrap();
                assert_eq!(object.meta.size, object.bytes.len() as u64);
                assert!(
                    contents.contains(&object.bytes),
                    "{} bytes",
                    object.bytes.len()
                );
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for round in 0..30 {
        let content = contents[round % contents.len()].clone();
        place
            .store
            .put(&key, content, PutCondition::Always)
            .await
            .unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for reader in join_all(readers).await {
        reader.unwrap();
    }
}

pub(super) async fn cut_writers_leave_nothing_half(place: Place) {
    let content = Bytes::from(pattern(400_000, 10));
    let writers = (0..30_u32).map(|number| {
        let (store, key) = (Arc::clone(&place.store), place.key(&number.to_string()));
        let content = content.clone();
        tokio::spawn(async move {
            let put = store.put(&key, content, PutCondition::IfAbsent);
            // Cut off at another point each; some live.
            let _ =
                tokio::time::timeout(Duration::from_micros(u64::from(number * number) * 30), put)
                    .await;
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    for object in place.store.list(&place.below("")).await.unwrap() {
        assert!(
            place.store.get(&object.key).await.unwrap().bytes == content,
            "{}",
            object.key
        );
    }
}

/// Folders of a directory are removed with their last object, while others write into them.
pub(super) async fn folders_come_and_go(place: Place) {
    let tasks = (0..8).map(|number| {
        let (store, key) = (
            Arc::clone(&place.store),
            place.key(&format!("a/b/c/{number}")),
        );
        tokio::spawn(async move {
            for _ in 0..12 {
                store
                    .put(&key, "x".into(), PutCondition::IfAbsent)
                    .await
                    .unwrap();
                assert_eq!(store.get(&key).await.unwrap().bytes, "x");
                store.delete(&key).await.unwrap();
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(place.store.list(&place.below("")).await.unwrap(), []);
}
