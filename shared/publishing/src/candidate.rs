//! The first stage: files, read, and named.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use dunlin_engine::{Limits, Report};
use dunlin_protocol::NamedTensor;
use dunlin_registry::{ModelName, Role};
use dunlin_transforms::{Files, Spec, Tokenizer, parse_labels};

use crate::source::Source;
use crate::{Description, Error, ErrorKind, Precision, Result, guess, tensors};

/// A file other than the model may have so many bytes.
const FILE_LIMIT: u64 = 64 << 20;

const DESCRIPTION: &str = "model.toml";
const MODEL: &str = "model.onnx";

/// A model that somebody wants to publish: read, and nothing more.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub(crate) name: ModelName,
    pub(crate) description: Description,
    pub(crate) source: Source,
    pub(crate) report: Report,
    pub(crate) labels_file: Option<Bytes>,
    pub(crate) tokenizer_file: Option<Bytes>,
    /// What is in them.
    pub(crate) files: Files,
    pub(crate) examples: Vec<GivenExample>,
    /// Role, format and bytes of files that only people and tools read.
    pub(crate) attachments: Vec<(Role, String, Bytes)>,
    pub(crate) notes: Vec<String>,
    /// If not as in the source.
    pub(crate) precision: Option<Precision>,
}

/// An example that came with the model.
#[derive(Debug, Clone)]
pub struct GivenExample {
    /// The file it was.
    pub name: String,
    /// By its ending.
    pub content_type: Option<String>,
    /// Where the body begins with JSON and goes on with binary tensors: the bytes of the JSON.
    pub header_length: Option<usize>,
    /// The label that must come first.
    pub label: Option<String>,
    /// The body of the request.
    pub body: Bytes,
}

