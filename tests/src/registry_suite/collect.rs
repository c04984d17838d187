//! Retention: what goes, what stays, and publishing meanwhile.

use std::time::Duration;

use dunlin_registry::{Alias, ErrorKind, Registry, Retention};
use dunlin_storage::PutCondition;
use futures_util::future::join_all;

use super::{key, name, publish, read_all, version};

/// Everything that may go goes at once.
fn all() -> Retention {
    Retention {
        versions: None,
        version_age: Duration::ZERO,
        file_age: Duration::ZERO,
    }
}

pub(super) async fn files_that_no_version_names_go(registry: &Registry) {
    let model = name("collect");
    for content in ["one", "two"] {
        publish(registry, "collect", content).await;
    }
    registry.collect(&all()).await.unwrap();
    registry.delete_version(&model, version(1)).await.unwrap();

    // Young files stay.
    let young = registry.collection(&Retention::default()).await.unwrap();
    assert_eq!(young.files, []);
    // To tell is not to remove.
    let told = registry.collection(&all()).await.unwrap();
    let [(digest, size)] = told.files[..] else {
        panic!("{told:?}")
    };
    assert_eq!(size, 3);
    let blob = key(&format!("blobs/sha256/{}", digest.hex()));
    registry.store().head(&blob).await.unwrap();
    // What a publisher is about to name stays, until it has died long ago.
    let intent = key("intents/of-a-test");
    let content = format!("{digest}\n").into();
    registry
        .store()
        .put(&intent, content, PutCondition::Always)
        .await
        .unwrap();
    assert_eq!(registry.collect(&all()).await.unwrap().files, []);
    registry.store().delete(&intent).await.unwrap();

    assert_eq!(registry.collect(&all()).await.unwrap(), told);
    assert!(registry.store().head(&blob).await.is_err());
    assert_eq!(registry.collect(&all()).await.unwrap().files, []);
    assert_eq!(read_all(registry, &model).await, [version(2)]);

    // One at a time.
    let mark = key("collecting");
    registry
        .store()
        .put(&mark, "test".into(), PutCondition::Always)
        .await
        .unwrap();
    let error = registry.collect(&all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    registry.store().delete(&mark).await.unwrap();
}

pub(super) async fn old_versions_go_but_for_those_of_aliases(registry: &Registry) {
    let (model, production) = (name("retain"), Alias::production());
    for number in 1..=6 {
        publish(registry, "retain", &format!("graph {number}")).await;
    }
    for number in [1, 2] {
        registry
            .promote(&model, &production, version(number), None)
            .await
            .unwrap();
    }
    let keep = |versions, version_age| Retention {
        versions: Some(versions),
        version_age,
        ..all()
    };
    let young = registry
        .collection(&keep(2, Duration::from_hours(1)))
        .await
        .unwrap();
    assert!(young.versions.iter().all(|(name, _)| *name != model));
    let gone = registry.collect(&keep(2, Duration::ZERO)).await.unwrap();
    let mut gone: Vec<_> = gone
        .versions
        .into_iter()
        .filter(|(name, _)| *name == model)
        .collect();
    gone.sort();
    // 5 and 6 are the newest, 2 is in production, 1 was.
    assert_eq!(
        gone,
        [(model.clone(), version(3)), (model.clone(), version(4))]
    );
    let left = [1, 2, 5, 6].map(version);
    assert_eq!(read_all(registry, &model).await, left);
    // Their files go with the next one; those of other models' old versions too.
    let files = registry.collect(&all()).await.unwrap().files;
    assert!(files.len() >= 2, "{files:?}");
    assert_eq!(read_all(registry, &model).await, left);
}

/// Publishers that share files with versions that others delete, while one collection follows the
/// other: whatever is published is whole.
pub(super) async fn collections_race_with_publishers(registry: &Registry) {
    let model = name("dust");
    // Publishers that died earlier have left some.
    let intents = registry.store().list("intents/").await.unwrap();
    let publishers = (0..6).map(|publisher: u64| {
        let (registry, model) = (registry.clone(), model.clone());
        tokio::spawn(async move {
            for round in 0..6 {
                let content = format!("dust {}", (publisher + round) % 3);
                let published = publish(&registry, "dust", &content).await;
                for artifact in &published.artifacts {
                    registry.blob(artifact, None).await.unwrap();
                }
                registry
                    .delete_version(&model, published.version)
                    .await
                    .unwrap();
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let mut removed = 0;
    while publishers.iter().any(|publisher| !publisher.is_finished()) {
        removed += registry.collect(&all()).await.unwrap().files.len();
        // Publishers wait while a collection runs: they need a gap to begin in.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for publisher in join_all(publishers).await {
        publisher.unwrap();
    }
    // In the race publishers may always have been faster.
    removed += registry.collect(&all()).await.unwrap().files.len();
    assert!(removed > 0, "the collections had something to do");
    assert_eq!(registry.store().list("intents/").await.unwrap(), intents);
}
