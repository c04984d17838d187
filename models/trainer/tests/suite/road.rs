//! Train, evaluate, publish.

use std::fs;

use dunlin_registry::{Manifest, Registry, Role};
use dunlin_storage::StoreOptions;

use crate::pictures::CLASSES;
use crate::trainer::Trainer;

const TRAINING: [&str; 7] = [
    "resnet",
    "--epochs",
    "4",
    "--batch",
    "8",
    "--learning-rate",
    "0.01",
];

async fn manifests(trainer: &Trainer) -> Vec<Manifest> {
    let url = format!("file:{}", trainer.path("store").display());
    let registry = Registry::new(
        dunlin_storage::open(&url, &StoreOptions::default())
            .await
            .unwrap(),
    );
    let name = "shapes".parse().unwrap();
    let mut manifests = Vec::new();
    for version in registry.versions(&name).await.unwrap() {
        manifests.push(registry.manifest(&name, version).await.unwrap());
    }
    manifests
}

#[tokio::test]
async fn a_model_is_trained_evaluated_and_published() {
    let trainer = Trainer::new(60);
    let publish = ["--publish", "shapes", "--store", "file:store"];
    // A gate that no model passes.
    let closed = [&TRAINING[..], &publish, &["--require", "accuracy>=1.01"]].concat();
    let output = trainer.run(&closed, 8);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("accuracy is") && text.contains("nothing was published"),
        "{text}"
    );
    assert!(manifests(&trainer).await.is_empty());
    let energy = trainer.report("runs/shapes/model")["energy_wh"].as_f64();

    // The run is complete: the same command evaluates once more, and publishes.
    let open = [
        &TRAINING[..],
        &publish,
        &["--require", "accuracy>=0.9", "--license", "CC0-1.0"],
        &["--price-per-hour", "3600"],
    ]
    .concat();
    let output = trainer.run(&open, 0);
    assert!(String::from_utf8_lossy(&output.stdout).contains("published shapes@1"));
    let manifests = manifests(&trainer).await;
    let [manifest] = &manifests[..] else {
        panic!("one version");
    };
    assert_eq!(manifest.task.as_deref(), Some("image-classification"));
    assert_eq!(manifest.license.as_deref(), Some("CC0-1.0"));
    assert!(manifest.metrics["accuracy"].as_f64().unwrap() >= 0.9);
    assert_eq!(
        manifest.metrics["confusion"].as_array().unwrap().len(),
        CLASSES.len()
    );
    assert_eq!(manifest.provenance["recipe"], "resnet");
    assert_eq!(manifest.provenance["hyperparameters"]["batch"], 8);
    // The second process, which only evaluates, counts what the first had stored; at that price, a second costs one.
    let told = |name: &str| manifest.provenance[name].as_f64().unwrap();
    assert!(energy.unwrap() > 0.0 && told("energy_wh") > 0.8 * energy.unwrap());
    assert!((told("cost") - told("seconds")).abs() <= 0.5);

    for (role, format) in [
        ("model", "onnx"),
        ("labels", "text"),
        ("report", "json"),
        ("report", "html"),
    ] {
        let role = Role::from(role.to_owned());
        assert!(
            manifest.artifact(&role, format).is_some(),
            "{role:?} {format}"
        );
    }

    let folder = trainer.path("runs/shapes/model");
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains(" Wh, an estimate"));
    assert!(page.contains("<svg") && page.contains("standing") && !page.contains("http-equiv"));
    let report = trainer.report("runs/shapes/model");
    assert_eq!(report["history"].as_array().unwrap().len(), 4);
    let tested: u64 = report["data"]["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|class| class[1][2].as_u64().unwrap())
        .sum();
    assert_eq!(report["metrics"]["count"].as_u64().unwrap(), tested);
}

#[test]
fn a_dry_run_trains_nothing_and_tells_what_it_would_do() {
    let trainer = Trainer::new(30);
    for recipe in ["cnn", "resnet"] {
        let output = trainer.run(&[recipe, "--dry-run"], 0);
        let text = String::from_utf8_lossy(&output.stderr);
        for wanted in [
            "3 classes",
            "weights",
            "the engine runs",
            "nothing was trained",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
    assert!(!trainer.path("runs").exists());
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint() {
    let trainer = Trainer::new(30);
    // A decay that multiplies the weights by -99,999 a step: they leave FP32 within ten.
    let explode = [
        "--optimizer",
        "adamw",
        "--learning-rate",
        "100",
        "--weight-decay",
        "1000",
    ];
    let options = [
        &["cnn", "--batch", "4", "--checkpoint-every", "1"][..],
        &explode,
    ]
    .concat();
    let output = trainer.run(&options, 7);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("the loss of step") && text.contains("--clip"),
        "{text}"
    );
    assert!(
        fs::read_dir(trainer.path("runs/cnn/checkpoints"))
            .unwrap()
            .next()
            .is_some()
    );
}
