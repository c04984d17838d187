//! Where results and dead letters lie, and what is in them.
//!
//! ```text
//! results/<model>/<version or alias>/<input's key>/<tag>.json         an object's result
//! results/<model>/<version or alias>/messages/<id>.json               a message's result
//! dead-letters/<model>/<version or alias>/…                           the same below
//! dead-letters/unrouted/…                                             what no route fits
//! ```
//! The second segment is what the route names, not what it means at the moment: an alias that
//! moves between two deliveries of an event must not give the input a second result.

use bytes::Bytes;
use dunlin_registry::{Digest, ModelRef, Selector};
use dunlin_storage::{ETag, ObjectKey};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::REPLIES;
use crate::{Error, ErrorKind};

/// Folders of the store that hold no inputs.
const OWN: [&str; 10] = [
    "blobs/",
    "models/",
    "numbers/",
    "results/",
    "dead-letters/",
    "uploads/",
    "metrics/",
    "shadows/",
    "captures/",
    REPLIES,
];

/// Bytes of a message that its dead letter keeps.
const KEPT: usize = 64 << 10;

/// Whether a key of the store lies in a folder of its own.
pub(super) fn is_own(key: &str) -> bool {
    OWN.iter().any(|folder| key.starts_with(folder))
}

/// What an input is called in keys and documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Object { key: ObjectKey, etag: Option<ETag> },
    Message(String),
}

impl Name {
    /// The id of the request that answers it: one input always falls on the same side of a
    /// weighted alias.
    pub(super) fn request_id(&self) -> String {
        match self {
            Self::Object { key, etag } => {
                let etag = etag.as_ref().map_or("", ETag::as_str);
                tag(&format!("{key}\n{etag}"))
            }
            Self::Message(id) => plain(id),
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Object { key, etag } => {
                let etag = etag.as_ref().map_or("", ETag::as_str);
                format!("{key}/{}.json", tag(etag))
            }
            Self::Message(id) => format!("messages/{}.json", plain(id)),
        }
    }

    /// The key of the result.
    pub(super) fn result(&self, model: &ModelRef) -> Result<ObjectKey, Error> {
        key(&format!("results/{}/{}", folder(model), self.path()))
    }

    /// The key of the dead letter.
    pub(super) fn letter(&self, model: Option<&ModelRef>) -> Result<ObjectKey, Error> {
        let folder = model.map_or_else(|| "unrouted".to_owned(), folder);
        let named = key(&format!("dead-letters/{folder}/{}", self.path()));
        // A name too long for one more folder is told by its digest.
        named.or_else(|_| {
            key(&format!(
                "dead-letters/{folder}/messages/{}.json",
                digest(&self.path())
            ))
        })
    }
}

pub(crate) fn folder(model: &ModelRef) -> String {
    match &model.selector {
        Selector::Default => format!("{}/default", model.name),
        Selector::Version(version) => format!("{}/{version}", model.name),
        Selector::Alias(alias) => format!("{}/{alias}", model.name),
    }
}

/// Where the result and the dead letter of an object are, by its key and its content's tag.
pub(crate) fn places(
    model: &ModelRef,
    object: &str,
    tag: &str,
) -> Result<(ObjectKey, ObjectKey), Error> {
    let path = format!("{}/{object}/{tag}.json", folder(model));
    Ok((
        key(&format!("results/{path}"))?,
        key(&format!("dead-letters/{path}"))?,
    ))
}

fn key(text: &str) -> Result<ObjectKey, Error> {
    ObjectKey::new(text).map_err(|error| Error::new(ErrorKind::InvalidName, error))
}

/// Tells contents of one key apart.
pub(crate) fn tag(text: &str) -> String {
    digest(text)[..16].to_owned()
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).hex()
}

/// An id as it may stand in a key: itself, or its digest.
fn plain(id: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let whole = (1..=128).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(fits);
    if whole { id.to_owned() } else { digest(id) }
}

/// Where an input is.
#[derive(Debug, Serialize)]
pub(super) struct Address {
    /// As a URL; a message has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// The queue, topic or rule that it came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) via: Option<String>,
}

#[derive(Serialize)]
struct ResultDocument<'a> {
    input: &'a Address,
    reference: String,
    request_id: &'a str,
    answer: &'a RawValue,
}

/// A result, as it is stored. `answer` is the JSON of a reply.
pub(super) fn result(
    input: &Address,
    model: &ModelRef,
    request_id: &str,
    answer: &[u8],
) -> Result<Bytes, Error> {
    let answer: &RawValue = serde_json::from_slice(answer).map_err(|error| no_json(&error))?;
    write(&ResultDocument {
        input,
        reference: model.to_string(),
        request_id,
        answer,
    })
}

#[derive(Serialize)]
struct Letter<'a> {
    input: &'a Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    kind: &'static str,
    reason: &'a str,
    /// A message is kept with its reason: where it came from, it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Kept>,
}

#[derive(Serialize)]
struct Kept {
    text: String,
    bytes: usize,
}

/// A dead letter, as it is stored.
pub(super) fn letter(
    input: &Address,
    model: Option<&ModelRef>,
    kind: &'static str,
    reason: &str,
    body: Option<&Bytes>,
) -> Result<Bytes, Error> {
    write(&Letter {
        input,
        reference: model.map(ToString::to_string),
        kind,
        reason,
        message: body.map(|body| Kept {
            text: String::from_utf8_lossy(&body[..body.len().min(KEPT)]).into_owned(),
            bytes: body.len(),
        }),
    })
}

fn write(document: &impl Serialize) -> Result<Bytes, Error> {
    let mut bytes = serde_json::to_vec(document).map_err(|error| no_json(&error))?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

fn no_json(error: &serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("a result does not become JSON: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, etag: &str) -> Name {
        Name::Object {
            key: ObjectKey::new(key).unwrap(),
            etag: Some(ETag::new(etag)),
        }
    }

    #[test]
    fn one_input_has_one_key() {
        let model: ModelRef = "digits@production".parse().unwrap();
        let key = |name: &Name| name.result(&model).unwrap().to_string();
        let first = key(&object("inbox/a b.png", "\"1\""));
        assert!(
            first.starts_with("results/digits/production/inbox/a b.png/"),
            "{first}"
        );
        assert_eq!(first, key(&object("inbox/a b.png", "\"1\"")));
        for other in [
            object("inbox/a b.png", "\"2\""),
            object("inbox/a.png", "\"1\""),
        ] {
            assert_ne!(first, key(&other));
            assert_ne!(
                object("inbox/a b.png", "\"1\"").request_id(),
                other.request_id()
            );
        }
        let message = |id: &str| key(&Name::Message(id.to_owned()));
        assert_eq!(
            message("order-17"),
            "results/digits/production/messages/order-17.json"
        );
        for odd in ["", "..", "a/b", "ü", &"x".repeat(129)] {
            let key = message(odd);
            assert_eq!(
                key.len(),
                "results/digits/production/messages/.json".len() + 64,
                "{key}"
            );
        }
    }

    #[test]
    fn a_dead_letter_always_has_a_place() {
        let long = object(&"x".repeat(880), "1");
        let model: ModelRef = "digits".parse().unwrap();
        assert!(long.result(&model).is_err());
        for model in [Some(&model), None] {
            assert!(long.letter(model).unwrap().as_str().contains("/messages/"));
        }
    }
}
