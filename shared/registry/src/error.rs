//! The crate's error: what kind, on what, and the cause.

use std::error::Error as StdError;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A model name, version or alias that can't be one.
    InvalidName,
    /// No version of that model is published.
    ModelNotFound,
    /// The model exists, this version of it does not.
    VersionNotFound,
    /// The model exists, this alias of it does not.
    AliasNotFound,
    /// Targets or weights that an alias can't have.
    InvalidAlias,
    /// The version has no golden examples: nothing shows that it answers right.
    Unproven,
    /// The alias has no earlier state to go back to.
    NoEarlierState,
    /// A newer program wrote this; ours is too old to read it.
    NewerSchema,
    /// A manifest or an alias record that can't be read.
    InvalidManifest,
    /// Over a limit of this crate.
    TooLarge,
    /// Stored bytes that are not what the manifest states, or are missing.
    Corrupt,
    /// Somebody else changed it at the same moment, and again.
    Conflict,
    /// An examples artifact that can't be read.
    InvalidExamples,
    /// A key that can't be one, or is not of the kind that signs versions.
    InvalidKey,
    /// None of the trusted keys has signed it, or its signature is of other bytes.
    Untrusted,
    /// The store itself failed; its own error is the source.
    Storage(dunlin_storage::ErrorKind),
}

/// An error of the registry. The message names the model, version, alias or object.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            source: Some(Box::new(source)),
        }
    }

    /// The store failed while we did `doing`, as in "read the manifest of digits version 3".
    pub(crate) fn storage(doing: impl std::fmt::Display, source: dunlin_storage::Error) -> Self {
        Self::with_source(
            ErrorKind::Storage(source.kind()),
            format!("could not {doing}"),
            source,
        )
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
