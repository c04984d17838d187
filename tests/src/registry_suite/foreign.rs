//! What others wrote: later programs, liars, failing disks.

use dunlin_registry::{Artifact, Error, ErrorKind, MANIFEST_LIMIT, Manifest, Registry, Version};
use dunlin_storage::PutCondition;
use serde_json::{Value, json};

use super::{alias, draft, key, name, publish};

/// Writes a manifest as another program might, and reads it.
async fn read_altered(registry: &Registry, alter: impl Fn(&mut Value)) -> Result<Manifest, Error> {
    let published = publish(registry, "altered", "a").await;
    let mut document = serde_json::to_value(&published).unwrap();
    alter(&mut document);
    let object = key(&format!(
        "models/altered/versions/{}.json",
        published.version
    ));
    let bytes = serde_json::to_vec(&document).unwrap();
    registry
        .store()
        .put(&object, bytes.into(), PutCondition::Always)
        .await
        .unwrap();
    registry.manifest(&name("altered"), published.version).await
}

pub(super) async fn later_documents(registry: &Registry) {
    let kept = read_altered(registry, |document| {
        document["signature"] = json!({"key": "ed25519", "n": 18_446_744_073_709_551_615_u64});
        document["artifacts"][0]["shards"] = json!([1, 2.5, null]);
        document["artifacts"][0]["measured"] = json!({"latency_ms": 1.5, "joules": 0.25});
        document["artifacts"][1]["role"] = json!("tokenizer");
    });
    let kept = kept.await.unwrap();
    let written: Value = serde_json::from_slice(&kept.to_json().unwrap()).unwrap();
    assert_eq!(written["signature"]["n"], 18_446_744_073_709_551_615_u64);
    assert_eq!(written["artifacts"][0]["shards"], json!([1, 2.5, null]));
    assert_eq!(written["artifacts"][0]["measured"]["joules"], 0.25);
    assert_eq!(written["artifacts"][1]["role"], "tokenizer");

    // A newer schema may look like anything beyond its number.
    let newer = read_altered(registry, |document| {
        *document = json!({"schema": 2, "name": ["of", "parts"]});
    });
    let error = newer.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerSchema);
    assert!(
        error
            .to_string()
            .contains("has schema 2, this program reads up to 1"),
        "{error}"
    );

    let (model, canary) = (name("altered"), alias("canary"));
    let targets = vec![(Version::FIRST, 1)];
    let record = registry
        .set_alias(&model, &canary, targets.clone())
        .await
        .unwrap();
    let mut document = serde_json::to_value(&record).unwrap();
    document["owners"] = json!({"team": 20});
    let object = key("models/altered/aliases/canary.json");
    let bytes = serde_json::to_vec(&document).unwrap();
    registry
        .store()
        .put(&object, bytes.into(), PutCondition::Always)
        .await
        .unwrap();
    let moved = registry.set_alias(&model, &canary, targets).await.unwrap();
    assert_eq!(moved.extra["owners"], json!({"team": 20}));
}

pub(super) async fn documents_that_lie(registry: &Registry) {
    type Alter = fn(&mut Value);
    let cases: [(&str, Alter, ErrorKind); 7] = [
        (
            "another name",
            |d| d["name"] = json!("other"),
            ErrorKind::InvalidManifest,
        ),
        (
            "another version",
            |d| d["version"] = json!(999),
            ErrorKind::InvalidManifest,
        ),
        (
            "no name at all",
            |d| d["name"] = json!("../../etc"),
            ErrorKind::InvalidManifest,
        ),
        (
            "a digest that is a path",
            |d| d["artifacts"][0]["digest"] = json!("sha256:../../x"),
            ErrorKind::InvalidManifest,
        ),
        (
            "schema 0",
            |d| d["schema"] = json!(0),
            ErrorKind::InvalidManifest,
        ),
        ("no object", |d| *d = json!([1]), ErrorKind::InvalidManifest),
        (
            "a megabyte more",
            |d| d["description"] = json!("x".repeat(MANIFEST_LIMIT)),
            ErrorKind::TooLarge,
        ),
    ];
    for (case, alter, kind) in cases {
        let error = read_altered(registry, alter).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{case}: {error}");
        assert!(
            error.to_string().contains("models/altered/versions/"),
            "{case}: {error}"
        );
    }

    let mut large = draft("large", "never stored");
    large.manifest.description = Some("x".repeat(MANIFEST_LIMIT));
    let blobs = registry.store().list("blobs/").await.unwrap().len();
    assert_eq!(
        registry.publish(large).await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    assert_eq!(registry.store().list("blobs/").await.unwrap().len(), blobs);
    assert!(!registry.models().await.unwrap().contains(&name("large")));
}

pub(super) async fn damaged_blobs(registry: &Registry) {
    let manifest = publish(registry, "damaged", "a graph of twenty-six bytes").await;
    let artifact: &Artifact = &manifest.artifacts[0];
    let blob = key(&format!("blobs/sha256/{}", artifact.digest.hex()));
    for (content, why) in [
        ("A graph of twenty-six bytes", "is damaged"),
        ("a graph", "is damaged"),
        ("", "is damaged"),
        (
            "a graph of twenty-six bytes, and more",
            "has more than the 27 bytes",
        ),
    ] {
        let put = registry
            .store()
            .put(&blob, content.into(), PutCondition::Always);
        put.await.unwrap();
        let error = registry.blob(artifact, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{content:?}: {error}");
        let text = error.to_string();
        assert!(
            text.contains(why) && text.contains(blob.as_str()),
            "{content:?}: {error}"
        );
    }
    // Publishing the right bytes again heals a blob of the wrong size.
    publish(registry, "damaged", "a graph of twenty-six bytes").await;
    registry.blob(artifact, None).await.unwrap();

    registry.store().delete(&blob).await.unwrap();
    let error = registry.blob(artifact, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("is missing"), "{error}");
}
