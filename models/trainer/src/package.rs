//! The model's folder: what `dunlin push` takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use dunlin_registry::ModelName;
use dunlin_transforms::{
    Activation, ClassificationSpec, EmbeddingSpec, ForecastSpec, InputSpec, OutputSpec, PerChannel,
    Pooling,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::data::{Dataset, Example, Part, Task};
use crate::evaluate::Report;
use crate::{Error, ErrorKind, Result};

/// Golden examples: one a class, for so many classes at most.
const EXAMPLES: usize = 20;

/// Golden examples where there are no classes.
const UNLABELLED: usize = 3;

/// The name of the graph's output.
pub(crate) fn output_name(task: Task) -> &'static str {
    match task {
        Task::Forecasting => "forecast",
        Task::SentenceSimilarity => "embedding",
        _ => "logits",
    }
}

/// What people say of a model.
#[derive(Debug, Clone)]
pub struct About {
    /// The name that it is published under.
    pub name: ModelName,
    /// In a sentence.
    pub description: Option<String>,
    /// The licence of the weights.
    pub license: Option<String>,
    /// For search.
    pub tags: Vec<String>,
    /// Classes in an answer.
    pub top_k: Option<usize>,
}

#[derive(Serialize)]
struct ModelToml<'a> {
    name: &'a str,
    task: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a str>,
    input: &'a InputSpec,
    output: OutputSpec,
    metrics: Map<String, Value>,
    provenance: Map<String, Value>,
    examples: Vec<GoldenExample>,
}

#[derive(Serialize)]
struct GoldenExample {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

/// All that a model's folder is made of.
#[derive(Debug)]
pub struct Package<'a> {
    /// What people say of it.
    pub about: &'a About,
    /// The graph.
    pub onnx: &'a Bytes,
    /// How an example becomes its input.
    pub input: &'a InputSpec,
    /// What it was trained and tested on.
    pub data: &'a Dataset,
    /// How good it is.
    pub report: &'a Report,
}

/// A model's files, by their names in its folder.
pub type Files = BTreeMap<String, Bytes>;

impl Package<'_> {
    /// `model.onnx`, `model.toml` and `examples/`; `labels.txt` and `tokenizer.json` where there are any.
    pub fn files(&self) -> Result<Files> {
        let mut files: Files = self.data.files.iter().cloned().collect();
        let mut examples = Vec::new();
        for (stem, label, example) in self.golden() {
            let body = self.data.decoder.body(example)?;
            let file = format!("examples/{stem}.{}", self.ending(&body));
            files.insert(file.clone(), body);
            examples.push(GoldenExample { file, label });
        }
        let model_toml = toml::to_string(&self.model_toml(examples)).map_err(|error| {
            Error::new(ErrorKind::Failed, "model.toml can't be written").because(error)
        })?;
        files.insert("model.toml".to_owned(), model_toml.into());
        files.insert("model.onnx".to_owned(), self.onnx.clone());
        if !self.data.labels.is_empty() {
            let labels = self.data.labels.join("\n") + "\n";
            files.insert("labels.txt".to_owned(), labels.into());
        }
        Ok(files)
    }

    /// The golden examples, with their files' names and labels: of each class, the first test example that is
    /// named right; where there are no classes, the first ones.
    fn golden(&self) -> Vec<(String, Option<String>, &Example)> {
        let test = self.data.part(Part::Test);
        let Some(answers) = self.report.evaluation.answers() else {
            let unit = self.data.census.unit.trim_end_matches('s');
            let first = test.iter().zip(1..).take(UNLABELLED);
            return first
                .map(|(example, number)| (format!("{unit}-{number}"), None, example))
                .collect();
        };
        let right = |class: usize| {
            let mut rows = test.iter().zip(answers.answers());
            rows.find(|(_, (truth, answer, _))| *truth == class && *answer == class)
        };
        let golden = |(class, label): (usize, &String)| {
            let (example, _) = right(class)?;
            Some((file_stem(label, class), Some(label.clone()), example))
        };
        let labels = self.data.labels.iter().enumerate();
        labels.filter_map(golden).take(EXAMPLES).collect()
    }

    fn ending(&self, body: &[u8]) -> &'static str {
        match self.data.task {
            Task::TextClassification => "txt",
            Task::SentenceSimilarity => "json",
            Task::Forecasting | Task::SeriesClassification => "csv",
            Task::ImageClassification => image::guess_format(body)
                .ok()
                .and_then(|format| format.extensions_str().first().copied())
                .unwrap_or("bin"),
        }
    }

    fn output(&self) -> OutputSpec {
        let tensor = Some(output_name(self.data.task).to_owned());
        match &self.data.forecasting {
            Some(forecasting) => OutputSpec::Forecast(ForecastSpec {
                tensor,
                mean: Some(PerChannel::All(forecasting.mean)),
                std: Some(PerChannel::All(forecasting.std)),
                unit: forecasting.unit.clone(),
                step: forecasting.step.clone(),
            }),
            None if self.data.task == Task::SentenceSimilarity => {
                OutputSpec::Embedding(EmbeddingSpec {
                    tensor,
                    pooling: Some(Pooling::None),
                    normalize: Some(true),
                })
            }
            None => OutputSpec::Classification(ClassificationSpec {
                tensor,
                activation: Some(Activation::Softmax),
                top_k: self.about.top_k,
                threshold: None,
            }),
        }
    }

    fn model_toml(&self, examples: Vec<GoldenExample>) -> ModelToml<'_> {
        let about = self.about;
        ModelToml {
            name: about.name.as_str(),
            task: self.data.task.name(),
            description: about.description.as_deref(),
            license: about.license.as_deref(),
            tags: &about.tags,
            model: "model.onnx",
            labels: (!self.data.labels.is_empty()).then_some("labels.txt"),
            input: self.input,
            output: self.output(),
            metrics: self.report.manifest_metrics(),
            provenance: self.report.provenance(),
            examples,
        }
    }
}

/// A label as a file's name; the class's number where it can't be one.
fn file_stem(label: &str, class: usize) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let stem: String = label
        .chars()
        .map(|c| {
            if plain(c) {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    if label.len() <= 40 && stem.contains(|c: char| c.is_ascii_alphanumeric()) {
        // Two labels may become one name.
        let unchanged = stem == label;
        if unchanged {
            stem
        } else {
            format!("{class}-{stem}")
        }
    } else {
        class.to_string()
    }
}

/// Writes files into a folder, which is made if need be.
pub fn write(files: &Files, folder: &Path) -> Result<()> {
    for (name, bytes) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .map_err(|error| {
                let message = format!("could not write {}", path.display());
                Error::new(ErrorKind::Failed, message).because(error)
            })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::file_stem;

    #[test]
    fn labels_become_names_of_files() {
        for (label, want) in [
            ("7", "7"),
            ("ankle-boot", "ankle-boot"),
            ("T-shirt/top", "3-t-shirt-top"),
            ("../..", "3"),
            ("喵", "3"),
        ] {
            assert_eq!(file_stem(label, 3), want);
        }
    }
}
