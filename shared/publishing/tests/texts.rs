//! Models that take texts and series on the publish road.

use std::path::{Path, PathBuf};

use dunlin_publishing::{Candidate, CompileOptions, Error, ErrorKind, ProveOptions, Verified};
use dunlin_registry::{Registry, Role};
use dunlin_storage::{StoreOptions, open};
use tempfile::TempDir;

/// One of the tiny models of `tests/models/texts`.
fn tiny(name: &str) -> PathBuf {
    let folder = "../../tests/models/texts";
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name)
}

fn prove(folder: &Path) -> Result<Verified, Error> {
    let options = ProveOptions {
        measure: std::time::Duration::ZERO,
        ..ProveOptions::default()
    };
    Candidate::read(folder, None)?
        .compile(&CompileOptions::default())?
        .prove(&options)
}

/// A copy of the model `spam` with a file changed; a file of nothing is left out.
fn changed(file: &str, change: impl Fn(&str) -> String) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("examples")).unwrap();
    let files = ["model.onnx", "model.toml", "tokenizer.json", "labels.txt"];
    for name in files
        .into_iter()
        .chain(["examples/ham.txt", "examples/spam.txt"])
    {
        let bytes = std::fs::read(tiny("spam").join(name)).unwrap();
        let bytes = if name == file {
            change(std::str::from_utf8(&bytes).unwrap()).into_bytes()
        } else {
            bytes
        };
        if !bytes.is_empty() {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
    }
    folder
}

#[tokio::test]
async fn a_tokenizer_goes_with_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file:{}", folder.path().display());
    let registry = Registry::new(open(&url, &StoreOptions::default()).await.unwrap());
    for (name, examples) in [("spam", 2), ("words", 2), ("weather", 1)] {
        let verified = tokio::task::spawn_blocking(move || prove(&tiny(name)).unwrap());
        let verified = verified.await.unwrap();
        assert_eq!(verified.examples().examples.len(), examples);
        let published = verified.publish(&registry, None).await.unwrap();
        let tokenizer = published.manifest.artifact(&Role::Tokenizer, "json");
        assert_eq!(tokenizer.is_some(), name != "weather");
        if let Some(tokenizer) = tokenizer {
            let file = std::fs::read(tiny(name).join("tokenizer.json")).unwrap();
            assert_eq!(registry.blob(tokenizer, None).await.unwrap(), file);
        }
    }
}

#[test]
fn what_is_refused_says_why() {
    let transforms = ErrorKind::Transforms(dunlin_transforms::ErrorKind::InvalidSpec);
    let more = |text: &str| {
        let mut file: serde_json::Value = serde_json::from_str(text).unwrap();
        let vocabulary = file["model"]["vocab"].as_object_mut().unwrap();
        vocabulary.insert("sesquipedalian".into(), vocabulary.len().into());
        file.to_string()
    };
    let unpadded = |text: &str| {
        let mut file: serde_json::Value = serde_json::from_str(text).unwrap();
        file["padding"] = serde_json::Value::Null;
        file.to_string().replace("[PAD]", "[VOID]")
    };
    let cases = [
        (
            changed("tokenizer.json", |_| String::new()),
            ErrorKind::Read,
            "tokenizer.json",
        ),
        (
            changed("tokenizer.json", |_| "{\"a\": 1}".to_owned()),
            transforms,
            "tokenizer.json: the tokenizer's file can't be read",
        ),
        (
            changed("tokenizer.json", more),
            ErrorKind::Unproven,
            "the last of its tokenizer",
        ),
        (
            changed("tokenizer.json", unpadded),
            transforms,
            "`tokenizer.enable_padding(",
        ),
        (
            changed("examples/ham.txt", |_| "free money!!!".to_owned()),
            ErrorKind::Unproven,
            "examples/ham.txt: want label \"ham\" first, got \"spam\"",
        ),
        (
            changed("model.toml", |text| {
                text.replace("max_tokens = 64", "max_tokens = 2")
            }),
            transforms,
            "no room for text",
        ),
    ];
    for (folder, kind, says) in cases {
        let error = prove(folder.path()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}, not {says}");
        assert_eq!(error.kind(), kind, "{error}");
    }
}
