//! The model's folder: what `dunlin push` takes.

use std::fs;
use std::path::Path;

use dunlin_transforms::{Activation, ClassificationSpec, InputSpec, OutputSpec};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::data::{Dataset, Example, Part};
use crate::evaluate::{Answers, Report};
use crate::{Error, ErrorKind, Result};

/// The name of the graph's output.
pub const OUTPUT: &str = "logits";

/// Golden examples: one a class, for so many classes at most.
const EXAMPLES: usize = 20;

/// What people say of a model.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The name that it is published under.
    pub name: String,
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
    labels: &'a str,
    input: &'a InputSpec,
    output: OutputSpec,
    metrics: Map<String, Value>,
    provenance: Map<String, Value>,
    examples: Vec<GoldenExample>,
}

#[derive(Serialize)]
struct GoldenExample {
    file: String,
    label: String,
}

/// All that a model's folder is made of.
#[derive(Debug)]
pub struct Package<'a> {
    /// What people say of it.
    pub about: &'a About,
    /// The graph.
    pub onnx: &'a [u8],
    /// How a picture becomes its input.
    pub input: &'a InputSpec,
    /// What it was trained and tested on.
    pub data: &'a Dataset,
    /// What it answered to the test part.
    pub answers: &'a Answers,
    /// How good that was.
    pub report: &'a Report,
    /// The report for people.
    pub page: &'a str,
}

impl Package<'_> {
    /// Writes `model.onnx`, `model.toml`, `labels.txt`, `examples/`, `report.json` and `report.html`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let unencoded = |file: &str, error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Failed, format!("{file} can't be written")).because(error)
        };
        let examples = self.write_examples(folder)?;
        let model_toml = toml::to_string(&self.model_toml(examples))
            .map_err(|error| unencoded("model.toml", error.into()))?;
        let json = serde_json::to_vec_pretty(self.report)
            .map_err(|error| unencoded("report.json", error.into()))?;
        let labels = self.data.labels.join("\n") + "\n";
        put(folder, "model.onnx", self.onnx)?;
        put(folder, "labels.txt", labels.as_bytes())?;
        put(folder, "model.toml", model_toml.as_bytes())?;
        put(folder, "report.json", &json)?;
        put(folder, "report.html", self.page.as_bytes())
    }

    /// Writes the golden examples: of each class, the first test picture that is named right.
    fn write_examples(&self, folder: &Path) -> Result<Vec<GoldenExample>> {
        let folder_of_examples = folder.join("examples");
        fs::create_dir_all(&folder_of_examples)
            .map_err(|error| unwritten(&folder_of_examples, error))?;
        let mut examples = Vec::new();
        for (class, example) in golden(self.data, self.answers) {
            let label = &self.data.labels[class];
            let file = self.data.decoder.file(example)?;
            let ending = image::guess_format(&file)
                .ok()
                .and_then(|format| format.extensions_str().first().copied());
            let name = format!(
                "examples/{}.{}",
                file_stem(label, class),
                ending.unwrap_or("bin")
            );
            put(folder, &name, &file)?;
            examples.push(GoldenExample {
                file: name,
                label: label.clone(),
            });
        }
        Ok(examples)
    }

    fn model_toml(&self, examples: Vec<GoldenExample>) -> ModelToml<'_> {
        let about = self.about;
        ModelToml {
            name: &about.name,
            task: "image-classification",
            description: about.description.as_deref(),
            license: about.license.as_deref(),
            tags: &about.tags,
            model: "model.onnx",
            labels: "labels.txt",
            input: self.input,
            output: OutputSpec::Classification(ClassificationSpec {
                tensor: Some(OUTPUT.to_owned()),
                activation: Some(Activation::Softmax),
                top_k: about.top_k,
                threshold: None,
            }),
            metrics: self.report.manifest_metrics(),
            provenance: self.report.provenance(),
            examples,
        }
    }
}

/// An example must come out as its label.
fn golden<'a>(data: &'a Dataset, answers: &Answers) -> Vec<(usize, &'a Example)> {
    let right = |class: usize| {
        let mut rows = data.part(Part::Test).iter().zip(answers.answers());
        rows.find(|(_, (truth, answer, _))| *truth == class && *answer == class)
    };
    (0..data.labels.len())
        .filter_map(|class| Some((class, right(class)?.0)))
        .take(EXAMPLES)
        .collect()
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

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|error| unwritten(&path, error))
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("could not write {}", path.display()),
    )
    .because(error)
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
