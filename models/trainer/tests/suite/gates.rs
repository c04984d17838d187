//! Gates against the version that serves, with models that were really trained.

use std::fmt::Write as _;

use dunlin_registry::{Alias, Registry, Version};
use dunlin_storage::StoreOptions;
use serde_json::Value;

use crate::trainer::Trainer;

/// Hardly trained, and well.
const POOR: [&str; 7] = [
    "resnet",
    "--epochs",
    "1",
    "--batch",
    "64",
    "--learning-rate",
    "0.0001",
];
const GOOD: [&str; 7] = [
    "resnet",
    "--epochs",
    "4",
    "--batch",
    "8",
    "--learning-rate",
    "0.01",
];

const PUBLISH: [&str; 5] = ["--publish", "shapes", "--store", "file:store", "--fresh"];

fn run(trainer: &Trainer, training: &[&str], gate: &str, exit: i32) -> [String; 2] {
    let options = [training, &PUBLISH, &["--require", gate]].concat();
    let output = trainer.run(&options, exit);
    [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
}

async fn registry(trainer: &Trainer) -> Registry {
    let url = format!("file:{}", trainer.path("store").display());
    let store = dunlin_storage::open(&url, &StoreOptions::default()).await;
    Registry::new(store.unwrap())
}

#[tokio::test]
async fn only_what_beats_production_is_published() {
    let trainer = Trainer::new(60);
    let name = "shapes".parse().unwrap();
    // Nothing serves yet: it says so, and publishes.
    let [out, _] = run(&trainer, &POOR, "accuracy>=production+0.1 (p<0.05)", 0);
    assert!(
        out.contains("is met") && out.contains("no version serves yet"),
        "{out}"
    );
    assert!(out.contains("published shapes@1"), "{out}");

    // Better than the newest, which serves as long as no alias says otherwise.
    let [out, err] = run(&trainer, &GOOD, "accuracy>=production+0.1 (p<0.05)", 0);
    assert!(err.contains("production shapes@1: accuracy"), "{err}");
    assert!(out.contains("published shapes@2"), "{out}");
    let report = trainer.report("runs/shapes/model");
    let verdict = &report["gates"][0];
    let figure = |value: &Value| value.as_f64().unwrap();
    assert_eq!(verdict["met"], true);
    assert!(figure(&verdict["value"]) >= figure(&verdict["production"]) + 0.1);
    assert!(figure(&verdict["p"]) < 0.05);
    assert_eq!(report["production"]["version"], "shapes@1");
    // It was asked about the same pictures.
    let count = |of: &Value| of["metrics"]["count"].as_u64().unwrap();
    assert_eq!(count(&report), count(&report["production"]));
    let page = std::fs::read_to_string(trainer.path("runs/shapes/model/report.html")).unwrap();
    assert!(page.contains("accuracy&gt;=production+0.1 (p&lt;0.05)"));
    let registry = registry(&trainer).await;
    let manifest = registry
        .manifest(&name, Version::new(2).unwrap())
        .await
        .unwrap();
    let told = manifest.metrics["gates"][0].as_str().unwrap();
    assert!(told.contains("shapes@1 has"), "{told}");

    // Worse: nothing is published, and the reason is told.
    let [out, err] = run(&trainer, &POOR, "accuracy>=production", 8);
    assert!(
        out.contains("is not met") && !out.contains("published"),
        "{out}"
    );
    for wanted in [
        "shapes@2 has",
        "accuracy>=production is required",
        "nothing was published",
    ] {
        assert!(err.contains(wanted), "{wanted}: {err}");
    }
    assert_eq!(
        trainer.report("runs/shapes/model")["gates"][0]["met"],
        false
    );
    assert_eq!(registry.versions(&name).await.unwrap().len(), 2);

    // The alias counts, not the newest. The same model again: as good, and not shown to be better.
    let one = vec![(Version::new(1).unwrap(), 1)];
    let alias = Alias::production();
    registry.set_alias(&name, &alias, one).await.unwrap();
    let [_, err] = run(&trainer, &POOR, "accuracy>=production (p<0.05)", 8);
    assert!(err.contains("shapes@1 has"), "{err}");
    run(&trainer, &POOR, "accuracy>=production", 0);

    // A model of other classes can't be compared, which is known before anything is trained.
    for label in crate::pictures::CLASSES {
        let folder = |name: &str| trainer.path("data").join(name);
        std::fs::rename(folder(label), folder(&format!("a {label} bar"))).unwrap();
    }
    let [_, err] = run(&trainer, &GOOD, "accuracy>=production", 2);
    assert!(err.contains("it knows none of the classes"), "{err}");
    assert!(!err.contains("epoch"), "{err}");
}

#[test]
fn of_a_forecast_less_error_is_better() {
    let mut rows = "hour,level\n".to_owned();
    for hour in 0..600_u32 {
        let level = f64::from(hour % 12) + f64::from(hour * 7 % 5) * 0.1;
        let _ = writeln!(rows, "{hour},{level}");
    }
    let trainer = Trainer::with_file("levels.csv", &rows);
    let training = [
        "rnn",
        "--columns",
        "level",
        "--length",
        "24",
        "--steps",
        "6",
        "--season",
        "12",
        "--epochs",
        "1",
        "--width",
        "4",
    ];
    run(&trainer, &training, "mae<=production", 0);
    let [out, _] = run(&trainer, &training, "mae<=production", 0);
    assert!(out.contains("shapes@1 has"), "{out}");
    let [_, err] = run(&trainer, &training, "mae<=production-0.01", 8);
    assert!(err.contains("mae<=production-0.01 is required"), "{err}");
}

/// A schedule gives the same command again and again: first nothing serves, then what it has published.
#[test]
fn pairs_are_held_against_the_version_that_serves() {
    let trainer = Trainer::with_file("all.jsonl", &crate::texts::pairs(432));
    let training = |epochs, rate| {
        let columns = ["embed", "--text", "question", "--pair", "answer"];
        let network = ["--width", "32", "--max-tokens", "32", "--vocabulary", "400"];
        let steps = ["--batch", "32", "--epochs", epochs, "--learning-rate", rate];
        [&columns[..], &network, &steps].concat()
    };
    let (poor, good) = (training("1", "0.00001"), training("12", "0.002"));
    let [out, _] = run(&trainer, &poor, "recall_at_1>=production (p<0.05)", 0);
    assert!(
        out.contains("no version serves yet") && out.contains("published shapes@1"),
        "{out}"
    );

    let [out, err] = run(&trainer, &good, "recall_at_1>=production+0.05 (p<0.05)", 0);
    assert!(err.contains("production shapes@1: found first"), "{err}");
    assert!(
        out.contains("shapes@1 has") && out.contains("published shapes@2"),
        "{out}"
    );
    let report = trainer.report("runs/shapes/model");
    let figure = |value: &Value| value.as_f64().unwrap();
    let verdict = &report["gates"][0];
    assert!(figure(&verdict["value"]) > figure(&verdict["production"]) + 0.05);
    assert!(figure(&verdict["p"]) < 0.05);
    let count = |of: &Value| of["metrics"]["count"].as_u64().unwrap();
    assert_eq!(count(&report), count(&report["production"]));

    // Nothing new to learn: as good as what serves, and not shown to be better.
    let [_, err] = run(&trainer, &good, "recall_at_1>=production (p<0.05)", 8);
    assert!(err.contains("shapes@2 has"), "{err}");
    let [out, _] = run(&trainer, &good, "mrr>=production", 0);
    assert!(out.contains("published shapes@3"), "{out}");
    let [_, err] = run(&trainer, &poor, "recall_at_10>=production", 8);
    assert!(
        err.contains("recall_at_10>=production is required"),
        "{err}"
    );
}

#[test]
fn a_gate_against_production_needs_a_name_and_a_store() {
    let trainer = Trainer::new(30);
    for (options, want) in [
        (&["--store", "file:store"][..], "--publish NAME"),
        (&["--publish", "shapes"], "--store"),
    ] {
        let gate = ["resnet", "--require", "accuracy>=production"];
        let output = trainer.run(&[&gate[..], options].concat(), 2);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(want), "{text}");
    }
}
