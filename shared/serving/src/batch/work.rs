//! An input, and how it ended.

use bytes::Bytes;
use dunlin_registry::ModelRef;
use dunlin_storage::ObjectKey;

use super::Where;
use crate::Error;

/// One input, and what is known of who answers it.
#[derive(Debug, Clone)]
pub struct Work {
    /// The input.
    pub input: Input,
    /// The model that the sender asks for; else the routes say.
    pub model: Option<ModelRef>,
    /// The queue, topic or rule that it came by.
    pub via: Option<Where>,
}

/// What is to be answered.
#[derive(Debug, Clone)]
pub enum Input {
    /// An object.
    Object {
        /// Its bucket, where the sender named one.
        bucket: Option<String>,
        /// Its key in the bucket, decoded.
        key: String,
    },
    /// A body that the message brought with it.
    Payload {
        /// Names it among the messages: one id has one result.
        id: String,
        /// The body.
        body: Bytes,
        /// What the body is.
        content_type: Option<String>,
    },
    /// A message that is none.
    Unreadable {
        /// Names it among the messages.
        id: String,
        /// All of it.
        body: Bytes,
        /// What is wrong with it.
        reason: String,
    },
}

/// How an input ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Answered: the result is stored.
    Done {
        /// Where.
        result: ObjectKey,
        /// An earlier run had stored it already.
        already: bool,
    },
    /// Never to be answered.
    Dead {
        /// Where the dead letter is.
        letter: ObjectKey,
        /// Why, in plain words.
        reason: String,
    },
    /// No input: a folder's marker, or an object of the store's own.
    Ignored,
    /// Not answered this time.
    Returned(Error),
}

impl Work {
    /// An object of the inputs' bucket.
    pub fn object(key: impl Into<String>) -> Self {
        Self {
            input: Input::Object {
                bucket: None,
                key: key.into(),
            },
            model: None,
            via: None,
        }
    }
}
