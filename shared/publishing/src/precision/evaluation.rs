//! What models are compared on: inputs as requests send them, with the label that should come first where it is known.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use dunlin_registry::examples::{Example, ExamplePack};

use crate::candidate::{content_type, read_file, unreadable};
use crate::{Error, ErrorKind, GivenExample, Result};

/// So many inputs at most.
const INPUTS: usize = 20_000;

/// So many bytes of inputs at most: they are held in memory.
const BYTES: u64 = 1 << 30;

/// Inputs, and labels where they are known.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    examples: Vec<Example>,
}

impl Evaluation {
    /// Every file below a folder is the body of a request; where it lies in a folder of its own, that is named like
    /// its label. Hidden files are left out.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        list(folder, None, &mut files)?;
        if files.is_empty() {
            let message = format!("{} holds no files to evaluate on", folder.display());
            return Err(Error::new(ErrorKind::Read, message));
        }
        let mut examples = Vec::with_capacity(files.len());
        let mut left = BYTES;
        for (path, label) in files {
            let body = read_file(&path, left).map_err(|error| match error.kind() {
                ErrorKind::TooLarge => {
                    let message =
                        format!("more than {BYTES} bytes to evaluate on; give fewer files");
                    Error::new(ErrorKind::TooLarge, message).because(error)
                }
                _ => error,
            })?;
            left -= body.len() as u64;
            let name = path.strip_prefix(folder).unwrap_or(&path);
            examples.push(Example {
                name: name.display().to_string(),
                content_type: content_type(&path.to_string_lossy()),
                header_length: None,
                label,
                input: body,
                outputs: Vec::new(),
            });
        }
        Ok(Self { examples })
    }

    /// The examples that a model is proven on.
    pub(super) fn of(pack: &ExamplePack) -> Self {
        let inputs = pack.examples.iter().map(|example| Example {
            outputs: Vec::new(),
            ..example.clone()
        });
        Self {
            examples: inputs.collect(),
        }
    }

    /// Examples that are in memory.
    pub fn given(examples: &[GivenExample]) -> Self {
        let inputs = examples.iter().map(|example| Example {
            name: example.name.clone(),
            content_type: example.content_type.clone(),
            header_length: example.header_length,
            label: example.label.clone(),
            input: Bytes::clone(&example.body),
            outputs: Vec::new(),
        });
        Self {
            examples: inputs.collect(),
        }
    }

    pub(super) fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// Whether there is nothing to compare on.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }
}

/// Files in the order of their names, and the label that the folder around them gives.
fn list(
    folder: &Path,
    label: Option<&str>,
    files: &mut Vec<(PathBuf, Option<String>)>,
) -> Result<()> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.map_err(|error| unreadable(folder, error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if label.is_some() {
                let message = format!("{}: folders of labels hold files alone", path.display());
                return Err(Error::new(ErrorKind::Read, message));
            }
            list(&path, Some(&name), files)?;
        } else {
            files.push((path, label.map(str::to_owned)));
        }
        if files.len() > INPUTS {
            let message = format!("more than {INPUTS} files to evaluate on; give fewer");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
    }
    Ok(())
}
