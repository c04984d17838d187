//! The crate's error: what kind, on what, and the cause.

use std::error::Error as StdError;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is nothing at the source.
    NotFound,
    /// The source or the destination can't be one, or the format is not known here.
    Invalid,
    /// The destination holds another job, or the source is no longer what the job began with.
    OtherJob,
    /// A store failed; its own error is the source.
    Storage(dunlin_storage::ErrorKind),
    /// The model did not answer, whatever the input.
    Serving(dunlin_serving::ErrorKind),
    /// A defect of ours.
    Internal,
}

/// An error of a job. The message names the object or the row.
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

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<dunlin_storage::Error> for Error {
    fn from(error: dunlin_storage::Error) -> Self {
        Self {
            kind: ErrorKind::Storage(error.kind()),
            message: error.to_string(),
            source: Some(Box::new(error)),
        }
    }
}

impl From<dunlin_serving::Error> for Error {
    fn from(error: dunlin_serving::Error) -> Self {
        Self {
            kind: ErrorKind::Serving(error.kind()),
            message: error.chain(),
            source: None,
        }
    }
}

impl From<dunlin_registry::Error> for Error {
    fn from(error: dunlin_registry::Error) -> Self {
        dunlin_serving::Error::from(error).into()
    }
}
