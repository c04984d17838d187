//! Names, and lists of them.

use std::sync::Arc;

use bytes::Bytes;
use dunlin_storage::{ErrorKind, ObjectKey, PutCondition};
use futures_util::{StreamExt, stream};

use super::{Place, kind};

pub(super) async fn odd_keys(place: Place) {
    let store = &place.store;
    let names = [
        "with blank",
        "plus+sign",
        "per%cent%20",
        "hash#mark",
        "question?mark=1",
        "amper&sand",
        "\"quotes'",
        "semi;colon:",
        "brackets[](){}",
        "ünïcode/日本語/🦀",
        "tilde~at@dollar$",
        "star*pipe|<less>",
        ".dot",
        "..dots",
        "trailing.",
        "a=b,c",
        "caret^`tick",
        "UPPER/Case",
    ];
    for (number, name) in names.iter().enumerate() {
        let content = Bytes::from(number.to_string());
        store
            .put(&place.key(name), content, PutCondition::IfAbsent)
            .await
            .expect(name);
    }
    let mut wanted: Vec<_> = names.iter().map(|name| place.key(name)).collect();
    wanted.sort();
    let listed = store.list(&place.below("")).await.unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|object| object.key.clone())
            .collect::<Vec<_>>(),
        wanted
    );
    for (number, name) in names.iter().enumerate() {
        let key = place.key(name);
        assert_eq!(
            store.get(&key).await.unwrap().bytes,
            number.to_string(),
            "{name}"
        );
        assert_eq!(store.list(key.as_str()).await.unwrap().len(), 1, "{name}");
        store.delete(&key).await.unwrap();
        assert_eq!(kind(store.head(&key).await), ErrorKind::NotFound, "{name}");
    }
    for prefix in ["../", "a/../", "/", "a//b", "./a", "a\0"] {
        assert_eq!(
            kind(store.list(prefix).await),
            ErrorKind::InvalidKey,
            "{prefix:?}"
        );
        assert_eq!(
            kind(store.list_folders(&format!("{prefix}/")).await),
            ErrorKind::InvalidKey
        );
    }
}

pub(super) async fn prefixes_and_folders(place: Place) {
    let store = &place.store;
    let names = ["a", "ab", "b/1", "b/2", "b/c/1", "b-/1", "d/e/f/g", "d/e/h"];
    for name in names {
        store
            .put(&place.key(name), name.into(), PutCondition::Always)
            .await
            .unwrap();
    }
    let cases: [(&str, &[&str]); 8] = [
        (
            "",
            &["a", "ab", "b-/1", "b/1", "b/2", "b/c/1", "d/e/f/g", "d/e/h"],
        ),
        ("a", &["a", "ab"]),
        ("ab", &["ab"]),
        ("b", &["b-/1", "b/1", "b/2", "b/c/1"]),
        ("b/", &["b/1", "b/2", "b/c/1"]),
        ("b/c", &["b/c/1"]),
        ("d/e/", &["d/e/f/g", "d/e/h"]),
        ("x", &[]),
    ];
    for (prefix, wanted) in cases {
        let listed = store.list(&place.below(prefix)).await.unwrap();
        let keys: Vec<_> = listed.iter().map(|object| object.key.clone()).collect();
        let wanted: Vec<_> = wanted.iter().map(|name| place.key(name)).collect();
        assert_eq!(keys, wanted, "{prefix:?}");
    }
    let cases: [(&str, &[&str]); 6] = [
        ("", &["b", "b-", "d"]),
        ("b", &["c"]),
        ("b/", &["c"]),
        ("d", &["e"]),
        ("d/e/f", &[]),
        ("a", &[]),
    ];
    for (folder, wanted) in cases {
        let folders = store.list_folders(&place.below(folder)).await.unwrap();
        assert_eq!(folders, wanted, "{folder:?}");
    }
}

pub(super) async fn folders_go_with_their_last_object(place: Place) {
    let store = &place.store;
    let names = ["b/1", "d/e/f/g", "d/e/h"];
    for name in names {
        store
            .put(&place.key(name), name.into(), PutCondition::Always)
            .await
            .unwrap();
    }
    for name in &names[1..] {
        store.delete(&place.key(name)).await.unwrap();
    }
    assert_eq!(store.list_folders(&place.below("")).await.unwrap(), ["b"]);
    // And the name is free.
    store
        .put(&place.key("d"), "d".into(), PutCondition::IfAbsent)
        .await
        .unwrap();
}

pub(super) async fn more_than_a_page(place: Place) {
    const COUNT: usize = 1005;
    let store = &place.store;
    let put = |number| {
        let (store, key) = (Arc::clone(store), place.key(&format!("{number:04}/x")));
        async move {
            store
                .put(&key, "x".into(), PutCondition::Always)
                .await
                .unwrap()
        }
    };
    stream::iter(0..COUNT)
        .map(put)
        .buffer_unordered(32)
        .collect::<Vec<_>>()
        .await;
    let wanted: Vec<_> = (0..COUNT).map(|number| format!("{number:04}")).collect();
    let listed = store.list(&place.below("")).await.unwrap();
    let keys: Vec<ObjectKey> = listed.into_iter().map(|object| object.key).collect();
    let wanted_keys: Vec<_> = wanted
        .iter()
        .map(|name| place.key(&format!("{name}/x")))
        .collect();
    assert_eq!(keys, wanted_keys);
    assert_eq!(store.list_folders(&place.folder).await.unwrap(), wanted);
    let delete = |key: ObjectKey| async move { store.delete(&key).await.unwrap() };
    stream::iter(keys)
        .map(delete)
        .buffer_unordered(32)
        .collect::<Vec<_>>()
        .await;
}
