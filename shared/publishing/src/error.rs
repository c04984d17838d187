//! The crate's error.

use std::error::Error as StdError;
use std::fmt::Write as _;

use dunlin_registry::examples::Failure;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// At which step of the road, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file can't be read.
    Read,
    /// `model.toml` is not what it must be.
    InvalidDescription,
    /// Over a limit.
    TooLarge,
    /// The engine refuses the graph; its own error is the source.
    Model(dunlin_engine::ErrorKind),
    /// The declared transforms don't fit the graph; their own error is the source.
    Transforms(dunlin_transforms::ErrorKind),
    /// An example failed, see [`Error::failures`].
    Unproven,
    /// The precision that was asked for is no gain, or loses too much.
    Precision,
    /// Proving took longer than it may.
    TooSlow,
    /// The registry or its store failed; its own error is the source.
    Registry(dunlin_registry::ErrorKind),
}

/// An error on the publish road. The message names the file or the model.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    failures: Vec<Failure>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            failures: Vec::new(),
            source: None,
        }
    }

    /// The store failed; it is the registry's store, and tried again alike.
    pub(crate) fn storage(source: dunlin_storage::Error) -> Self {
        let kind = dunlin_registry::ErrorKind::Storage(source.kind());
        Self::new(ErrorKind::Registry(kind), "the store failed").because(source)
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn unproven(model: &str, failures: Vec<Failure>, of: usize) -> Self {
        let mut message = format!(
            "{model} is not proven: {} of {of} examples failed",
            failures.len()
        );
        for failure in &failures {
            // Writing to a string can't fail.
            let _ = write!(message, "\n  {}: {}", failure.example, failure.why);
        }
        Self {
            failures,
            ..Self::new(ErrorKind::Unproven, message)
        }
    }

    /// At which step, and why.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Every example that failed, if that is what went wrong.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }
}

impl From<dunlin_engine::Error> for Error {
    fn from(error: dunlin_engine::Error) -> Self {
        Self::new(ErrorKind::Model(error.kind()), error.to_string()).because(error)
    }
}

impl From<dunlin_registry::Error> for Error {
    fn from(error: dunlin_registry::Error) -> Self {
        Self::new(
            ErrorKind::Registry(error.kind()),
            "the model was not published",
        )
        .because(error)
    }
}
