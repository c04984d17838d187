//! The program as Amazon `SageMaker` starts it: `train` is its only argument, and files below `/opt/ml`
//! say the rest. They become the options that people give.
//!
//! | `SageMaker` | here |
//! | --- | --- |
//! | hyperparameters: `SM_HPS`, or `input/config/hyperparameters.json` | options by their names, `recipe` before them |
//! | channels: `SM_CHANNEL_TRAINING`, or the folders of `input/data` | `--data` |
//! | `checkpoints`, which it copies to S3 and back | `--run` |
//! | `SM_MODEL_DIR`, or `model` | `--output` |
//! | `SM_OUTPUT_DATA_DIR`, or `output/data` | `report.json` and `report.html` |
//! | `output/failure` | why it failed |

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};
use serde_json::{Map, Value};

use crate::cli::Cli;
use crate::data::Part;
use crate::{Error, ErrorKind, Result};

/// A training job's folder.
#[derive(Debug)]
pub struct Job {
    root: PathBuf,
}

impl Job {
    /// The job, if these are the arguments that one is started with. Its folder is `/opt/ml`, or what
    /// `SAGEMAKER_BASE_DIR` says.
    pub fn of(arguments: &[OsString]) -> Option<Self> {
        let started = matches!(arguments, [_, only] if only == "train");
        started.then(|| Self {
            root: folder("SAGEMAKER_BASE_DIR", || "/opt/ml".into()),
        })
    }

    /// Trains as the job asks for, and leaves the reports where `SageMaker` takes them from; the reason,
    /// if it failed.
    pub fn run(&self, train: impl FnOnce(&Cli) -> Result<()>) -> Result<()> {
        let result = self.cli().and_then(|cli| {
            let trained = train(&cli);
            trained.and(self.keep_reports(&cli))
        });
        match &result {
            // Told to stop is no failure.
            Err(error) if error.kind() != ErrorKind::Stopped => {
                let reason = error.chain();
                if let Err(error) = put(&self.root.join("output/failure"), reason.as_bytes()) {
                    eprintln!("warning: {}", error.chain());
                }
            }
            _ => {}
        }
        result
    }

    fn cli(&self) -> Result<Cli> {
        let hyperparameters = self.hyperparameters()?;
        let mut line = vec!["dunlin-train".to_owned()];
        line.extend(options(&hyperparameters));
        for (name, place) in [
            ("data", self.data()),
            ("run", self.root.join("checkpoints")),
            ("output", folder("SM_MODEL_DIR", || self.root.join("model"))),
        ] {
            if !hyperparameters.contains_key(name) {
                line.push(format!("--{name}={}", place.display()));
            }
        }
        Cli::try_parse_from(line).map_err(|error| {
            let text = error.to_string();
            let reason = text.trim_start_matches("error: ").trim_end();
            Error::usage(format!("hyperparameters: {reason}"))
        })
    }

    fn keep_reports(&self, cli: &Cli) -> Result<()> {
        let place = folder("SM_OUTPUT_DATA_DIR", || self.root.join("output/data"));
        for name in ["report.json", "report.html"] {
            let report = cli.output.as_ref().map(|model| model.join(name));
            if let Some(report) = report.filter(|report| report.is_file()) {
                let bytes = fs::read(&report).map_err(|error| failed(&report, error))?;
                put(&place.join(name), &bytes)?;
            }
        }
        Ok(())
    }

    fn hyperparameters(&self) -> Result<Map<String, Value>> {
        let file = self.root.join("input/config/hyperparameters.json");
        let (place, text) = if let Ok(text) = env::var("SM_HPS") {
            ("SM_HPS".to_owned(), text)
        } else {
            let text = fs::read_to_string(&file).map_err(|error| {
                let message = format!(
                    "`train` alone is how SageMaker starts this program, and {} can't be read; \
                     elsewhere, name a recipe: dunlin train --help",
                    file.display()
                );
                Error::new(ErrorKind::NotFound, message).because(error)
            })?;
            (file.display().to_string(), text)
        };
        serde_json::from_str(&text)
            .map_err(|error| Error::usage(format!("{place} is no JSON object")).because(error))
    }

    /// The one channel; or the folder of all channels, where they are parts.
    fn data(&self) -> PathBuf {
        let all = self.root.join("input/data");
        let channels: Vec<PathBuf> = fs::read_dir(&all)
            .map(|found| found.filter_map(|entry| Some(entry.ok()?.path())))
            .map_or_else(
                |_| Vec::new(),
                |found| found.filter(|path| path.is_dir()).collect(),
            );
        let is_part = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| Part::named(name).is_some())
        };
        if channels.len() > 1 && channels.iter().all(is_part) {
            return all;
        }
        let one = match &channels[..] {
            [only] => only.clone(),
            _ => all.join("training"),
        };
        folder("SM_CHANNEL_TRAINING", || one)
    }
}

/// Hyperparameters as options: `{"recipe": "cnn", "learning_rate": "0.1"}`. Values come as text, in which
/// `SageMaker`'s Python SDK writes JSON.
fn options(hyperparameters: &Map<String, Value>) -> Vec<String> {
    let command = Cli::command();
    let is_switch = |name: &str| {
        let known = command
            .get_arguments()
            .find(|known| known.get_long() == Some(name));
        known.is_some_and(|known| !known.get_action().takes_values())
    };
    let mut line = Vec::new();
    for (name, value) in hyperparameters {
        // Its SDK's own.
        if name.starts_with("sagemaker_") {
            continue;
        }
        let name = name.replace('_', "-");
        for value in texts(value) {
            match &value[..] {
                _ if name == "recipe" => line.insert(0, value),
                "true" if is_switch(&name) => line.push(format!("--{name}")),
                "false" if is_switch(&name) => {}
                _ => line.push(format!("--{name}={value}")),
            }
        }
    }
    line
}

/// One value, or each of a list.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(inner @ (Value::String(_) | Value::Array(_) | Value::Null)) => texts(&inner),
            _ => vec![text.clone()],
        },
        other => vec![other.to_string()],
    }
}

fn folder(variable: &str, default: impl FnOnce() -> PathBuf) -> PathBuf {
    env::var_os(variable).map_or_else(default, PathBuf::from)
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    let message = format!("{} can't be read or written", path.display());
    Error::new(ErrorKind::Failed, message).because(error)
}
