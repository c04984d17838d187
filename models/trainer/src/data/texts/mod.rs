//! Labelled texts, and pairs of texts that belong together.

mod tables;
mod vocabulary;

use bytes::Bytes;
use dunlin_protocol::{Datatype, TensorMetadata};
use dunlin_registry::Digest;
use dunlin_transforms::{InputSpec, Limits, TextSpec, Tokenizer};
use rayon::prelude::*;

use super::dataset::{Look, Sorted};
use super::{
    Census, Content, Dataset, Decoder, Example, Form, Found, GatherOptions, Part, Source, Task,
    folder,
};
use crate::recipes::TextShape;
use crate::{Error, Result};

/// The names of the network's inputs, `[batch, tokens]` each.
pub(crate) const INPUTS: [&str; 2] = ["input_ids", "attention_mask"];

/// What is learned from texts, and how they become tokens.
#[derive(Debug, Clone)]
pub struct TextOptions {
    /// The column of the texts.
    pub text: String,
    /// What stands beside it.
    pub beside: Beside,
    /// Tokens after which a text is cut.
    pub max_tokens: usize,
    /// Where the tokens come from.
    pub words: Words,
}

/// What stands beside a text, by the name of its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// Its label: classes are learned.
    Label(String),
    /// A text that belongs to it: meanings are learned.
    Pair(String),
}

/// Where tokens come from.
#[derive(Debug, Clone)]
pub enum Words {
    /// So many are learned from the training part.
    Learned(usize),
    /// A `tokenizer.json` has them.
    Given(Bytes),
}

impl Dataset {
    /// Reads every text once: leaves out those that are damaged, and copies of what is held out;
    /// learns tokens from the training part.
    pub fn texts(source: Source, options: &GatherOptions, texts: &TextOptions) -> Result<Self> {
        let (task, unit) = match texts.beside {
            Beside::Label(_) => (Task::TextClassification, "texts"),
            Beside::Pair(_) => (Task::SentenceSimilarity, "pairs"),
        };
        let tables = task == Task::SentenceSimilarity || source.tables().next().is_some();
        let form = if tables { Form::Tables } else { Form::Texts };
        let mut census = Census {
            unit,
            source: format!("{}, {form}", source.url()),
            ..Census::default()
        };
        let found = if tables {
            tables::find(&source, texts, &options.slice_by, &mut census)?
        } else {
            options.without_columns()?;
            read(&source, folder::find(&source, "texts", is_text)?)?
        };
        let looks = found.par_iter().map(look).collect();
        let mut parts = Sorted::sort(found, looks, census, options)?;
        let train = &parts.parts[Part::Train as usize];
        let tokenizer = match &texts.words {
            Words::Given(file) => file.clone(),
            Words::Learned(size) => vocabulary::learn(train, *size)?,
        };
        // Other tokens make another network.
        let all = [parts.census.digest.as_bytes(), &tokenizer].concat();
        parts.census.digest = Digest::of(&all).hex();
        // A pair comes as a list of two, as a client would ask for both.
        let media = match texts.beside {
            Beside::Label(_) => "text/plain",
            Beside::Pair(_) => "application/json",
        };
        let decoder = Decoder::texts(source, &tokenizer, texts.max_tokens, media)?;
        let mut data = Self::new(task, parts, decoder);
        data.files = vec![(TextSpec::TOKENIZER.to_owned(), tokenizer)];
        Ok(data)
    }

    /// What a network for these texts must take and give.
    pub fn text_shape(&self) -> Result<TextShape> {
        let [vocabulary, length] = self.decoder.sizes()[..] else {
            return Err(Error::data("these are no texts"));
        };
        Ok(TextShape {
            vocabulary,
            length,
            classes: self.labels.len(),
        })
    }
}

impl Example {
    /// Its texts: one, or a pair.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = match &self.content {
            Content::Held(text, _) => std::slice::from_ref(text),
            Content::Pair(pair, _) => &pair[..],
            _ => &[],
        };
        texts
            .iter()
            .filter_map(|text| std::str::from_utf8(text).ok())
    }
}

/// Whatever lies in the folder of a class, but for notes about the data.
fn is_text(name: &str) -> bool {
    name.contains('/')
}

/// Texts are small: they are held.
fn read(source: &Source, found: Vec<Found>) -> Result<Vec<Found>> {
    let hold = |mut found: Found| {
        if let Content::Stored(key) = &found.content {
            found.content = held(source.read(key)?);
        }
        Ok(found)
    };
    found.into_par_iter().map(hold).collect()
}

/// A text, and the digest of what it says.
fn held(text: Bytes) -> Content {
    let digest = said(&text);
    Content::Held(text, digest)
}

/// Two texts, and the digest of what both say.
fn held_pair(pair: [Bytes; 2]) -> Content {
    let both = pair.each_ref().map(|text| *said(text).as_bytes());
    Content::Pair(pair, Digest::of(both.as_flattened()))
}

/// Of copies: they may differ in case and white space.
fn said(text: &[u8]) -> Digest {
    let said = String::from_utf8_lossy(text).to_lowercase();
    let words: Vec<&str> = said.split_whitespace().collect();
    Digest::of(words.join(" ").as_bytes())
}

fn look(found: &Found) -> Look {
    let (texts, digest) = match &found.content {
        Content::Held(text, digest) => (std::slice::from_ref(text), digest),
        Content::Pair(pair, digest) => (&pair[..], digest),
        _ => return Look::Damaged("it is no text".to_owned()),
    };
    let limit = Limits::default().text_bytes;
    let bytes: usize = texts.iter().map(Bytes::len).sum();
    if bytes > limit {
        return Look::Damaged(format!("it has {bytes} bytes; the limit is {limit}"));
    }
    for text in texts {
        match std::str::from_utf8(text) {
            Err(error) => {
                let at = error.valid_up_to();
                return Look::Damaged(format!("it is not UTF-8, at byte {at}"));
            }
            Ok(text) if text.trim().is_empty() => return Look::Damaged("it is empty".to_owned()),
            Ok(_) => {}
        }
    }
    Look::Sound(*digest)
}

impl Decoder {
    fn texts(
        source: Source,
        tokenizer: &Bytes,
        max_tokens: usize,
        media: &'static str,
    ) -> Result<Self> {
        let spec = InputSpec::Text(TextSpec {
            tokenizer: Some(TextSpec::TOKENIZER.to_owned()),
            max_tokens: Some(max_tokens),
            ..TextSpec::default()
        });
        let inputs = INPUTS.map(|name| TensorMetadata {
            name: name.to_owned(),
            datatype: Datatype::Int64,
            shape: vec![-1, -1],
        });
        let tokenizer = Tokenizer::parse(tokenizer)
            .map_err(|error| Error::usage(error.to_string()).because(error))?;
        Self::new(source, spec, inputs.to_vec(), Some(media), Some(tokenizer))
    }
}
