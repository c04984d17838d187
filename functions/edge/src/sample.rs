//! The built-in sample: `models/digits`, carried by the program itself.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use dunlin_publishing::{Candidate, WeighOptions};
use dunlin_registry::{ModelName, Registry};

use crate::commands::push;
use crate::context::data_directory;
use crate::exit::Failure;
use crate::output::Output;

/// The sample's name.
pub(crate) const NAME: &str = "digits";

/// The picture of the printed `curl` line, in the repository and among [`FILES`].
const PICTURE: &str = "examples/3.png";
const FOLDER: &str = "models/digits";

const DESCRIPTION: &str = include_str!("../../../models/digits/model.toml");

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../models/digits/", $name)))),*]
    };
}

/// All that the description names.
const FILES: &[(&str, &[u8])] = files![
    "model.onnx",
    "labels.txt",
    "examples/0.png",
    "examples/1.png",
    "examples/2.png",
    "examples/3.png",
    "examples/4.png",
    "examples/5.png",
    "examples/6.png",
    "examples/7.png",
    "examples/8.png",
    "examples/9.png",
];

/// Publishes the sample where no model of its name is.
pub(crate) async fn publish_if_absent(registry: &Registry, output: Output) -> Result<(), Failure> {
    let name: ModelName = NAME.parse()?;
    if registry.versions(&name).await?.is_empty() {
        output.note("the store has no model \"digits\": publishing the built-in sample");
        let as_it_is = WeighOptions::default();
        push::publish(registry, output, || Ok(candidate()?), as_it_is).await?;
    }
    Ok(())
}

fn candidate() -> dunlin_publishing::Result<Candidate> {
    Candidate::from_parts(DESCRIPTION, |name| file(name).map(Bytes::from_static))
}

fn file(name: &str) -> Option<&'static [u8]> {
    FILES
        .iter()
        .find(|(file, _)| *file == name)
        .map(|(_, bytes)| *bytes)
}

/// A picture of a digit that a `curl` started here can read: the repository's, or else a copy
/// beside the default store, where that is in use.
pub(crate) fn picture() -> Option<PathBuf> {
    let here = Path::new(FOLDER).join(PICTURE);
    if here.is_file() {
        return Some(here);
    }
    let copy = data_directory().ok()?.join("digits-3.png");
    std::fs::write(&copy, file(PICTURE)?).ok()?;
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_finds_all_its_files() {
        let candidate = candidate().expect("the sample is a sound candidate");
        assert_eq!(candidate.name().as_str(), NAME);
        assert_eq!(candidate.examples().len(), 10);
        assert_eq!(candidate.labels().len(), 10);
        assert!(file(PICTURE).is_some());
    }
}
