//! The whole road on the real sample, and the ways to fall off it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dunlin_engine::{ENGINE, LoadOptions, Model, PLAN_FORMAT, Target};
use dunlin_protocol::{NamedTensor, Tensor};
use dunlin_publishing::{Candidate, CompileOptions, Error, ErrorKind, ProveOptions, Verified};
use dunlin_registry::examples::{ExampleLimits, ExamplePack, FORMAT};
use dunlin_registry::{Manifest, Registry, Role};
use dunlin_storage::StoreOptions;
use dunlin_transforms::{Files, Limits, Pipeline, Spec, parse_labels};
use tempfile::TempDir;

const EXAMPLE: &str = "[[examples]]\nfile = \"examples/7.png\"\nlabel = 7\n";
const TRANSFORMS: &str = "labels = \"labels.txt\"\n[input]\nkind = \"image\"\nsize = [28, 28]\ncolor = \"grey\"\n\
                          [output]\nkind = \"classification\"\nactivation = \"softmax\"\n";

fn digits() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/digits")
}

/// A copy of the sample's files under another description.
fn folder(model_toml: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("examples")).unwrap();
    for file in ["model.onnx", "examples/7.png", "examples/8.png"] {
        fs::copy(digits().join(file), folder.path().join(file)).unwrap();
    }
    fs::write(
        folder.path().join("labels.txt"),
        "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n",
    )
    .unwrap();
    fs::write(folder.path().join("model.toml"), model_toml).unwrap();
    folder
}

fn prove(path: &Path, options: &ProveOptions) -> Result<Verified, Error> {
    Candidate::read(path, None)?
        .compile(&CompileOptions::default())?
        .prove(options)
}

/// Proofs without runs that only measure.
fn quick() -> ProveOptions {
    ProveOptions {
        measure: Duration::ZERO,
        ..ProveOptions::default()
    }
}

async fn registry(folder: &TempDir) -> Registry {
    let url = format!("file:{}", folder.path().display());
    Registry::new(
        dunlin_storage::open(&url, &StoreOptions::default())
            .await
            .unwrap(),
    )
}

/// What a host does after it loaded a model, from what is stored alone.
async fn replay(registry: &Registry, manifest: &Manifest) -> usize {
    let fetch = async |role, format| {
        let artifact = manifest.artifact(&role, format)?;
        Some(registry.blob(artifact, None).await.unwrap())
    };
    let onnx = fetch(Role::Model, "onnx").await.unwrap();
    let model = Model::load("replayed", onnx, &LoadOptions::default()).unwrap();
    let labels = fetch(Role::Labels, "text")
        .await
        .map(|labels| parse_labels(&labels).unwrap());
    let spec: Option<Spec> = serde_json::from_value(manifest.transforms.clone()).unwrap();
    let spec = spec.unwrap_or_default();
    let pipeline = Pipeline::new(
        &spec,
        &manifest.inputs,
        &manifest.outputs,
        Files {
            labels: labels.unwrap_or_default(),
            tokenizer: None,
        },
        Limits::default(),
    );
    let pipeline = pipeline.unwrap();
    let pack = fetch(Role::Examples, FORMAT).await.unwrap();
    let pack = ExamplePack::decode(&pack, &ExampleLimits::default()).unwrap();
    let replayed = pack.replay(Some(Instant::now() + Duration::from_mins(1)), |example| {
        let inputs = example.inputs::<Box<dyn std::error::Error>>(|body, content_type| {
            Ok(pipeline.decode(body, content_type)?.inputs)
        })?;
        Ok::<_, Box<dyn std::error::Error>>(model.run(inputs)?)
    });
    let replayed = replayed.unwrap();
    assert!(replayed.max_difference < 1e-4);
    replayed.replayed
}

