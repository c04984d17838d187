//! Labelled pictures, texts and series, pairs of texts, and series to be foretold: found, checked,
//! split, and fed to the training in batches.
//!
//! [`Source::open`] lists what lies at a path or an `s3://` URL. [`Dataset::pictures`],
//! [`Dataset::texts`], [`Dataset::labelled_series`] and [`Dataset::series`] read every example once, as serving would, and decide
//! which part it belongs to; [`Batches`] reads them again, epoch by epoch, on threads of its own.

mod batches;
mod census;
mod dataset;
mod decoder;
mod file;
mod folder;
mod pictures;
mod series;
mod slicing;
mod source;
mod split;
mod tables;
mod task;
mod texts;

pub use batches::{Batch, Batches, Epoch};
pub use census::Census;
pub use dataset::{Dataset, GatherOptions};
pub use decoder::Decoder;
pub(crate) use decoder::stack;
pub use pictures::{Augment, IMAGE};
pub use series::{Forecasting, LabelledSeriesOptions, SeriesOptions};
pub use slicing::Slicing;
pub use source::{Form, Source};
pub use split::Split;
pub use task::{Columns, Task};
pub use texts::{Beside, TextOptions, Words};

use bytes::Bytes;
use dunlin_registry::Digest;
use dunlin_storage::ObjectKey;

/// What an example is used for.
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

    /// The part that the name of a folder or a file stands for.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "train" | "training" => Some(Self::Train),
            "valid" | "val" | "validation" => Some(Self::Valid),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

/// Something to learn from.
#[derive(Debug, Clone)]
pub struct Example {
    /// Where it came from, for people.
    pub name: String,
    /// What a network should answer.
    pub target: Target,
    /// Of the bytes as they lay in the data.
    pub digest: Digest,
    /// Its values in the columns of [`GatherOptions::slice_by`].
    values: Vec<String>,
    content: Content,
}

/// What a network should answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A class: the place of its label in [`Dataset::labels`].
    Class(usize),
    /// The values that come next, scaled.
    Values {
        /// One a step.
        values: Vec<f32>,
        /// What the values of the season before would say.
        naive: Vec<f32>,
    },
    /// Two vectors that are nearer to one another than to those of other pairs.
    Pair,
}

/// An example before anybody has looked at it.
#[derive(Debug, Clone)]
struct Found {
    name: String,
    /// Of a pair there is none.
    label: Option<String>,
    /// The part that the data itself puts it in: not `Valid`, unless something there is named so.
    part: Option<Part>,
    values: Vec<String>,
    content: Content,
}

/// Where the bytes of an example are.
#[derive(Debug, Clone)]
enum Content {
    /// Here: the body of a request, and the digest of what it was made from.
    Held(Bytes, Digest),
    /// In the source's store.
    Stored(ObjectKey),
    /// Rows of a table: its first row, and the window.
    Rows([Bytes; 2]),
    /// Two texts, and the digest of what both say.
    Pair([Bytes; 2], Digest),
}
