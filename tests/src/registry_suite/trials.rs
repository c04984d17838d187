//! Guarded canaries and shadows: what hosts have counted moves an alias on, or back.

use std::time::Duration;

use dunlin_registry::{
    Alias, Counts, ErrorKind, Guard, ModelName, Outcome, Plan, Registry, Served, Shadow,
};
use futures_util::future::join_all;

use super::{alias, name, publish, version};

fn plan(gates: &str) -> Plan {
    Plan {
        steps: vec![10, 50],
        min_requests: 100,
        hold: Duration::ZERO,
        gates: gates.parse().unwrap(),
    }
}

async fn guard(registry: &Registry, model: &ModelName, alias: &Alias) -> Guard {
    let (record, _) = registry.alias(model, alias).await.unwrap();
    record.change.guard.unwrap()
}

/// A host's counts of version 2: requests, and those that failed.
fn counts(requests: u64, failed: u64) -> Counts {
    let mut served = Served {
        requests,
        ..Served::default()
    };
    if failed > 0 {
        served.errors.insert("inference_failed".into(), failed);
    }
    for _ in 0..requests - failed {
        served.times.add(Duration::from_millis(5));
    }
    let mut counts = Counts::default();
    counts.versions.insert(version(2), served);
    counts
}

pub(super) async fn a_guarded_canary_goes_on_and_back(registry: &Registry) {
    let (model, production) = (name("trial"), Alias::production());
    for _ in 1..=2 {
        publish(registry, "trial", "a").await;
    }
    registry
        .promote(&model, &production, version(1), None)
        .await
        .unwrap();
    let idle = registry.advance(&model, &production).await.unwrap();
    assert_eq!(idle.outcome, Outcome::Unguarded);

    let begin = |gates: &str| {
        let plan = plan(gates);
        let (registry, model, production) = (registry.clone(), model.clone(), production.clone());
        async move {
            registry
                .guarded_canary(&model, &production, version(2), &plan, None)
                .await
        }
    };
    // Good: three hosts together have seen enough.
    begin("errors=1%,p95=50ms").await.unwrap();
    for (step, (percent, outcome)) in [(50, Outcome::Advanced), (100, Outcome::Promoted)]
        .into_iter()
        .enumerate()
    {
        let guard = guard(registry, &model, &production).await;
        assert_eq!(guard.step, step);
        for host in ["a", "b"] {
            // Written again and again: the last one counts.
            for requests in [7, 40] {
                let counts = counts(requests, 0);
                let put = registry.put_counts(&model, &production, &guard, host, &counts);
                put.await.unwrap();
            }
        }
        let waits = registry.advance(&model, &production).await.unwrap();
        assert_eq!(
            (waits.outcome, waits.hosts),
            (Outcome::Waiting, 2),
            "{waits:?}"
        );
        let last = counts(21, 1);
        let put = registry.put_counts(&model, &production, &guard, "c", &last);
        put.await.unwrap();
        // However many look at once, it moves one step.
        let looks = (0..8).map(|_| registry.advance(&model, &production));
        let looks: Vec<_> = join_all(looks)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let moved: Vec<_> = looks
            .iter()
            .filter(|look| look.outcome == outcome)
            .collect();
        assert_eq!(moved.len(), 1, "{looks:?}");
        assert_eq!(moved[0].percent, percent);
    }
    let (record, _) = registry.alias(&model, &production).await.unwrap();
    assert_eq!(record.targets.len(), 1);
    assert_eq!(record.targets[0].version, version(2));
    let why = record.change.reason.unwrap();
    assert!(
        why.contains("errors 0.99 % (1 inference_failed) of 101"),
        "{why}"
    );

    // Bad: two failures are known to be too many before a hundred were seen.
    registry.roll_back(&model, &production, None).await.unwrap();
    begin("errors=1%").await.unwrap();
    let guard = guard(registry, &model, &production).await;
    let (few, many) = (counts(3, 2), counts(300, 0));
    let put = registry.put_counts(&model, &production, &guard, "a", &few);
    put.await.unwrap();
    let back = registry.advance(&model, &production).await.unwrap();
    assert_eq!(back.outcome, Outcome::RolledBack);
    let (record, _) = registry.alias(&model, &production).await.unwrap();
    assert_eq!(record.targets[0].version, version(1));
    let why = record.change.reason.unwrap();
    assert!(why.contains("canary of 2 failed at 10 %"), "{why}");

    // A host that hasn't heard of it yet writes on: nothing comes of it.
    let put = registry.put_counts(&model, &production, &guard, "a", &many);
    put.await.unwrap();
    let idle = registry.advance(&model, &production).await.unwrap();
    assert_eq!(idle.outcome, Outcome::Unguarded);

    // Moved by hand, it is no longer guarded.
    begin("errors=1%").await.unwrap();
    let by_hand = registry.canary(&model, &production, version(2), 30, None);
    assert_eq!(by_hand.await.unwrap().change.guard, None);
    let all = registry.advance_all().await.unwrap();
    assert!(all.iter().all(|(name, ..)| *name != model), "{all:?}");
}