#[tokio::test]
async fn the_sample_is_published_and_replayed() {
    let store = tempfile::tempdir().unwrap();
    let registry = registry(&store).await;
    for version in 1..=2 {
        let verified = prove(&digits(), &quick()).unwrap();
        assert_eq!(verified.examples().examples.len(), 10);
        let size = verified.size();
        let told = Arc::new(AtomicU64::new(0));
        let counter = told.clone();
        let progress = Arc::new(move |bytes| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        });
        let published = verified.publish(&registry, Some(progress)).await.unwrap();
        assert_eq!(told.load(Ordering::Relaxed), size);
        assert_eq!(published.manifest.version.get(), version);
    }
    let name = "digits".parse().unwrap();
    let manifest = registry
        .manifest(&name, 2.try_into().unwrap())
        .await
        .unwrap();
    assert_eq!(manifest.task.as_deref(), Some("image-classification"));
    assert_eq!(manifest.inputs[0].shape, [-1, 1, 28, 28]);
    assert_eq!(manifest.outputs[0].name, "logits");
    let measured = &manifest.artifact(&Role::Model, "onnx").unwrap().measured;
    assert!(measured.latency_ms.unwrap() > 0.0 && measured.load_ms.unwrap() > 0.0);
    assert!(measured.memory_bytes.unwrap() > 400_000);
    assert!(measured.max_difference.unwrap() < 1e-4);
    assert_eq!(replay(&registry, &manifest).await, 10);
    let plan = manifest
        .artifact(&Role::Model, PLAN_FORMAT)
        .expect("a plan");
    assert_eq!(plan.target.as_deref(), Some(&*Target::host().to_string()));
    assert_eq!(plan.engine.as_deref(), Some(ENGINE));
    assert!(plan.measured.load_ms.unwrap() > 0.0, "{manifest:?}");
    assert!(plan.measured.max_difference.unwrap() < 1e-4);
    // The same bytes twice: the graph, the labels and the examples are stored once. A plan tells
    // how batches were measured to run fastest, so two may differ.
    let first = registry
        .manifest(&name, 1.try_into().unwrap())
        .await
        .unwrap();
    let plans = if first.artifacts == manifest.artifacts {
        1
    } else {
        2
    };
    let blobs = registry.store().list("blobs/").await.unwrap().len();
    assert!(blobs == 3 + 1 || blobs == 3 + plans, "{blobs} blobs");
}

#[test]
fn tensors_are_examples_too() {
    let mut candidate = Candidate::read(&digits().join("model.onnx"), None).unwrap();
    let image = Tensor::from_vec(vec![3, 1, 28, 28], vec![0.5_f32; 3 * 784]).unwrap();
    let inputs = vec![NamedTensor::new("image", image)];
    candidate.add_example("grey", inputs.clone()).unwrap();
    let compiled = candidate.compile(&CompileOptions::default()).unwrap();
    let wanted = compiled.model().run(inputs).unwrap();
    let verified = compiled.prove(&quick()).unwrap();
    let example = &verified.examples().examples[0];
    assert_eq!(
        (&*example.name, example.outputs[0].tensor.shape()),
        ("grey", &[3, 10][..])
    );
    assert_eq!(example.outputs, wanted);
    assert!(verified.plan().is_some());
}

#[tokio::test]
async fn a_bare_graph_tells_what_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("My Digits (final).onnx");
    fs::copy(digits().join("model.onnx"), &file).unwrap();
    let candidate = Candidate::read(&file, None).unwrap();
    assert_eq!(candidate.name().as_str(), "My-Digits-final");
    assert_eq!(
        candidate.description().task.as_deref(),
        Some("image-classification")
    );
    let notes = candidate.notes().join("\n");
    assert!(
        notes.contains("name My-Digits-final, from the file's name"),
        "{notes}"
    );
    assert!(
        notes.contains("task image-classification, from one picture-like input \"image\""),
        "{notes}"
    );
    assert!(notes.contains("no transforms"), "{notes}");
    assert_eq!(
        Candidate::read(&file, Some("mine"))
            .unwrap()
            .name()
            .as_str(),
        "mine"
    );

    let verified = prove(&file, &quick()).unwrap();
    let notes = verified.candidate().notes().join("\n");
    assert!(notes.contains("proven on 2 seeded inputs"), "{notes}");
    let store = tempfile::tempdir().unwrap();
    let registry = registry(&store).await;
    let manifest = verified.publish(&registry, None).await.unwrap().manifest;
    assert!(
        manifest.transforms.is_null(),
        "transforms are never invented"
    );
    assert_eq!(replay(&registry, &manifest).await, 2);
}

#[test]
fn a_folder_may_hold_a_graph_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("plain");
    fs::create_dir(&inner).unwrap();
    fs::copy(digits().join("model.onnx"), inner.join("model.onnx")).unwrap();
    assert_eq!(
        Candidate::read(&inner, None).unwrap().name().as_str(),
        "plain"
    );
}

