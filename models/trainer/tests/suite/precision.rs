//! Publishing at another precision than the source's.

use dunlin_registry::{Registry, Role, Version};
use dunlin_storage::StoreOptions;
use serde_json::Value;

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

#[tokio::test]
async fn what_is_published_passes_the_gates_itself() {
    let trainer = Trainer::new(60);
    let publish = ["--publish", "shapes", "--store", "file:store"];
    let gate = ["--require", "accuracy>=0.9"];
    let options = [&TRAINING[..], &publish, &gate].concat();
    let run = |precision: &str| {
        let output = trainer.run(&[&options[..], &["--precision", precision]].concat(), 0);
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run("f16");
    let report = trainer.report("runs/shapes/model");
    let count = report["metrics"]["count"].clone();
    for want in [
        "f16: accuracy>=0.9 is met",
        "published shapes@1",
        &format!("compared on {count} inputs"),
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
    let text = run("auto");
    assert!(
        text.contains("int8 ") && text.contains("published shapes@2"),
        "{text}"
    );

    // The manifest says how good it is on the same test part.
    let url = format!("file:{}", trainer.path("store").display());
    let store = dunlin_storage::open(&url, &StoreOptions::default()).await;
    let registry = Registry::new(store.unwrap());
    let name = "shapes".parse().unwrap();
    let manifest = registry.manifest(&name, Version::new(1).unwrap()).await;
    let manifest = manifest.unwrap();
    let trials = manifest.provenance["precisions"].as_array().unwrap();
    let [source, half] = &trials[..] else {
        panic!("two precisions: {trials:?}");
    };
    assert_eq!(
        (&half["precision"], &half["fate"]),
        (&"f16".into(), &"chosen".into())
    );
    assert_eq!((&source["inputs"], &half["inputs"]), (&count, &count));
    assert!(half["accuracy"].as_f64().unwrap() >= 0.9);

    // So do the reports, which are of what is published: with fewer bits the loss is another one.
    assert_eq!(report["precisions"], manifest.provenance["precisions"]);
    let source = ["--run", "runs/shapes", "--output", "source"];
    trainer.run(&[&TRAINING[..], &source].concat(), 0);
    let source = trainer.report("source");
    assert!(source.get("precisions").is_none());
    let loss = &report["metrics"]["loss"];
    assert_ne!(loss, &source["metrics"]["loss"]);
    let published = manifest.metrics["loss"].as_f64().unwrap();
    assert!((loss.as_f64().unwrap() - published).abs() < 1e-5);
    let stored = |format| {
        let artifact = manifest.artifact(&Role::Other("report".to_owned()), format);
        registry.blob(artifact.unwrap(), None)
    };
    let json = stored("json").await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), report);
    let page = String::from_utf8(stored("html").await.unwrap().to_vec()).unwrap();
    assert!(page.contains("Chosen: f16") && page.contains("compared on"));

    let output = trainer.run(&["resnet", "--precision", "f16"], 2);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("--publish"), "{text}");
}
