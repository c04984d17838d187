//! Releases: promoted, put on trial, rolled back; and what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use dunlin_registry::{Alias, AliasRecord, Draft, ErrorKind, ModelRef, Registry, Role};
use futures_util::future::join_all;

use super::{alias, name, publish, version};

fn weights(record: &AliasRecord) -> Vec<(u64, u32)> {
    let targets = record.targets.iter();
    targets
        .map(|target| (target.version.get(), target.weight))
        .collect()
}

pub(super) async fn promoted_and_rolled_back(registry: &Registry) {
    let (model, production) = (name("release"), Alias::production());
    for _ in 1..=3 {
        publish(registry, "release", "a").await;
    }
    for number in 1..=3 {
        let reason = format!("number {number}");
        let record = registry
            .promote(&model, &production, version(number), Some(&reason))
            .await
            .unwrap();
        assert_eq!(weights(&record), [(number, 1)]);
        assert_eq!(record.change.reason, Some(reason));
        assert_eq!(record.history.len() as u64, number - 1);
    }
    // Again and again: further back each time, to the first state and no further.
    for (want, left) in [(2, 3), (1, 4)] {
        let record = registry
            .roll_back(&model, &production, Some("it is wrong"))
            .await
            .unwrap();
        assert_eq!(weights(&record), [(want, 1)]);
        assert_eq!(record.history.len(), left);
        assert_eq!(record.change.reason.as_deref(), Some("it is wrong"));
        let place = record.change.restores.unwrap();
        assert_eq!(record.history[place].targets, record.targets);
        assert!(record.history[0].change.reason.is_some());
    }
    let error = registry
        .roll_back(&model, &production, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoEarlierState, "{error}");

    // A new promotion begins anew.
    let promote = |number| registry.promote(&model, &production, version(number), None);
    promote(3).await.unwrap();
    let back = registry.roll_back(&model, &production, None).await.unwrap();
    assert_eq!(weights(&back), [(1, 1)]);

    promote(2).await.unwrap();
    registry.delete_version(&model, version(1)).await.unwrap();
    let error = registry
        .roll_back(&model, &production, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionNotFound, "{error}");
}

pub(super) async fn a_canary_grows_and_goes(registry: &Registry) {
    let (model, production) = (name("trial"), Alias::production());
    for _ in 1..=3 {
        publish(registry, "trial", "a").await;
    }
    registry
        .promote(&model, &production, version(1), None)
        .await
        .unwrap();
    let canary = |percent| registry.canary(&model, &production, version(2), percent, None);
    let reference: ModelRef = "trial".parse().unwrap();
    let mut before = Vec::new();
    for percent in [10, 25, 50] {
        let record = canary(percent).await.unwrap();
        assert_eq!(weights(&record), [(1, 100 - percent), (2, percent)]);
        assert_eq!(record.change.canary, Some(version(2)));
        let route = registry.route(&reference).await.unwrap();
        let on_two: Vec<u64> = (0..1000)
            .filter(|key| route.pick(*key) == version(2))
            .collect();
        let share = on_two.len() as u32;
        assert!(
            (percent * 8..percent * 12).contains(&share),
            "{share} of 1000"
        );
        // Who is on the new version stays there.
        assert!(before.iter().all(|key| on_two.contains(key)));
        before = on_two;
    }
    // One command undoes all of its steps,
    let back = registry.roll_back(&model, &production, None).await.unwrap();
    assert_eq!(weights(&back), [(1, 1)]);
    // also after it has ended well.
    canary(50).await.unwrap();
    registry
        .promote(&model, &production, version(2), None)
        .await
        .unwrap();
    let back = registry.roll_back(&model, &production, None).await.unwrap();
    assert_eq!(weights(&back), [(1, 1)]);

    // Beside several versions the canary takes its share of each.
    let split = vec![(version(1), 3), (version(2), 1)];
    registry
        .set_alias(&model, &production, split)
        .await
        .unwrap();
    let record = registry
        .canary(&model, &production, version(3), 20, None)
        .await
        .unwrap();
    assert_eq!(weights(&record), [(1, 3), (2, 1), (3, 1)]);
}

