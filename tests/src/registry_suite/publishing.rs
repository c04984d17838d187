//! What publishing leaves behind, also many times at once, and cut off midway.

use std::collections::BTreeSet;
use std::time::Duration;

use dunlin_registry::{Deleted, ErrorKind, Registry, Role};
use dunlin_storage::PutCondition;
use futures_util::future::join_all;
use serde_json::json;

use super::{draft, key, name, publish, read_all, resolve, version};

pub(super) async fn nothing_there(registry: &Registry) {
    assert_eq!(registry.models().await.unwrap(), []);
    assert_eq!(
        resolve(registry, "absent").await,
        Err(ErrorKind::ModelNotFound)
    );
}

pub(super) async fn published_is_read(registry: &Registry) {
    let mut draft = draft("reads", "graph");
    draft.manifest.task = Some("image-classification".into());
    draft
        .manifest
        .metrics
        .insert("accuracy".into(), json!(0.983));
    let published = registry.publish(draft).await.unwrap();
    assert_eq!(published.version.get(), 1);
    assert!(published.created.ends_with('Z'), "{}", published.created);

    let read = registry.manifest(&name("reads"), version(1)).await.unwrap();
    assert_eq!(read, published);
    let model = read.artifact(&Role::Model, "onnx").unwrap();
    assert_eq!(registry.blob(model, None).await.unwrap(), "graph");
    assert_eq!(registry.models().await.unwrap(), [name("reads")]);
    assert_eq!(
        registry.versions(&name("reads")).await.unwrap(),
        [version(1)]
    );
}

pub(super) async fn equal_bytes_are_stored_once(registry: &Registry) {
    let first = publish(registry, "once", "the same graph").await;
    let blobs = registry.store().list("blobs/").await.unwrap();
    let second = publish(registry, "once", "the same graph").await;
    assert_eq!((first.version.get(), second.version.get()), (1, 2));
    assert_eq!(first.artifacts, second.artifacts);
    // The same objects, not written again: neither their content nor their time has changed.
    assert_eq!(registry.store().list("blobs/").await.unwrap(), blobs);
}

pub(super) async fn sixty_four_publishers(registry: &Registry) {
    let model = name("race");
    let publishers = (0..64).map(|n| {
        let registry = registry.clone();
        tokio::spawn(async move { registry.publish(draft("race", &format!("graph {n}"))).await })
    });
    let publishers: Vec<_> = publishers.collect();
    let reader = tokio::spawn({
        let (registry, model) = (registry.clone(), model.clone());
        async move {
            let mut seen = 0;
            while seen < 64 {
                let versions = read_all(&registry, &model).await;
                assert!(versions.len() >= seen, "a version was lost");
                seen = versions.len();
            }
        }
    });
    let mut contents = BTreeSet::new();
    let mut versions = BTreeSet::new();
    for published in join_all(publishers).await {
        let manifest = published.unwrap().unwrap();
        assert!(
            versions.insert(manifest.version),
            "version {} twice",
            manifest.version
        );
        let read = registry.manifest(&model, manifest.version).await.unwrap();
        assert_eq!(read, manifest);
        contents.insert(registry.blob(&read.artifacts[0], None).await.unwrap());
    }
    reader.await.unwrap();
    assert_eq!((versions.len(), contents.len()), (64, 64));
    assert_eq!(
        registry.versions(&model).await.unwrap(),
        versions.into_iter().collect::<Vec<_>>()
    );
}

pub(super) async fn publishers_that_die(registry: &Registry) {
    let model = name("dies");
    let tasks = (0..40u64).map(|n| {
        let registry = registry.clone();
        tokio::spawn(async move {
            let publish = registry.publish(draft("dies", &format!("graph {}", n % 8)));
            // Cut off at another point each; some live.
            let _ = tokio::time::timeout(Duration::from_micros(n * n * 40), publish).await;
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    read_all(registry, &model).await;
    let published = publish(registry, "dies", "the last one").await;
    assert_eq!(
        read_all(registry, &model).await.last(),
        Some(&published.version)
    );
}

pub(super) async fn numbers_are_never_reused(registry: &Registry) {
    let model = name("numbers");
    for number in 1..=2 {
        assert_eq!(
            publish(registry, "numbers", "a").await.version.get(),
            number
        );
    }
    let deleted = registry.delete_version(&model, version(2)).await.unwrap();
    assert_eq!(
        deleted,
        Deleted {
            versions: vec![version(2)],
            ..Deleted::default()
        }
    );
    assert_eq!(registry.versions(&model).await.unwrap(), [version(1)]);
    assert_eq!(publish(registry, "numbers", "b").await.version.get(), 3);

    let deleted = registry.delete_model(&model).await.unwrap();
    assert_eq!(deleted.versions, [version(1), version(3)]);
    assert!(!registry.models().await.unwrap().contains(&model));
    assert_eq!(
        resolve(registry, "numbers").await,
        Err(ErrorKind::ModelNotFound)
    );
    assert_eq!(publish(registry, "numbers", "c").await.version.get(), 4);

    // A manifest that came by other means than publishing counts too, and once deleted its number
    // is as gone.
    let mut copied = registry.manifest(&model, version(4)).await.unwrap();
    copied.version = version(9);
    let object = key("models/numbers/versions/9.json");
    registry
        .store()
        .put(&object, copied.to_json().unwrap(), PutCondition::IfAbsent)
        .await
        .unwrap();
    registry.delete_version(&model, version(9)).await.unwrap();
    assert_eq!(publish(registry, "numbers", "d").await.version.get(), 10);
}
