//! A place in JSON text.

#![allow(
    clippy::inline_always,
    reason = "measured: arrays of numbers are read a fifth faster"
)]

use std::borrow::Cow;

use serde::de::{DeserializeOwned, IgnoredAny};

use super::Decimal;
use crate::{Error, ErrorKind};

/// How much of an offending token an error shows.
const SHOWN: usize = 24;

/// A place in JSON text, moving forward, with the nesting counted against a limit.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    max_depth: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], max_depth: usize) -> Self {
        Self {
            bytes,
            at: 0,
            depth: 0,
            max_depth,
        }
    }

    /// Bytes that are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next byte that is not white space; it is not taken.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes the next byte if it is `wanted`.
    #[inline(always)]
    pub(crate) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Takes an opening bracket, one level deeper.
    pub(crate) fn open(&mut self, bracket: u8) -> Result<(), Error> {
        if !self.take(bracket) {
            return Err(self.unexpected(if bracket == b'{' {
                "an object"
            } else {
                "an array"
            }));
        }
        self.depth += 1;
        if self.depth > self.max_depth {
            Err(self.too_deep())
        } else {
            Ok(())
        }
    }

    /// Takes a closing bracket if it is next.
    pub(crate) fn close(&mut self, bracket: u8) -> bool {
        let found = self.take(bracket);
        self.depth -= usize::from(found);
        found
    }

    /// Reads an object: `field` is called at each value and must take it.
    pub(crate) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.open(b'{')?;
        if self.close(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            if !self.take(b':') {
                return Err(self.unexpected("':'"));
            }
            field(self, &name)?;
            if self.close(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.unexpected("',' or '}'"));
            }
        }
    }

    /// Reads an array: `item` is called at each value and must take it.
    pub(crate) fn array(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.open(b'[')?;
        if self.close(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.close(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.unexpected("',' or ']'"));
            }
        }
    }

    /// Takes a number, if one is next.
    #[inline(always)]
    pub(crate) fn number(&mut self) -> Option<Decimal<'a>> {
        self.peek();
        let (number, length) = Decimal::scan(&self.bytes[self.at..])?;
        self.at += length;
        Some(number)
    }

    /// Takes the word `word` (`true`, `false`, `null`), if it is next.
    pub(crate) fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Takes a string.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string"));
        }
        let token = self.string_token()?;
        let inside = &token[1..token.len() - 1];
        let plain = !inside.iter().any(|&byte| byte == b'\\' || byte < b' ');
        if plain && let Ok(text) = std::str::from_utf8(inside) {
            return Ok(Cow::Borrowed(text));
        }
        serde_json::from_slice(token)
            .map(Cow::Owned)
            .map_err(|error| self.syntax(&error))
    }

    /// Takes a value of a form that `serde_json` reads.
    pub(crate) fn value<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let text = self.raw()?;
        serde_json::from_slice(text).map_err(|error| self.syntax(&error))
    }

    /// Takes a value that nobody wants, once it is seen to be JSON.
    pub(crate) fn ignore(&mut self) -> Result<(), Error> {
        self.value::<IgnoredAny>().map(drop)
    }

    /// Takes the text of a value, by its brackets and quotes alone: a later reader judges it.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8], Error> {
        self.peek();
        let start = self.at;
        let mut depth = self.depth;
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.unexpected("a value")),
                Some(b'"') => {
                    self.string_token()?;
                }
                Some(b'[' | b'{') => {
                    depth += 1;
                    if depth > self.max_depth {
                        return Err(self.too_deep());
                    }
                    self.at += 1;
                }
                Some(b']' | b'}') if depth > self.depth => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':' | b']' | b'}') if depth == self.depth => {
                    return Err(self.unexpected("a value"));
                }
                Some(_) if depth == self.depth => self.skip_word(),
                Some(_) => self.at += 1,
            }
            if depth == self.depth {
                return Ok(&self.bytes[start..self.at]);
            }
        }
    }

    /// Fails where anything but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// The start of what is next, for an error.
    pub(crate) fn shown(&mut self) -> String {
        self.peek();
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .enumerate()
            .position(|(at, byte)| at > 0 && b" \n\r\t,:[]{}".contains(byte))
            .unwrap_or(rest.len());
        let text = String::from_utf8_lossy(&rest[..length.min(SHOWN)]);
        let more = if length > SHOWN { "…" } else { "" };
        if rest.is_empty() {
            "the end of the text".into()
        } else {
            format!("{text}{more}")
        }
    }

    /// What is next is not what was wanted.
    pub(crate) fn unexpected(&mut self, wanted: &str) -> Error {
        let got = self.shown();
        let at = self.at;
        Error::new(
            ErrorKind::Json,
            format!("JSON at byte {at}: {wanted} was expected, not {got}"),
        )
    }

    fn syntax(&self, error: &serde_json::Error) -> Error {
        Error::new(
            ErrorKind::Json,
            format!("JSON before byte {}: {error}", self.at),
        )
    }

    fn too_deep(&self) -> Error {
        let (at, limit) = (self.at, self.max_depth);
        Error::new(
            ErrorKind::TooLarge,
            format!("JSON at byte {at}: nesting deeper than the limit of {limit}"),
        )
    }

    /// Takes a string with its quotes; the cursor is at the first.
    fn string_token(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        let mut at = start + 1;
        while let Some(found) = self.bytes[at..]
            .iter()
            .position(|b| matches!(b, b'"' | b'\\'))
        {
            at += found + 1;
            if self.bytes[at - 1] == b'"' {
                self.at = at;
                return Ok(&self.bytes[start..at]);
            }
            at = (at + 1).min(self.bytes.len());
        }
        Err(Error::new(
            ErrorKind::Json,
            format!("JSON at byte {start}: the string that starts here does not end"),
        ))
    }

    fn skip_word(&mut self) {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|byte| b" \n\r\t,:[]{}\"".contains(byte));
        self.at += end.unwrap_or(rest.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn raw_takes_exactly_one_value() {
        for (text, want) in [
            ("1,2", Some("1")),
            (" [1,[2]] ,3", Some("[1,[2]]")),
            (r#""a\"]",1"#, Some(r#""a\"]""#)),
            (r#"{"a":"}"}]"#, Some(r#"{"a":"}"}"#)),
            ("true}", Some("true")),
            ("", None),
            ("]", None),
            (",", None),
            ("[1", None),
            (r#""a"#, None),
            (r#""a\"#, None),
        ] {
            let got = Cursor::new(text.as_bytes(), 9)
                .raw()
                .ok()
                .map(<[u8]>::to_vec);
            assert_eq!(got, want.map(|want| want.as_bytes().to_vec()), "{text:?}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        for depth in [3, 4] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let error = Cursor::new(text.as_bytes(), 3).value::<Value>().err();
            assert_eq!(
                error.map(|error| error.kind()),
                (depth > 3).then_some(ErrorKind::TooLarge)
            );
        }
    }

    proptest! {
        #[test]
        fn strings_are_read_as_serde_json_reads_them(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            let mut cursor = Cursor::new(json.as_bytes(), 1);
            prop_assert_eq!(cursor.string().unwrap(), text);
            cursor.end().unwrap();
        }

        #[test]
        fn any_bytes_are_read_or_refused_as_serde_json_does(text in r#"[\[\]{}",:0-9a\\ ]{0,12}"#) {
            let mut cursor = Cursor::new(text.as_bytes(), 32);
            let ours = cursor.value::<Value>().and_then(|value| cursor.end().map(|()| value));
            let theirs = serde_json::from_str::<Value>(&text);
            prop_assert_eq!(ours.ok(), theirs.ok());
        }
    }
}
