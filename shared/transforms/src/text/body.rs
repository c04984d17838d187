//! The texts of a request.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Error, Result};

/// A text, or two that are judged together.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "a text is a string, or a list of two strings that are judged together"
)]
pub(crate) enum Text {
    One(String),
    Pair([String; 2]),
}

/// Texts, and whether they came as a list.
pub(crate) type Texts = (Vec<Text>, bool);

impl Text {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::One(text) => text.len(),
            Self::Pair([text, pair]) => text.len() + pair.len(),
        }
    }
}

/// A body that is a text.
pub(crate) fn from_plain(body: &Bytes) -> Result<Texts> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Error::input(format!(
            "the text is not UTF-8, at byte {}",
            error.valid_up_to()
        ))
        .advise("save or convert it as UTF-8: iconv -f ENCODING -t UTF-8 FILE")
        .because(error)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok((vec![Text::One(text.to_owned())], false))
}

/// The fields `text`, `pair` and `texts` of a JSON body.
pub(crate) fn from_json(
    text: Option<&RawValue>,
    pair: Option<&RawValue>,
    texts: Option<&RawValue>,
) -> Result<Texts> {
    match (text, pair, texts) {
        (Some(text), None, None) => Ok((vec![Text::One(read("text", text)?)], false)),
        (Some(text), Some(pair), None) => {
            let pair = Text::Pair([read("text", text)?, read("pair", pair)?]);
            Ok((vec![pair], false))
        }
        (None, None, Some(texts)) => Ok((read("texts", texts)?, true)),
        _ => Err(Error::input(
            "the body is none of {\"text\": \"…\"}, {\"text\": \"…\", \"pair\": \"…\"} and \
             {\"texts\": [\"…\", …]}",
        )),
    }
}

fn read<'a, T: Deserialize<'a>>(name: &str, value: &'a RawValue) -> Result<T> {
    serde_json::from_str(value.get())
        .map_err(|error| Error::input(format!("`{name}`: {error}")).because(error))
}
