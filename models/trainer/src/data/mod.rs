//! Labelled pictures: found, checked, split, and fed to the training in batches.
//!
//! [`Source::open`] lists what lies at a path or an `s3://` URL and knows its form by the names;
//! [`Dataset::gather`] reads every picture once, as serving would, and decides which part it belongs
//! to; [`Batches`] reads them again, epoch by epoch, on threads of its own.

mod augment;
mod batches;
mod census;
mod cifar;
mod dataset;
mod decoder;
mod folder;
mod idx;
mod source;
mod split;

pub use augment::Augment;
pub use batches::{Batch, Batches, Epoch};
pub use census::Census;
pub use dataset::{Dataset, GatherOptions};
pub use decoder::{Decoder, INPUT};
pub use source::{Form, Source};
pub use split::Split;

use bytes::Bytes;
use dunlin_registry::Digest;
use dunlin_storage::ObjectKey;

/// What a picture is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Weights are fitted to it.
    Train,
    /// Decides which weights are kept, and when to stop.
    Valid,
    /// Seen once, at the end.
    Test,
}

impl Part {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

/// A labelled picture.
#[derive(Debug, Clone)]
pub struct Example {
    /// Where it came from, for people.
    pub name: String,
    /// Its class: the place of its label in [`Dataset::labels`].
    pub class: usize,
    /// Of the bytes as they lay in the data.
    pub digest: Digest,
    content: Content,
}

/// A picture before anybody has looked at it.
#[derive(Debug, Clone)]
struct Found {
    name: String,
    label: String,
    /// The part that the data itself puts it in: not `Valid`, unless it has a folder of that name.
    part: Option<Part>,
    content: Content,
}

/// Where the bytes of a picture's file are.
#[derive(Debug, Clone)]
enum Content {
    /// Here: the file, and the digest of what it was made from where that was no picture file.
    Held(Bytes, Digest),
    /// In the source's store.
    Stored(ObjectKey),
}
