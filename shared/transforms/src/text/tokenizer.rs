//! `tokenizer.json`, as Hugging Face's libraries write it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::{EncodeInput, Encoding, PaddingDirection, PostProcessor as _, TruncationParams};

use super::Text;
use crate::{Error, Result};

/// Most bytes of the file: those of 256,000 tokens take half of it.
const MAX_BYTES: usize = 64 << 20;

/// What padding tokens are called, for files that declare no padding.
const PADS: [&str; 3] = ["[PAD]", "<pad>", "<|pad|>"];

/// A tokenizer: `WordPiece`, BPE, Unigram or whole words, with all that its file says.
#[derive(Clone)]
pub struct Tokenizer(tokenizers::Tokenizer);

/// What stands in the place of tokens that a text doesn't have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Padding {
    pub(super) id: u32,
    pub(super) type_id: u32,
    pub(super) left: bool,
}

impl fmt::Debug for Tokenizer {
    /// Without the vocabulary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.0.get_vocab_size(true);
        f.debug_struct("Tokenizer")
            .field("tokens", &tokens)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn parse(file: &[u8]) -> Result<Self> {
        if file.len() > MAX_BYTES {
            return Err(Error::too_large(format!(
                "the tokenizer's file has {} bytes; the limit is {MAX_BYTES}",
                file.len()
            )));
        }
        let read = calmly(|| tokenizers::Tokenizer::from_bytes(file));
        let mut tokenizer = read.map_err(|why| {
            Error::spec(format!("the tokenizer's file can't be read: {why}")).advise(
                "it is the tokenizer.json that `save_pretrained` of a fast tokenizer writes, \
                 or `Tokenizer.save` of Hugging Face's tokenizers",
            )
        })?;
        if tokenizer.get_vocab_size(true) == 0 {
            return Err(Error::spec("the tokenizer has no tokens"));
        }
        // Texts of a request are filled up to the same length here, not one by one there.
        let padding = tokenizer.get_padding().cloned();
        if let Some(mut padding) = padding {
            padding.strategy = tokenizers::PaddingStrategy::BatchLongest;
            padding.pad_to_multiple_of = None;
            tokenizer.with_padding(Some(padding));
        }
        Ok(Self(tokenizer))
    }

    /// The declared padding, else the token that is called so.
    pub(super) fn padding(&self) -> Result<Padding> {
        if let Some(padding) = self.0.get_padding() {
            if self.0.id_to_token(padding.pad_id).is_none() {
                return Err(Error::spec(format!(
                    "the tokenizer pads with token {}, which it does not have",
                    padding.pad_id
                )));
            }
            return Ok(Padding {
                id: padding.pad_id,
                type_id: padding.pad_type_id,
                left: matches!(padding.direction, PaddingDirection::Left),
            });
        }
        let known = PADS.iter().find_map(|name| self.0.token_to_id(name));
        let id = known.ok_or_else(|| {
            Error::spec(format!(
                "the tokenizer declares no padding and has no token {}",
                PADS.join(", ")
            ))
            .advise(
                "declare the token to pad with: \
                 `tokenizer.enable_padding(pad_id=…, pad_token=…)`, then save it again",
            )
        })?;
        Ok(Padding {
            id,
            type_id: 0,
            left: false,
        })
    }

    /// Tokens after which the file itself has texts cut.
    pub(super) fn declared_max(&self) -> Option<usize> {
        self.0.get_truncation().map(|cut| cut.max_length)
    }

    /// Has texts cut after so many tokens, from the side that the file says.
    pub(super) fn cut_at(&mut self, max: usize) -> Result<()> {
        let added = self
            .0
            .get_post_processor()
            .map_or(0, |template| template.added_tokens(true));
        if max <= added {
            return Err(Error::spec(format!(
                "`max_tokens` is {max}, and {added} are the tokenizer's own: there is no room for text"
            )));
        }
        let declared = self.0.get_truncation().cloned().unwrap_or_default();
        let cut = TruncationParams {
            max_length: max,
            stride: 0,
            ..declared
        };
        self.0
            .with_truncation(Some(cut))
            .map(|_| ())
            .map_err(|error| Error::spec(format!("`max_tokens` of {max}: {error}")))
    }

    /// The largest id of any token.
    pub(super) fn largest(&self) -> u32 {
        let tokens = self.0.get_vocab(true);
        tokens.into_values().max().unwrap_or_default()
    }

    pub(super) fn encode(&self, text: &Text) -> Result<Encoding> {
        let input: EncodeInput<'_> = match text {
            Text::One(text) => text.as_str().into(),
            Text::Pair([text, pair]) => (text.as_str(), pair.as_str()).into(),
        };
        calmly(|| self.0.encode_fast(input, true))
            .map_err(|why| Error::input(format!("the text does not become tokens: {why}")))
    }
}

/// Work on files and texts of others, whose panic is an error like any other.
fn calmly<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizer panicked".to_owned()),
    }
}
