//! What an alias says of its versions' files, whoever moved it, and what is made of hints that lie.

use std::time::Duration;

use dunlin_registry::{
    Alias, AliasRecord, ErrorKind, Hint, ModelName, Outcome, Plan, Registry, Shadow, Version,
};
use dunlin_storage::PutCondition;
use serde_json::{Value, json};

use super::{alias, draft, key, name, publish, version};

/// Whether the alias hints at its targets and at nothing else, each as its manifest says; and so does its route.
async fn check(registry: &Registry, model: &ModelName, alias: &Alias, after: &str) {
    let (record, _) = registry.alias(model, alias).await.unwrap();
    let reference = format!("{model}@{alias}").parse().unwrap();
    let route = registry.route(&reference).await.unwrap();
    let mut hints = Vec::new();
    for target in &record.targets {
        let manifest = registry.manifest(model, target.version).await.unwrap();
        let hint = route.hint(target.version);
        assert_eq!(hint, Some(manifest.artifacts.as_slice()), "after {after}");
        hints.push(Hint {
            version: target.version,
            artifacts: manifest.artifacts,
        });
    }
    assert_eq!(record.hints, hints, "after {after}");
}

/// Writes an alias as another program might.
async fn write(registry: &Registry, record: &AliasRecord, alter: impl Fn(&mut Value)) {
    let mut document = serde_json::to_value(record).unwrap();
    alter(&mut document);
    let object = key(&format!("models/hinted/aliases/{}.json", record.alias));
    let bytes = serde_json::to_vec(&document).unwrap();
    let put = registry
        .store()
        .put(&object, bytes.into(), PutCondition::Always);
    put.await.unwrap();
}

pub(super) async fn every_move_hints_at_its_targets(registry: &Registry) {
    let (model, production) = (name("hinted"), Alias::production());
    for content in ["first", "second", "third", "fourth"] {
        publish(registry, "hinted", content).await;
    }
    let (r, m, a) = (registry, &model, &production);
    let v = version;
    r.set_alias(m, a, vec![(v(1), 1)]).await.unwrap();
    check(r, m, a, "set").await;
    let (_, seen) = r.alias(m, a).await.unwrap();
    let split = vec![(v(3), 1), (v(2), 1)];
    r.swap_alias(m, a, split, Some(&seen)).await.unwrap();
    check(r, m, a, "swap").await;
    r.promote(m, a, v(2), None).await.unwrap();
    check(r, m, a, "promote").await;
    r.canary(m, a, v(3), 10, None).await.unwrap();
    check(r, m, a, "canary").await;
    let shadow = Shadow {
        version: v(1),
        percent: 5,
    };
    r.set_shadow(m, a, Some(shadow)).await.unwrap();
    check(r, m, a, "shadow").await;
    r.roll_back(m, a, None).await.unwrap();
    check(r, m, a, "rollback").await;

    let plan = Plan {
        steps: vec![10],
        min_requests: 1,
        hold: Duration::ZERO,
        gates: "errors=1%".parse().unwrap(),
    };
    r.guarded_canary(m, a, v(4), &plan, None).await.unwrap();
    check(r, m, a, "a guarded canary").await;
    let (record, _) = r.alias(m, a).await.unwrap();
    let guard = record.change.guard.unwrap();
    let mut counts = dunlin_registry::Counts::default();
    let served = dunlin_registry::Served {
        requests: 9,
        ..Default::default()
    };
    counts.versions.insert(v(4), served);
    r.put_counts(m, a, &guard, "host", &counts).await.unwrap();
    let moved = r.advance(m, a).await.unwrap();
    assert_eq!(moved.outcome, Outcome::Promoted, "{moved:?}");
    check(r, m, a, "its promotion").await;

    r.canary(m, a, v(3), 10, None).await.unwrap();
    r.delete_version(m, v(4)).await.unwrap();
    check(r, m, a, "a deletion").await;
}

pub(super) async fn an_alias_is_read_whatever_its_hints_are(registry: &Registry) {
    let (model, odd) = (name("hinted"), alias("odd"));
    let targets = vec![(version(1), 1)];
    let record = registry.set_alias(&model, &odd, targets).await.unwrap();
    let artifact = serde_json::to_value(&record.hints[0].artifacts[0]).unwrap();
    for hints in [
        Value::Null,
        json!("all of them"),
        json!([{"version": 0, "artifacts": []}]),
        json!([{"version": 1, "artifacts": [{"role": "model", "digest": "sha256:../../x"}]}]),
        json!([{"version": 1, "artifacts": vec![artifact.clone(); 1000]}]),
        json!([{"version": 2, "artifacts": [artifact]}]),
    ] {
        write(registry, &record, |document| {
            document["hints"] = hints.clone();
        })
        .await;
        let route = registry
            .route(&"hinted@odd".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(route.targets(), record.targets, "{hints}");
        assert_eq!(route.hint(version(1)), None, "{hints}");
    }
    // An older program knows of none, and the next move makes them.
    write(registry, &record, |document| {
        document.as_object_mut().unwrap().remove("hints");
    })
    .await;
    let (read, _) = registry.alias(&model, &odd).await.unwrap();
    assert_eq!(read.hints, []);
    registry
        .promote(&model, &odd, version(2), None)
        .await
        .unwrap();
    check(registry, &model, &odd, "an older program").await;
}

pub(super) async fn an_alias_moves_also_where_hints_have_no_room(registry: &Registry) {
    let (model, production) = (name("much"), Alias::production());
    let put = |number: u64, targets: Vec<(Version, u32)>| {
        let (model, production) = (model.clone(), production.clone());
        async move {
            let moved = registry
                .set_alias(&model, &production, targets)
                .await
                .unwrap();
            assert_eq!(moved.hints, [], "version {number}");
            let (read, _) = registry.alias(&model, &production).await.unwrap();
            assert_eq!(read, moved);
        }
    };
    let mut long = draft("much", "a graph that much is said of");
    let words = json!("x".repeat(600 << 10));
    long.manifest.artifacts[0]
        .extra
        .insert("words".into(), words);
    registry.publish(long.clone()).await.unwrap();
    registry.publish(long).await.unwrap();
    put(1, vec![(version(1), 1), (version(2), 1)]).await;

    let mut many = draft("much", "a graph of many files");
    let again = many.manifest.artifacts[0].clone();
    many.manifest.artifacts.resize(500, again);
    registry.publish(many).await.unwrap();
    put(3, vec![(version(3), 1)]).await;
    let error = registry
        .promote(&model, &production, version(9), None)
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::VersionNotFound);
}
