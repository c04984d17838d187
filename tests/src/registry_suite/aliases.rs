//! Aliases: moved, raced for, cleaned up; and what is said of names that aren't there.

use std::collections::BTreeSet;

use dunlin_registry::{Alias, Deleted, ErrorKind, Registry};
use futures_util::future::join_all;

use super::{alias, name, publish, read_all, resolve, version};

pub(super) async fn aliases_move(registry: &Registry) {
    let (model, production) = (name("alias"), Alias::production());
    for _ in 1..=3 {
        publish(registry, "alias", "a").await;
    }
    assert_eq!(resolve(registry, "alias").await, Ok(3));
    assert_eq!(resolve(registry, "alias@2").await, Ok(2));
    assert_eq!(
        resolve(registry, "alias@production").await,
        Err(ErrorKind::AliasNotFound)
    );

    let first = registry
        .set_alias(&model, &production, vec![(version(1), 1)])
        .await
        .unwrap();
    assert!(first.history.is_empty());
    assert_eq!(resolve(registry, "alias").await, Ok(1));
    let split = vec![(version(1), 90), (version(2), 10)];
    let second = registry
        .set_alias(&model, &production, split)
        .await
        .unwrap();
    assert_eq!(second.history.len(), 1);
    assert_eq!(second.history[0].targets, first.targets);
    let (read, etag) = registry.alias(&model, &production).await.unwrap();
    assert_eq!(read, second);

    let route = registry.route(&"alias".parse().unwrap()).await.unwrap();
    assert_eq!(
        (route.alias.as_ref(), route.etag.as_ref()),
        (Some(&production), Some(&etag))
    );
    let on_two = (0..1000)
        .filter(|key| route.pick(*key) == version(2))
        .count();
    assert!(
        (60..140).contains(&on_two),
        "{on_two} of 1000 keys at weight 10 of 100"
    );

    let refused = [
        (vec![(version(7), 1)], ErrorKind::VersionNotFound),
        (vec![], ErrorKind::InvalidAlias),
        (vec![(version(1), 0)], ErrorKind::InvalidAlias),
        (
            vec![(version(1), 1), (version(1), 1)],
            ErrorKind::InvalidAlias,
        ),
    ];
    for (targets, kind) in refused {
        let error = registry
            .set_alias(&model, &production, targets)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }

    let swap = |seen| registry.swap_alias(&model, &production, vec![(version(3), 1)], seen);
    swap(Some(&etag)).await.unwrap();
    assert_eq!(resolve(registry, "alias").await, Ok(3));
    for stale in [Some(&etag), None] {
        assert_eq!(swap(stale).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    assert_eq!(
        registry.aliases(&model).await.unwrap(),
        std::slice::from_ref(&production)
    );
    registry.delete_alias(&model, &production).await.unwrap();
    assert_eq!(registry.aliases(&model).await.unwrap(), []);
}

pub(super) async fn aliases_move_at_once(registry: &Registry) {
    let (model, canary) = (name("swap"), alias("canary"));
    for _ in 1..=2 {
        publish(registry, "swap", "a").await;
    }
    let movers = (0..16).map(|n| {
        let (registry, model, canary) = (registry.clone(), model.clone(), canary.clone());
        tokio::spawn(async move {
            let targets = vec![(version(1), n + 1), (version(2), 100)];
            registry.set_alias(&model, &canary, targets).await
        })
    });
    for moved in join_all(movers).await {
        moved.unwrap().unwrap();
    }
    let (record, _) = registry.alias(&model, &canary).await.unwrap();
    let states = record
        .history
        .iter()
        .map(|entry| &entry.targets)
        .chain([&record.targets]);
    let weights: BTreeSet<u32> = states.map(|targets| targets[0].weight).collect();
    assert_eq!(
        weights,
        (1..=16).collect(),
        "the history names every state once"
    );
    assert_eq!(record.history.len(), 15);
}

pub(super) async fn deletion_cleans_aliases(registry: &Registry) {
    let model = name("cleans");
    for _ in 1..=3 {
        publish(registry, "cleans", "a").await;
    }
    for (text, targets) in [
        ("old", vec![(version(1), 1)]),
        ("both", vec![(version(1), 9), (version(2), 1)]),
        ("new", vec![(version(2), 1)]),
    ] {
        registry
            .set_alias(&model, &alias(text), targets)
            .await
            .unwrap();
    }
    let deleted = registry.delete_version(&model, version(1)).await.unwrap();
    let want = Deleted {
        versions: vec![version(1)],
        aliases: vec![alias("old")],
        changed_aliases: vec![alias("both")],
    };
    assert_eq!(deleted, want);
    assert_eq!(
        registry.aliases(&model).await.unwrap(),
        [alias("both"), alias("new")]
    );
    assert_eq!(resolve(registry, "cleans@both").await, Ok(2));
    // Blobs stay: others may share them.
    read_all(registry, &model).await;

    registry.delete_model(&model).await.unwrap();
    assert_eq!(registry.store().list("models/cleans/").await.unwrap(), []);
    let again = registry.delete_model(&model).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::ModelNotFound);
}

pub(super) async fn unknown_names_are_explained(registry: &Registry) {
    let model = name("known");
    publish(registry, "known", "a").await;
    registry
        .set_alias(&model, &alias("stable"), vec![(version(1), 1)])
        .await
        .unwrap();

    let error = registry.manifest(&model, version(9)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionNotFound);
    assert_eq!(
        error.to_string(),
        "model \"known\" has no version 9; the newest is 1"
    );
    let error = registry
        .route(&"known@canary".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AliasNotFound);
    assert_eq!(
        error.to_string(),
        "model \"known\" has no alias \"canary\"; it has stable"
    );
    for reference in ["unknown", "unknown@canary"] {
        let error = registry
            .route(&reference.parse().unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelNotFound);
        assert!(
            error.to_string().starts_with("no model \"unknown\" in "),
            "{error}"
        );
    }
    let error = registry
        .manifest(&name("unknown"), version(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelNotFound);
    let error = registry
        .delete_version(&model, version(9))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionNotFound);
}
