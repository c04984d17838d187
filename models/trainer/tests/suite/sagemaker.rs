//! The program as Amazon `SageMaker` starts it, in a folder that looks like its `/opt/ml`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::interrupted::wait_for_checkpoint;
use crate::trainer::{Trainer, read_json, tell_to_stop};

/// A job's folder.
struct Job {
    trainer: Trainer,
}

impl Job {
    /// With so many pictures a class in each of these channels.
    fn new(channels: &[(&str, usize)], hyperparameters: &Value) -> Self {
        let trainer = Trainer::new(0);
        let ml = trainer.path("ml");
        for (channel, pictures) in channels {
            crate::pictures::write(&ml.join("input/data").join(channel), *pictures);
        }
        fs::create_dir_all(ml.join("input/config")).unwrap();
        let job = Self { trainer };
        job.ask(hyperparameters);
        job
    }

    fn ask(&self, hyperparameters: &Value) {
        let file = self.path("input/config/hyperparameters.json");
        fs::write(file, hyperparameters.to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.trainer.path("ml").join(name)
    }

    fn command(&self) -> Command {
        let mut command = self.trainer.program();
        command.arg("train");
        command.env("SAGEMAKER_BASE_DIR", self.trainer.path("ml"));
        command
    }

    fn run(&self, exit: i32) -> Output {
        let output = self.command().output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{text}");
        output
    }

    fn failure(&self) -> Option<String> {
        fs::read_to_string(self.path("output/failure")).ok()
    }
}

/// As `SageMaker`'s Python SDK writes them: text, with JSON in it.
fn hyperparameters() -> Value {
    json!({
        "recipe": "\"resnet\"",
        "epochs": "2",
        "batch": "8",
        "learning_rate": "0.01",
        "normalize-in-graph": "true",
        "quiet": "false",
        "publish": "\"shapes\"",
        "store": "file:store",
        "require": "[\"accuracy>=0.01\", \"ece<=1\"]",
        "sagemaker_job_name": "\"shapes-1\"",
    })
}

#[test]
fn a_job_leaves_a_model_checkpoints_and_reports() {
    let job = Job::new(&[("pictures", 40)], &hyperparameters());
    let output = job.run(0);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("published shapes@1"), "{text}");
    for name in [
        "model/model.onnx",
        "model/model.toml",
        "output/data/report.json",
        "output/data/report.html",
    ] {
        assert!(job.path(name).is_file(), "{name}");
    }
    let checkpoints = fs::read_dir(job.path("checkpoints/checkpoints")).unwrap();
    assert!(checkpoints.count() > 0);
    let report = read_json(&job.path("output/data/report.json"));
    assert_eq!(report["training"]["hyperparameters"]["epochs"], 2);
    assert_eq!(report["gates"].as_array().unwrap().len(), 2);
    assert_eq!(job.failure(), None);
}

#[test]
fn a_job_that_fails_says_why() {
    // Two channels that are parts of one set of data.
    let mut asked = hyperparameters();
    asked["require"] = json!("accuracy>=1.01");
    let job = Job::new(&[("train", 40), ("test", 10)], &asked);
    job.run(8);
    let failure = job.failure().unwrap();
    assert!(
        failure.contains("accuracy>=1.01 is required") && failure.contains("nothing was published"),
        "{failure}"
    );
    let report = read_json(&job.path("output/data/report.json"));
    assert_eq!(report["metrics"]["count"], 30);

    asked["speed"] = json!("9");
    job.ask(&asked);
    job.run(2);
    let failure = job.failure().unwrap();
    assert!(
        failure.starts_with("hyperparameters: unexpected argument '--speed'"),
        "{failure}"
    );

    fs::remove_file(job.path("input/config/hyperparameters.json")).unwrap();
    job.run(3);
    assert!(job.failure().unwrap().contains("name a recipe"));
}

#[test]
fn a_job_that_is_stopped_goes_on_from_its_checkpoint() {
    let mut asked = hyperparameters();
    asked["checkpoint-every"] = json!("2");
    let job = Job::new(&[("training", 60)], &asked);
    // As its training toolkit would say it.
    let reports = job.trainer.path("reports");
    let mut command = job.command();
    command
        .env(
            "SM_HPS",
            json!({"recipe": "resnet", "epochs": 4, "batch": 4, "checkpoint-every": 2}).to_string(),
        )
        .env("SM_CHANNEL_TRAINING", job.path("input/data/training"))
        .env("SM_MODEL_DIR", job.trainer.path("weights"))
        .env("SM_OUTPUT_DATA_DIR", &reports)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for_checkpoint(&job.path("checkpoints/checkpoints"), &mut child);
    tell_to_stop(&child);
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(job.failure(), None);
    assert!(!reports.exists());

    let output = command.stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("goes on after step"), "{text}");
    assert!(job.trainer.path("weights/model.onnx").is_file());
    assert!(reports.join("report.json").is_file());
}