pub(super) async fn what_is_refused(registry: &Registry) {
    let (model, production) = (name("refused"), Alias::production());
    publish(registry, "refused", "a").await;
    let error = registry
        .canary(&model, &production, version(1), 10, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AliasNotFound, "{error}");
    let error = registry
        .roll_back(&model, &production, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AliasNotFound, "{error}");

    registry
        .promote(&model, &production, version(1), None)
        .await
        .unwrap();
    for (number, percent, kind) in [
        (1, 10, ErrorKind::InvalidAlias),
        (2, 0, ErrorKind::InvalidAlias),
        (2, 100, ErrorKind::InvalidAlias),
        (2, 10, ErrorKind::VersionNotFound),
    ] {
        let error = registry
            .canary(&model, &production, version(number), percent, None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }

    // A version that came past the publish road, with nothing that proves it.
    let mut draft = Draft::new(model.clone());
    draft.attach(Role::Model, "onnx", Bytes::from_static(b"graph"));
    let unproven = registry.publish(draft).await.unwrap().version;
    let targets = || vec![(unproven, 1)];
    let (_, seen) = registry.alias(&model, &production).await.unwrap();
    let results = [
        registry.set_alias(&model, &production, targets()).await,
        registry
            .swap_alias(&model, &production, targets(), Some(&seen))
            .await,
        registry.promote(&model, &production, unproven, None).await,
        registry
            .canary(&model, &production, unproven, 10, None)
            .await,
        registry.set_alias(&model, &alias("new"), targets()).await,
    ];
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unproven, "{error}");
    }
    let (record, after) = registry.alias(&model, &production).await.unwrap();
    assert_eq!((weights(&record), after), (vec![(1, 1)], seen));
}

/// Publishing, promoting and rolling back at once, while readers resolve and read all they meet:
/// none ever sees an alias without its version, or a version without its files. `DUNLIN_TEST_ROUNDS` says how often
/// each of eight publishers does it.
pub(super) async fn releases_race_with_readers(registry: &Registry) {
    let rounds = std::env::var("DUNLIN_TEST_ROUNDS");
    let rounds = rounds.map_or(5, |rounds| rounds.parse().expect("a number"));
    let (model, production) = (name("turmoil"), Alias::production());
    publish(registry, "turmoil", "0").await;
    registry
        .promote(&model, &production, version(1), None)
        .await
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers = (0..4u64).map(|reader| {
        let (registry, model, done) = (registry.clone(), model.clone(), done.clone());
        tokio::spawn(async move {
            let reference = ModelRef::from(model.clone());
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let version = registry.resolve(&reference, reads + reader).await.unwrap();
                let manifest = registry.manifest(&model, version.version).await.unwrap();
                for artifact in &manifest.artifacts {
                    registry.blob(artifact, None).await.unwrap();
                }
                reads += 1;
            }
            reads
        })
    });
    let readers: Vec<_> = readers.collect();
    let publishers = (0..8).map(|publisher| {
        let (registry, model, production) = (registry.clone(), model.clone(), production.clone());
        tokio::spawn(async move {
            let mut moves = 0;
            for round in 0..rounds {
                let content = format!("{publisher} {round}");
                let new = publish(&registry, "turmoil", &content).await.version;
                registry
                    .promote(&model, &production, new, None)
                    .await
                    .unwrap();
                moves += 1;
                if round % 2 == 1 {
                    match registry.roll_back(&model, &production, None).await {
                        Ok(_) => moves += 1,
                        // Others have rolled back to the first state meanwhile.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NoEarlierState),
                    }
                }
            }
            moves
        })
    });
    let mut moves = 0;
    for publisher in join_all(publishers.collect::<Vec<_>>()).await {
        moves += publisher.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let mut reads = 0;
    for reader in join_all(readers).await {
        reads += reader.unwrap();
    }
    println!(
        "{} publishes, {moves} moves of the alias, {reads} reads of whole versions",
        8 * rounds
    );
    let versions = registry.versions(&model).await.unwrap();
    assert_eq!(versions.len(), 8 * rounds + 1);
    let (record, _) = registry.alias(&model, &production).await.unwrap();
    let kept = moves.min(200);
    assert_eq!(record.history.len(), kept, "the last moves, 200 at most");
}
