//! The sample at other precisions: what is tried, what is refused, and what the manifest says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dunlin_publishing::{
    Candidate, Choice, Error, ErrorKind, Evaluation, Fate, Precision, ProveOptions, WeighOptions,
    Weighed,
};
use dunlin_registry::{Digest, Registry, Role};
use dunlin_storage::StoreOptions;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn digits() -> PathBuf {
    root().join("models/digits")
}

fn weigh(path: &Path, choice: Choice, evaluation: Evaluation) -> Result<Weighed, Error> {
    let options = WeighOptions {
        choice: Some(choice),
        evaluation,
        prove: ProveOptions {
            measure: Duration::ZERO,
            ..ProveOptions::default()
        },
        ..WeighOptions::default()
    };
    Candidate::read(path, None)?.weigh(&options, |_| ())
}

#[tokio::test]
async fn int8_is_published_with_what_it_was_chosen_from() {
    let weighed = weigh(&digits(), Choice::Int8, Evaluation::default()).unwrap();
    let [source, int8] = &weighed.trials[..] else {
        panic!("{:?}", weighed.trials)
    };
    assert_eq!(
        (source.precision, int8.precision),
        (Precision::Source, Precision::Int8)
    );
    assert_eq!(int8.fate, Fate::Chosen);
    assert_eq!(int8.accuracy, Some(1.0), "ten digits with their labels");
    assert!(
        int8.size.unwrap() * 2 < source.size.unwrap(),
        "{source:?} {int8:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let url = format!("file:{}", folder.path().display());
    let store = dunlin_storage::open(&url, &StoreOptions::default())
        .await
        .unwrap();
    let registry = Registry::new(store);
    let manifest = weighed
        .verified
        .publish(&registry, None)
        .await
        .unwrap()
        .manifest;
    let models: Vec<_> = manifest
        .artifacts
        .iter()
        .filter(|file| file.role == Role::Model)
        .collect();
    assert_eq!(models.len(), 2, "ONNX and its plan");
    for artifact in models {
        assert_eq!(artifact.precision.as_deref(), Some("int8"));
        assert!(
            artifact.measured.max_difference.unwrap() > 0.0,
            "from the source"
        );
    }
    let onnx = fs::read(digits().join("model.onnx")).unwrap();
    assert_eq!(manifest.provenance["source"], Digest::of(&onnx).to_string());
    assert_eq!(manifest.provenance["precisions"][1]["fate"], "chosen");
}

#[test]
fn auto_tries_all_of_them() {
    let weighed = weigh(&digits(), Choice::Auto, Evaluation::default()).unwrap();
    let tried: Vec<Precision> = weighed.trials.iter().map(|trial| trial.precision).collect();
    assert_eq!(tried, [Precision::Source, Precision::F16, Precision::Int8]);
    let chosen = weighed
        .trials
        .iter()
        .filter(|trial| trial.fate == Fate::Chosen);
    assert_eq!(chosen.count(), 1, "{:?}", weighed.trials);
}

#[test]
fn the_source_is_not_weighed() {
    let weighed = weigh(&digits(), Choice::Source, Evaluation::default()).unwrap();
    assert!(weighed.trials.is_empty());
    assert_eq!(
        weighed.verified.candidate().onnx().unwrap(),
        fs::read(digits().join("model.onnx")).unwrap()
    );
}

#[test]
fn labels_that_are_wrong_are_seen() {
    // Two of four files lie under the label of another digit: both precisions get the other two.
    let folder = tempfile::tempdir().unwrap();
    for (digit, label) in [("1", "1"), ("2", "2"), ("3", "7"), ("4", "7")] {
        fs::create_dir_all(folder.path().join(label)).unwrap();
        let file = digits().join(format!("examples/{digit}.png"));
        fs::copy(file, folder.path().join(label).join(format!("{digit}.png"))).unwrap();
    }
    fs::write(folder.path().join("1/.hidden"), "no picture").unwrap();
    let evaluation = Evaluation::read(folder.path()).unwrap();
    let weighed = weigh(&digits(), Choice::Int8, evaluation).unwrap();
    for trial in &weighed.trials {
        assert_eq!((trial.accuracy, trial.inputs), (Some(0.5), 4), "{trial:?}");
    }
}

#[test]
fn what_is_no_gain_is_refused() {
    let echo = root().join("tests/models/echo/echo-fp32.onnx");
    let error = weigh(&echo, Choice::F16, Evaluation::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precision);
    let message = error.to_string();
    assert!(
        message.contains("echo-fp32 at f16") && message.contains("no weights"),
        "{message}"
    );
    let weighed = weigh(&echo, Choice::Auto, Evaluation::default()).unwrap();
    assert_eq!(weighed.trials[0].fate, Fate::Chosen, "{:?}", weighed.trials);
}

#[test]
fn folders_that_cannot_be_evaluated_on() {
    let folder = tempfile::tempdir().unwrap();
    let error = Evaluation::read(folder.path()).unwrap_err();
    assert!(error.to_string().contains("no files"), "{error}");
    let error = Evaluation::read(&folder.path().join("nowhere")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Read);
    fs::create_dir_all(folder.path().join("label/deeper")).unwrap();
    let error = Evaluation::read(folder.path()).unwrap_err();
    assert!(error.to_string().contains("files alone"), "{error}");
}

#[test]
fn the_description_asks_where_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["model.onnx", "labels.txt"] {
        fs::copy(digits().join(file), folder.path().join(file)).unwrap();
    }
    let toml = folder.path().join("model.toml");
    fs::write(&toml, "labels = \"labels.txt\"\nprecision = \"f16\"\n").unwrap();
    let candidate = || Candidate::read(folder.path(), None);
    let weighed = candidate()
        .unwrap()
        .weigh(&WeighOptions::default(), |_| ())
        .unwrap();
    assert_eq!(weighed.trials[1].precision, Precision::F16);
    assert_eq!(weighed.trials[1].fate, Fate::Chosen);
    fs::write(&toml, "precision = \"f15\"\n").unwrap();
    let error = candidate().unwrap_err();
    assert!(
        error.to_string().contains("source, f16, int8 or auto"),
        "{error}"
    );
}