impl Candidate {
    /// Reads an ONNX file, or a folder with a `model.toml` (or a `model.onnx` alone). `name` is
    /// the name to publish under, if it isn't the one in `model.toml` or of the file.
    pub fn read(path: &Path, name: Option<&str>) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        // "." and "models/.." have no name of their own.
        let own = path
            .canonicalize()
            .map_err(|error| unreadable(path, error))?;
        if metadata.is_dir() {
            let own_name = own
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            return Self::read_folder(path, name, own_name);
        }
        let stem = own
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let onnx = Source::read(path)?;
        let mut candidate = Self::assemble(Description::default(), onnx, name, stem, |_| Ok(None))?;
        if path.with_file_name(DESCRIPTION).is_file() {
            candidate.notes.push(format!(
                "the {DESCRIPTION} beside {} was not read; push the folder to use it",
                path.display()
            ));
        }
        Ok(candidate)
    }

    /// A model whose files are not in the file system: `files` gives each one that `model.toml`
    /// names.
    pub fn from_parts(model_toml: &str, files: impl Fn(&str) -> Option<Bytes>) -> Result<Self> {
        let description = Description::parse(model_toml)?;
        let model = description
            .model
            .clone()
            .unwrap_or_else(|| MODEL.to_owned());
        let onnx = files(&model).ok_or_else(|| missing(&model))?;
        let onnx = (onnx.clone().into(), onnx);
        Self::assemble(description, onnx, None, None, |file| Ok(files(file)))
    }

    /// A model whose files are in memory: with a `model.toml` among them, or one ONNX file alone.
    /// It is published under this name, whatever `model.toml` says.
    pub fn from_files(name: &ModelName, files: &BTreeMap<String, Bytes>) -> Result<Self> {
        let mut description = match files.get(DESCRIPTION) {
            Some(text) => {
                let text = std::str::from_utf8(text).map_err(|error| {
                    let message = format!("{DESCRIPTION} is not UTF-8 text");
                    Error::new(ErrorKind::InvalidDescription, message).because(error)
                })?;
                Description::parse(text)?
            }
            None => Description::default(),
        };
        if description.model.is_none() && !files.contains_key(MODEL) {
            let is_onnx = |file: &&String| file.to_ascii_lowercase().ends_with(".onnx");
            let graphs: Vec<&String> = files.keys().filter(is_onnx).collect();
            let [graph] = graphs[..] else {
                let message = format!(
                    "want a {MODEL}, a {DESCRIPTION} that names another, or one ONNX file; got {} of them",
                    graphs.len()
                );
                return Err(Error::new(ErrorKind::Read, message));
            };
            description.model = Some(graph.clone());
        }
        let model = description.model.as_deref().unwrap_or(MODEL);
        let onnx = files.get(model).cloned().ok_or_else(|| missing(model))?;
        let onnx = (onnx.clone().into(), onnx);
        let other = description.name.take_if(|other| other != name.as_str());
        let files = |file: &str| Ok(files.get(file).cloned());
        let mut candidate = Self::assemble(description, onnx, Some(name.as_str()), None, files)?;
        if let Some(other) = other {
            let note = format!("published as {name}, not {other}: the place says so");
            candidate.notes.push(note);
        }
        Ok(candidate)
    }

    fn read_folder(folder: &Path, name: Option<&str>, own_name: Option<String>) -> Result<Self> {
        let toml = folder.join(DESCRIPTION);
        let description = if toml.is_file() {
            let text = read_file(&toml, FILE_LIMIT)?;
            let text = std::str::from_utf8(&text).map_err(|error| {
                Error::new(
                    ErrorKind::InvalidDescription,
                    format!("{} is not UTF-8 text", toml.display()),
                )
                .because(error)
            })?;
            Description::parse(text)?
        } else if folder.join(MODEL).is_file() {
            Description::default()
        } else {
            return Err(Error::new(
                ErrorKind::Read,
                format!("{} holds no {DESCRIPTION} and no {MODEL}", folder.display()),
            ));
        };
        let model = folder.join(description.model.as_deref().unwrap_or(MODEL));
        let onnx = Source::read(&model)?;
        Self::assemble(description, onnx, name, own_name, |file| {
            read_file(&folder.join(file), FILE_LIMIT).map(Some)
        })
    }

    fn assemble(
        description: Description,
        (source, onnx): (Source, Bytes),
        name: Option<&str>,
        own_name: Option<String>,
        files: impl Fn(&str) -> Result<Option<Bytes>>,
    ) -> Result<Self> {
        let mut notes = Vec::new();
        let name = match (name.or(description.name.as_deref()), own_name) {
            (Some(name), _) => ModelName::new(name),
            (None, Some(own)) => ModelName::sanitize(&own)
                .inspect(|name| notes.push(format!("name {name}, from the file's name"))),
            (None, None) => ModelName::new(""),
        };
        let name = name.map_err(|error| {
            Error::new(
                ErrorKind::InvalidDescription,
                format!("{error}; give another one"),
            )
            .because(error)
        })?;
        let report = dunlin_engine::inspect(name.as_str(), &onnx, &Limits::default())?;
        drop(onnx);

        let file = |file: &str| files(file)?.ok_or_else(|| missing(file));
        let labels_file = description.labels.as_deref().map(file).transpose()?;
        let labels = labels_file.as_deref().map(parse_labels).transpose();
        let labels = labels.map_err(|error| of_file(description.labels.as_deref(), error))?;
        let tokenizer_file = description.tokenizer().map(file).transpose()?;
        let tokenizer = tokenizer_file.as_deref().map(Tokenizer::parse).transpose();
        let tokenizer = tokenizer.map_err(|error| of_file(description.tokenizer(), error))?;
        let examples = description.examples.iter().map(|example| {
            Ok(GivenExample {
                name: example.file.clone(),
                content_type: content_type(&example.file),
                header_length: None,
                label: example
                    .label
                    .clone()
                    .map(crate::description::Label::into_text),
                body: file(&example.file)?,
            })
        });
        let examples = examples.collect::<Result<_>>()?;

        let mut candidate = Self {
            name,
            source,
            report,
            labels_file,
            tokenizer_file,
            files: Files {
                labels: labels.unwrap_or_default(),
                tokenizer,
            },
            examples,
            attachments: Vec::new(),
            notes,
            description,
            precision: None,
        };
        candidate.guess();
        Ok(candidate)
    }

    /// Adds tensors as an example: the model is proven on them, and its plan is for their shapes.
    pub fn add_example(&mut self, name: &str, inputs: Vec<NamedTensor>) -> Result<()> {
        let request = tensors::request(name, inputs)?;
        self.examples.push(GivenExample {
            name: name.to_owned(),
            content_type: Some(request.content_type),
            header_length: Some(request.header_length),
            label: None,
            body: request.body,
        });
        Ok(())
    }

    /// Adds a file that is published with the version and that no host needs, as a report.
    pub fn attach(&mut self, role: Role, format: &str, bytes: Bytes) {
        self.attachments.push((role, format.to_owned(), bytes));
    }

    /// Fills in what the graph tells, and notes it.
    fn guess(&mut self) {
        let Report {
            inputs, outputs, ..
        } = &self.report;
        if self.description.task.is_none()
            && let Some((task, why)) = guess::task(inputs, outputs)
        {
            self.description.task = Some(task.to_owned());
            self.notes.push(format!("task {task}, from {why}"));
        }
        if self.description.input.is_none() {
            let more = if inputs.iter().any(guess::is_picture) {
                "; to send pictures, declare [input] in model.toml: a graph doesn't tell how pixels become numbers"
            } else if inputs.iter().any(guess::is_text) {
                "; to send texts, declare [input] kind = \"text\" in model.toml, with the tokenizer.json that the model was trained with"
            } else {
                ""
            };
            self.notes.push(format!(
                "no transforms: the model takes tensors as they are{more}"
            ));
        }
    }

    /// The name it will be published under.
    pub fn name(&self) -> &ModelName {
        &self.name
    }

    /// What the graph says of itself.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The graph's file, at the precision that was chosen. A large one is read anew, and may have been changed meanwhile.
    pub fn onnx(&self) -> Result<Bytes> {
        self.source.bytes()
    }

    /// What `model.toml` says, and what was guessed where it is silent.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The labels of the classes; empty where none were given.
    pub fn labels(&self) -> &[String] {
        &self.files.labels
    }

    /// The examples that came with it.
    pub fn examples(&self) -> &[GivenExample] {
        &self.examples
    }

    /// What was inferred rather than declared, in plain words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn spec(&self) -> Spec {
        self.description.spec()
    }
}

/// A whole file; its size is checked before its bytes are read.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Bytes> {
    let size = std::fs::metadata(path)
        .map_err(|error| unreadable(path, error))?
        .len();
    if size > limit {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "{} has {size} bytes, at most {limit} are allowed",
                path.display()
            ),
        ));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
    Ok(bytes.into())
}

pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Read,
        format!("could not read {}", path.display()),
    )
    .because(error)
}

fn missing(file: &str) -> Error {
    Error::new(
        ErrorKind::Read,
        format!("{file:?}, which model.toml names, is missing"),
    )
}

/// An error of a file that `model.toml` names.
fn of_file(file: Option<&str>, error: dunlin_transforms::Error) -> Error {
    let message = format!("{}: {error}", file.unwrap_or_default());
    Error::new(ErrorKind::Transforms(error.kind()), message).because(error)
}

pub(crate) fn content_type(file: &str) -> Option<String> {
    let ending = Path::new(file).extension()?.to_str()?.to_ascii_lowercase();
    let content_type = match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "json" => "application/json",
        "txt" => "text/plain",
        "csv" => "text/csv",
        _ => return None,
    };
    Some(content_type.to_owned())
}
