//! Uploads: what becomes of an object under `uploads/`, and the report beside it.

use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_publishing::{Upload, UploadOptions, UploadReport};
use dunlin_registry::Registry;
use dunlin_storage::{ObjectKey, PutCondition, StoreOptions, open};
use serde_json::Value;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

struct Uploads {
    registry: Registry,
    _folder: TempDir,
}

fn digits(file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/digits");
    std::fs::read(folder.join(file)).expect("a file of the sample")
}

/// The sample as an archive, each file as `alter` leaves it; `None` leaves it out.
fn archive(alter: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Bytes {
    let mut names = vec![
        "model.toml".to_owned(),
        "model.onnx".to_owned(),
        "labels.txt".to_owned(),
    ];
    names.extend((0..10).map(|digit| format!("examples/{digit}.png")));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for name in names {
        let Some(bytes) = alter(&name, digits(&name)) else {
            continue;
        };
        let path = format!("digits/{name}");
        writer
            .start_file(path, SimpleFileOptions::default())
            .expect("a file");
        writer.write_all(&bytes).expect("its bytes");
    }
    writer.finish().expect("an archive").into_inner().into()
}

fn options() -> UploadOptions {
    UploadOptions {
        memory_bytes: 1 << 30,
        deadline: Some(Instant::now() + Duration::from_mins(5)),
    }
}

impl Uploads {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("file:{}", folder.path().display());
        let store = open(&url, &StoreOptions::default()).await.expect("a store");
        Self {
            registry: Registry::new(store),
            _folder: folder,
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Upload {
        let upload = Upload::of(key).expect("an upload");
        let put = self
            .registry
            .store()
            .put(&upload.key, bytes, PutCondition::Always);
        put.await.expect("it is stored");
        upload
    }

    async fn publish(&self, upload: &Upload, options: &UploadOptions) -> UploadReport {
        let report = upload
            .publish(&self.registry, options)
            .await
            .expect("no trouble");
        let key = ObjectKey::new(format!("{}.report.json", upload.key)).expect("a key");
        let stored = self.registry.store().get(&key).await.expect("a report");
        let stored: Value = serde_json::from_slice(&stored.bytes).expect("JSON");
        // Of several at once the last one's words stay; on the outcome they agree.
        let told = serde_json::to_value(&report).expect("JSON");
        for field in ["upload", "digest", "version", "refused"] {
            assert_eq!(stored[field], told[field], "{field}");
        }
        report
    }

    async fn versions(&self, model: &str) -> Vec<u64> {
        let name = model.parse().expect("a name");
        let versions = self.registry.versions(&name).await.expect("a list");
        versions
            .into_iter()
            .map(dunlin_registry::Version::get)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_becomes_one_version_however_often_it_is_told_of() {
    let uploads = Uploads::new().await;
    let upload = uploads
        .put(
            "uploads/numbers/march/digits.zip",
            archive(|_, bytes| Some(bytes)),
        )
        .await;
    // At once by four, then once more.
    let options = options();
    let publish = || uploads.publish(&upload, &options);
    let (a, b, c, d) = tokio::join!(publish(), publish(), publish(), publish());
    let again = publish().await;
    let reports = [a, b, c, d];
    for report in &reports {
        assert_eq!(
            (report.version, &report.refused),
            (again.version, &Vec::new())
        );
    }
    assert_eq!(uploads.versions("numbers").await.len(), 1);
    let version = again.version.expect("a version");
    let name = "numbers".parse().expect("a name");
    let manifest = uploads
        .registry
        .manifest(&name, version)
        .await
        .expect("it is there");
    assert!(manifest.is_proven());
    assert_eq!(manifest.task.as_deref(), Some("image-classification"));
    // Whoever may write into a folder may publish that model, not the one that model.toml names.
    let first = reports
        .iter()
        .find(|report| !report.notes.is_empty())
        .expect("notes");
    assert!(
        first.notes.iter().any(|note| note.contains("not digits")),
        "{first:?}"
    );
}

#[tokio::test]
async fn a_graph_alone_is_proven_on_inputs_of_our_own() {
    let uploads = Uploads::new().await;
    let upload = uploads
        .put("uploads/plain/net.onnx", digits("model.onnx").into())
        .await;
    let report = uploads.publish(&upload, &options()).await;
    assert_eq!(
        report.version.map(dunlin_registry::Version::get),
        Some(1),
        "{report:?}"
    );
    assert!(
        report.notes.iter().any(|note| note.contains("seeded")),
        "{report:?}"
    );
    // Other bytes under the same key are another upload.
    let upload = uploads
        .put("uploads/plain/net.onnx", digits("model.onnx").into())
        .await;
    uploads.publish(&upload, &options()).await;
    assert_eq!(uploads.versions("plain").await, [1]);
    let changed = archive(|name, bytes| (name == "model.onnx").then_some(bytes));
    let upload = uploads.put("uploads/plain/net.zip", changed).await;
    uploads.publish(&upload, &options()).await;
    assert_eq!(uploads.versions("plain").await, [1, 2]);
}

#[tokio::test]
async fn each_reason_for_refusal_is_told() {
    let uploads = Uploads::new().await;
    let wrong_labels = archive(|name, bytes| {
        // Seven is to be called eight, and one two.
        let text = String::from_utf8_lossy(&bytes).replace("label = \"7\"", "label = \"8\"");
        Some(match name {
            "model.toml" => text.replace("label = \"1\"", "label = \"2\"").into_bytes(),
            _ => bytes,
        })
    });
    let without_graph = archive(|name, bytes| (name != "model.onnx").then_some(bytes));
    let bomb =
        archive(|name, bytes| (name == "model.onnx").then(|| [bytes, vec![0; 8 << 20]].concat()));
    let (small, none_left) = (
        UploadOptions {
            memory_bytes: 4 << 20,
            deadline: None,
        },
        UploadOptions {
            deadline: Some(Instant::now()),
            ..options()
        },
    );
    let whole = || archive(|_, bytes| Some(bytes));
    for (file, bytes, options, reasons) in [
        (
            "labels.zip",
            wrong_labels,
            options(),
            &["examples/1.png", "examples/7.png"][..],
        ),
        ("graph.zip", without_graph, options(), &["model.onnx"]),
        ("text.onnx", "no graph".into(), options(), &["text"]),
        (
            "text.zip",
            "no archive".into(),
            options(),
            &["can't be unpacked"],
        ),
        ("bomb.zip", bomb, small.clone(), &["dunlin push"]),
        (
            "large.onnx",
            vec![0; 2 << 20].into(),
            small,
            &["dunlin push"],
        ),
        ("late.zip", whole(), none_left, &["dunlin push"]),
    ] {
        let upload = uploads.put(&format!("uploads/text/{file}"), bytes).await;
        let report = uploads.publish(&upload, &options).await;
        assert_eq!(report.version, None, "{file}: {report:?}");
        assert_eq!(report.refused.len(), reasons.len(), "{file}: {report:?}");
        for (reason, words) in report.refused.iter().zip(reasons) {
            assert!(reason.contains(words), "{file}: {reason}");
        }
    }
    assert!(uploads.versions("text").await.is_empty());
}
