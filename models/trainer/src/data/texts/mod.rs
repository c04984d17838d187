//! Labelled texts.

mod tables;
mod vocabulary;

use bytes::Bytes;
use dunlin_protocol::{Datatype, TensorMetadata};
use dunlin_registry::Digest;
use dunlin_transforms::{InputSpec, Limits, TextSpec, Tokenizer};
use rayon::prelude::*;

use super::dataset::{Look, Sorted};
use super::source::is_table;
use super::{
    Census, Content, Dataset, Decoder, Example, Form, Found, GatherOptions, Part, Source, folder,
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
    /// The column of the labels.
    pub label: String,
    /// Tokens after which a text is cut.
    pub max_tokens: usize,
    /// Where the tokens come from.
    pub words: Words,
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
        let tables = source
            .files()
            .iter()
            .any(|file| is_table(file.key.as_str()));
        let form = if tables { Form::Tables } else { Form::Texts };
        let mut census = Census {
            unit: "texts",
            source: format!("{}, {form}", source.url()),
            ..Census::default()
        };
        let found = if tables {
            tables::find(&source, texts, &mut census)?
        } else {
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
        let decoder = Decoder::texts(source, &tokenizer, texts.max_tokens)?;
        let mut data = Self::new(parts, decoder);
        data.files = vec![(TextSpec::TOKENIZER.to_owned(), tokenizer)];
        Ok(data)
    }

    /// What a network for these texts must take and give.
    pub fn text_shape(&self) -> Result<TextShape> {
        let [vocabulary, length, classes] = self.sizes()[..] else {
            return Err(Error::data("these are no texts"));
        };
        Ok(TextShape {
            vocabulary,
            length,
            classes,
        })
    }
}

impl Example {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Held(text, _) => std::str::from_utf8(text).ok(),
            _ => None,
        }
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

/// A text, and the digest of what it says: copies may differ in case and white space.
fn held(text: Bytes) -> Content {
    let said = String::from_utf8_lossy(&text).to_lowercase();
    let words: Vec<&str> = said.split_whitespace().collect();
    Content::Held(text, Digest::of(words.join(" ").as_bytes()))
}

fn look(found: &Found) -> Look {
    let Content::Held(text, digest) = &found.content else {
        return Look::Damaged("it is no text".to_owned());
    };
    let limit = Limits::default().text_bytes;
    match std::str::from_utf8(text) {
        Err(error) => Look::Damaged(format!("it is not UTF-8, at byte {}", error.valid_up_to())),
        Ok(text) if text.trim().is_empty() => Look::Damaged("it is empty".to_owned()),
        Ok(text) if text.len() > limit => {
            Look::Damaged(format!("it has {} bytes; the limit is {limit}", text.len()))
        }
        Ok(_) => Look::Sound(*digest),
    }
}

impl Decoder {
    fn texts(source: Source, tokenizer: &Bytes, max_tokens: usize) -> Result<Self> {
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
        let media = Some("text/plain");
        Self::new(source, spec, inputs.to_vec(), media, Some(tokenizer))
    }
}
