//! `model.toml`, as it is written.

use std::path::{Component, Path};

use dunlin_transforms::{InputSpec, OutputSpec, Spec};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Choice, Error, ErrorKind, Result};

/// What `model.toml` says of a model. All of it is optional; what isn't known is refused, since it
/// is most likely a slip.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Description {
    /// The name to publish under.
    pub name: Option<String>,
    /// What the model is for, as in `image-classification`.
    pub task: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The licence of the weights.
    pub license: Option<String>,
    /// For search.
    pub tags: Vec<String>,
    /// The ONNX file; `model.onnx` where it isn't said.
    pub model: Option<String>,
    /// The file with the labels of the classes, one a line.
    pub labels: Option<String>,
    /// The precision to publish it at, where the publisher asks for none.
    pub precision: Option<Choice>,
    /// How raw bytes become inputs.
    pub input: Option<InputSpec>,
    /// How outputs become answers.
    pub output: Option<OutputSpec>,
    /// Inputs to prove the model with.
    pub examples: Vec<ExampleEntry>,
    /// What evaluation measured.
    pub metrics: Map<String, Value>,
    /// Where the model comes from.
    pub provenance: Map<String, Value>,
}

/// One `[[examples]]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleEntry {
    /// The file with the body of the request.
    pub file: String,
    /// The label that must come first; a number is taken as its digits.
    #[serde(default)]
    pub label: Option<Label>,
}

/// A label as people write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a label: a string or a whole number")]
pub enum Label {
    /// `label = "seven"`
    Text(String),
    /// `label = 7`
    Number(u64),
}

impl Label {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

impl Description {
    /// Reads the text of a `model.toml`.
    pub fn parse(text: &str) -> Result<Self> {
        let description: Self = toml::from_str(text).map_err(|error| {
            let message = format!("model.toml: {}", error.to_string().trim_end());
            Error::new(ErrorKind::InvalidDescription, message).because(error)
        })?;
        let files = [description.model.as_deref(), description.labels.as_deref()];
        let examples = description.examples.iter();
        let files = files.into_iter().chain([description.tokenizer()]).flatten();
        for file in files.chain(examples.map(|example| example.file.as_str())) {
            let inside = Path::new(file)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            if file.is_empty() || !inside || file.contains(['\0', '\\']) {
                return Err(Error::new(
                    ErrorKind::InvalidDescription,
                    format!("model.toml: file {file:?} is not inside the model's folder"),
                ));
            }
        }
        Ok(description)
    }

    /// The tokenizer's file, of a model that takes text.
    pub fn tokenizer(&self) -> Option<&str> {
        match &self.input {
            Some(InputSpec::Text(spec)) => Some(spec.tokenizer_file()),
            _ => None,
        }
    }

    /// The declared transforms.
    pub(crate) fn spec(&self) -> Spec {
        Spec {
            input: self.input.clone(),
            output: self.output.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_named() {
        let cases = [
            ("nmae = \"x\"", "unknown field `nmae`"),
            ("[input]\nkind = \"picture\"", "picture"),
            (
                "model = \"../model.onnx\"",
                "\"../model.onnx\" is not inside",
            ),
            ("labels = \"/etc/passwd\"", "\"/etc/passwd\" is not inside"),
            ("model = \"a\\u0000b\"", "\"a\\0b\" is not inside"),
            (
                "[input]\nkind = \"text\"\ntokenizer = \"../t.json\"",
                "\"../t.json\" is not inside",
            ),
            ("[[examples]]\nfile = \"a/../../b\"", "is not inside"),
            (
                "[[examples]]\nfile = \"a.png\"\nlabel = 1.5",
                "a string or a whole number",
            ),
            ("name = ", "line 1"),
        ];
        for (text, why) in cases {
            let error = Description::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidDescription, "{text}");
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_whole_one() {
        let description = Description::parse(
            "name = \"d\"\nlabels = \"labels.txt\"\n[input]\nkind = \"image\"\nsize = [28, 28]\n\
             [[examples]]\nfile = \"examples/7.png\"\nlabel = 7\n[metrics]\naccuracy = 0.983\n",
        )
        .unwrap();
        assert_eq!(
            description.examples[0].label.clone().unwrap().into_text(),
            "7"
        );
        assert_eq!(description.metrics["accuracy"], 0.983);
        assert!(description.spec().output.is_none());
    }
}