#[test]
fn parts_come_from_anywhere() {
    let toml = format!("name = \"embedded\"\n{TRANSFORMS}{EXAMPLE}");
    let files = |file: &str| match file {
        "labels.txt" => Some("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n".into()),
        file => fs::read(digits().join(file)).ok().map(Into::into),
    };
    let candidate = Candidate::from_parts(&toml, files).unwrap();
    let verified = candidate
        .compile(&CompileOptions::default())
        .unwrap()
        .prove(&quick())
        .unwrap();
    assert_eq!(verified.examples().examples[0].label.as_deref(), Some("7"));

    let error = Candidate::from_parts(&toml, |file| {
        (file == "model.onnx").then(|| files(file)).flatten()
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"labels.txt\", which model.toml names, is missing"
    );
    let error = Candidate::from_parts("", files).unwrap_err();
    assert!(
        error.to_string().contains("model name \"\": is empty"),
        "{error}"
    );
}

#[test]
fn every_failing_example_is_listed() {
    let toml = format!(
        "name = \"wrong\"\n{TRANSFORMS}{EXAMPLE}\
         [[examples]]\nfile = \"examples/8.png\"\nlabel = \"3\"\n\
         [[examples]]\nfile = \"cut.png\"\nlabel = \"7\"\n\
         [[examples]]\nfile = \"text.png\"\n"
    );
    let folder = folder(&toml);
    let whole = fs::read(digits().join("examples/7.png")).unwrap();
    fs::write(folder.path().join("cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.path().join("text.png"), "not a picture").unwrap();
    let error = prove(folder.path(), &quick()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unproven);
    let names: Vec<_> = error
        .failures()
        .iter()
        .map(|failure| failure.example.as_str())
        .collect();
    assert_eq!(names, ["examples/8.png", "cut.png", "text.png"]);
    let text = error.to_string();
    assert!(
        text.starts_with("wrong is not proven: 3 of 4 examples failed\n"),
        "{text}"
    );
    assert!(
        text.contains("examples/8.png: want label \"3\" first, got \"8\" with score 0.9"),
        "{text}"
    );
}

#[test]
fn what_is_refused_says_why() {
    struct Case {
        toml: String,
        kind: fn(ErrorKind) -> bool,
        why: &'static str,
    }
    let case = |toml: &str, kind, why| Case {
        toml: format!("name = \"x\"\n{toml}"),
        kind,
        why,
    };
    let cases = [
        case(
            "model = \"absent.onnx\"",
            |k| k == ErrorKind::Read,
            "absent.onnx",
        ),
        case(
            "model = \"labels.txt\"",
            |k| matches!(k, ErrorKind::Model(_)),
            "x",
        ),
        case(
            "model = \"cut.onnx\"",
            |k| matches!(k, ErrorKind::Model(_)),
            "x",
        ),
        case(
            "labels = \"absent.txt\"",
            |k| k == ErrorKind::Read,
            "absent.txt",
        ),
        case(
            "[[examples]]\nfile = \"absent.png\"",
            |k| k == ErrorKind::Read,
            "absent.png",
        ),
        case(
            "[input]\nkind = \"image\"\nsize = [99, 99]",
            |k| matches!(k, ErrorKind::Transforms(_)),
            "99",
        ),
        case(
            "[output]\nkind = \"classification\"\ntensor = \"nope\"",
            |k| matches!(k, ErrorKind::Transforms(_)),
            "nope",
        ),
        case(
            "labels = \"two.txt\"\n[output]\nkind = \"classification\"",
            |k| matches!(k, ErrorKind::Transforms(_)),
            "2",
        ),
        case(
            &format!("[input]\nkind = \"image\"\n{EXAMPLE}"),
            |k| k == ErrorKind::Unproven,
            "declare [output]",
        ),
    ];
    for Case { toml, kind, why } in cases {
        let folder = folder(&toml);
        let onnx = fs::read(digits().join("model.onnx")).unwrap();
        fs::write(folder.path().join("cut.onnx"), &onnx[..onnx.len() / 2]).unwrap();
        fs::write(folder.path().join("two.txt"), "no\nyes\n").unwrap();
        let error = prove(folder.path(), &quick()).expect_err(&toml);
        assert!(kind(error.kind()), "{toml}: {:?}", error.kind());
        assert!(error.to_string().contains(why), "{toml}: {error}");
    }

    let empty = tempfile::tempdir().unwrap();
    let error = Candidate::read(empty.path(), None).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("holds no model.toml and no model.onnx"),
        "{error}"
    );
    let error = Candidate::read(&empty.path().join("absent.onnx"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Read);
    let error = Candidate::read(&digits(), Some("../digits")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("model name \"../digits\": holds '/'"),
        "{error}"
    );
}

#[test]
fn a_proof_has_a_time_limit() {
    let options = ProveOptions {
        time_limit: Duration::ZERO,
        ..quick()
    };
    let error = prove(&digits(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooSlow, "{error}");
}
