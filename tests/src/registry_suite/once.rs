//! Publishing once, however often and by however many it is tried.

use std::collections::BTreeSet;

use dunlin_registry::{Digest, ErrorKind, Registry};
use dunlin_storage::PutCondition;
use futures_util::future::join_all;

use super::{draft, key, name, publish, read_all, version};

pub(super) async fn many_at_once_make_one_version(registry: &Registry) {
    let model = name("once-each");
    let publishers = (0..48).map(|n| {
        let registry = registry.clone();
        // Three uploads, each told of sixteen times; two publishers' measurements differ.
        tokio::spawn(async move {
            let upload = Digest::of(&[n % 3]);
            let mut draft = draft("once-each", &format!("graph {}", n % 3));
            draft.manifest.metrics.insert("told".into(), n.into());
            registry.publish_once(draft, &upload).await
        })
    });
    let mut versions = BTreeSet::new();
    for published in join_all(publishers.collect::<Vec<_>>()).await {
        let manifest = published.unwrap().unwrap();
        let read = registry.manifest(&model, manifest.version).await.unwrap();
        assert_eq!(read, manifest, "all are given the one that is stored");
        versions.insert(manifest.version);
    }
    assert_eq!(versions.len(), 3);
    assert_eq!(read_all(registry, &model).await.len(), 3);
    // Others' publishing goes on counting.
    let next = publish(registry, "once-each", "another").await.version;
    assert!(versions.iter().all(|version| *version < next));
}

pub(super) async fn the_next_ends_what_a_dead_one_began(registry: &Registry) {
    let (model, upload) = (name("once-dead"), Digest::of(b"upload"));
    assert_eq!(
        registry.published_once(&model, &upload).await.unwrap(),
        None
    );
    // What is left of one that died before its manifest.
    for (object, content) in [
        ("numbers/once-dead/1".to_owned(), "taken\n"),
        (format!("once/once-dead/{}", upload.hex()), "1\n"),
    ] {
        let put = registry
            .store()
            .put(&key(&object), content.into(), PutCondition::IfAbsent)
            .await;
        put.unwrap();
    }
    assert_eq!(
        registry.published_once(&model, &upload).await.unwrap(),
        None
    );
    let draft = || draft("once-dead", "graph");
    let published = registry.publish_once(draft(), &upload).await.unwrap();
    assert_eq!(published.version, version(1));
    let again = registry.published_once(&model, &upload).await.unwrap();
    assert_eq!(again, Some(published));

    // Deleted, it does not come back when its event does.
    registry.delete_version(&model, version(1)).await.unwrap();
    for error in [
        registry.publish_once(draft(), &upload).await.unwrap_err(),
        registry.published_once(&model, &upload).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::VersionNotFound, "{error}");
    }
    assert_eq!(registry.versions(&model).await.unwrap(), []);
}
