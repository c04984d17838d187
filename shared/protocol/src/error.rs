//! What goes wrong on the wire, and how it is told to a caller.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of mistake an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The body is not JSON: a syntax error, nesting too deep, bytes left over.
    Json,
    /// It is JSON, but not the message: a field is missing, twice, or of the wrong type.
    Message,
    /// No such datatype, or not the datatype that was asked for.
    Datatype,
    /// A shape is not a shape, or does not fit the data.
    Shape,
    /// An element is not a value of the datatype.
    Value,
    /// Binary tensor data: truncated, left over, or badly framed.
    Binary,
    /// A limit was passed.
    TooLarge,
    /// A tensor that JSON cannot carry: not-a-number, infinity, text that is not UTF-8.
    NotJson,
}

/// An error that names the place: which input, what came, what was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    tensor: Option<String>,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            tensor: None,
            message: message.into(),
        }))
    }

    /// Names the tensor, unless a deeper place has named it already.
    pub(crate) fn at(mut self, tensor: &str) -> Self {
        self.0.tensor.get_or_insert_with(|| tensor.to_owned());
        self
    }

    /// Says more in front of the message.
    pub(crate) fn before(mut self, text: &str) -> Self {
        self.0.message.insert_str(0, text);
        self
    }

    /// Says more behind the message.
    pub(crate) fn after(mut self, text: &str) -> Self {
        self.0.message.push_str(text);
        self
    }

    /// What kind of mistake this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The tensor that the error is about.
    pub fn tensor(&self) -> Option<&str> {
        self.0.tensor.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.tensor {
            Some(tensor) => write!(f, "tensor {tensor:?}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

/// The body of every error reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong, for a person.
    pub error: String,
    /// What went wrong, for a program: one stable word.
    pub kind: String,
    /// The model that the request named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The request's id, as logs have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
