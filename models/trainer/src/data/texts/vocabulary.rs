//! A tokenizer, learned from texts: `WordPiece`, as BERT has it (Wu et al., "Google's Neural Machine
//! Translation System", 2016).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainerBuilder};
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizedString, Normalizer as _, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer as _, TokenizerBuilder, Trainer as _,
};

use crate::data::Example;
use crate::{Error, ErrorKind, Result};

/// The first of them stands for padding, the second for words that can't be written with the others.
const SPECIAL: [&str; 4] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];

/// Letters that words are made of, each as the beginning of a word and inside one. The rarer ones
/// are no letters: a vocabulary of them would be long, and seldom used.
const LETTERS: usize = 150;

/// The least vocabulary: all that every text can be written with.
pub(crate) const LEAST: usize = SPECIAL.len() + 2 * LETTERS;

/// A `tokenizer.json` with so many tokens at most. The same texts give the same file.
pub(super) fn learn(texts: &[Example], size: usize) -> Result<Bytes> {
    if size < LEAST {
        return Err(Error::usage(format!(
            "--vocabulary must be at least {LEAST}"
        )));
    }
    let texts = texts.iter().flat_map(Example::texts);
    let file = train(texts, size).map_err(|error| {
        Error::new(ErrorKind::Failed, "no tokenizer can be learned").because(error)
    })?;
    Ok(file.into())
}

fn train<'a>(texts: impl Iterator<Item = &'a str>, size: usize) -> tokenizers::Result<String> {
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for text in texts {
        for word in split(text)? {
            *words.entry(word).or_default() += 1;
        }
    }
    let letters = letters(&words);
    words.retain(|word, _| word.chars().all(|letter| letters.contains(&letter)));
    let special = SPECIAL.map(|token| AddedToken::from(token, true));
    // The trainer would number these as it meets them, in an order that is another each time; and what
    // is learned from equally frequent pairs depends on the numbers.
    let inside = letters
        .iter()
        .map(|letter| AddedToken::from(format!("##{letter}"), true));
    let mut trainer = WordPieceTrainerBuilder::new()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(special.iter().cloned().chain(inside).collect())
        .build();
    let all = words
        .iter()
        .flat_map(|(word, count)| std::iter::repeat_n(word, *count));
    trainer.feed(all, |word| Ok(vec![word.to_owned()]))?;
    let mut model = WordPiece::default();
    trainer.train(&mut model)?;

    let template = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")?
        .try_pair("[CLS] $A [SEP] $B:1 [SEP]:1")?
        .special_tokens(vec![("[CLS]", 2), ("[SEP]", 3)])
        .build()?;
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(model)
        .with_normalizer(Some(BertNormalizer::default()))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(template))
        .with_decoder(None::<DecoderWrapper>)
        .build()?;
    tokenizer.add_special_tokens(special)?;
    tokenizer.to_string(false)
}

/// The words of a text, as the tokenizer will see them.
fn split(text: &str) -> tokenizers::Result<Vec<String>> {
    let mut text = NormalizedString::from(text);
    BertNormalizer::default().normalize(&mut text)?;
    let mut words = PreTokenizedString::from(text);
    BertPreTokenizer.pre_tokenize(&mut words)?;
    let words = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
    Ok(words
        .into_iter()
        .map(|(word, ..)| word.to_owned())
        .collect())
}

/// The letters that come most often; of equally frequent ones, the first.
fn letters(words: &BTreeMap<String, usize>) -> BTreeSet<char> {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for (word, count) in words {
        for letter in word.chars() {
            *counts.entry(letter).or_default() += count;
        }
    }
    let mut ranked: Vec<(Reverse<usize>, char)> = counts
        .into_iter()
        .map(|(letter, count)| (Reverse(count), letter))
        .collect();
    ranked.sort_unstable();
    ranked.truncate(LETTERS);
    ranked.into_iter().map(|(_, letter)| letter).collect()
}