pub(super) async fn plans_that_are_refused(registry: &Registry) {
    let (model, production) = (name("trial"), Alias::production());
    for refused in [
        Plan {
            steps: vec![],
            ..plan("errors=1%")
        },
        Plan {
            steps: vec![50, 10],
            ..plan("errors=1%")
        },
        Plan {
            steps: vec![50, 100],
            ..plan("errors=1%")
        },
        Plan {
            min_requests: 0,
            ..plan("errors=1%")
        },
        Plan {
            gates: dunlin_registry::Gates::default(),
            ..plan("errors=1%")
        },
    ] {
        let error = registry
            .guarded_canary(&model, &production, version(2), &refused, None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidAlias, "{error}");
    }
}

pub(super) async fn a_shadow_comes_and_goes(registry: &Registry) {
    let (model, staging) = (name("shadowed"), alias("staging"));
    for _ in 1..=3 {
        publish(registry, "shadowed", "a").await;
    }
    registry
        .promote(&model, &staging, version(1), None)
        .await
        .unwrap();
    let shadow = |number, percent| {
        let version = version(number);
        registry.set_shadow(&model, &staging, Some(Shadow { version, percent }))
    };
    let set = shadow(2, 5).await.unwrap();
    assert!(
        set.history.is_empty(),
        "it is no change of what the alias stands for"
    );
    for (number, percent) in [(1, 5), (2, 0), (2, 101)] {
        let error = shadow(number, percent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidAlias, "{error}");
    }
    let missing = shadow(9, 5).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::VersionNotFound);

    // It stays while the alias moves, until its version serves, or is deleted.
    let moved = registry
        .canary(&model, &staging, version(3), 10, None)
        .await
        .unwrap();
    assert_eq!(moved.shadow.map(|shadow| shadow.version), Some(version(2)));
    let moved = registry
        .promote(&model, &staging, version(2), None)
        .await
        .unwrap();
    assert_eq!(moved.shadow, None);
    shadow(3, 5).await.unwrap();
    registry.delete_version(&model, version(3)).await.unwrap();
    let (record, _) = registry.alias(&model, &staging).await.unwrap();
    assert_eq!(record.shadow, None);

    for (place, distance) in [(0, 0.5), (1, 2.0), (1, 3.0)] {
        let document = format!("{{\"distance\": {distance}}}");
        let put = registry.put_difference(&model, version(2), "host", place, document.into());
        put.await.unwrap();
    }
    let worst = registry.differences(&model, 10).await.unwrap();
    let distances: Vec<_> = worst.iter().map(|one| one["distance"].as_f64()).collect();
    assert_eq!(distances, [Some(3.0), Some(0.5)]);
}
