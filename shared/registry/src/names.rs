//! Names with their rules, each checked once, where the value is made.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

const NAME_LIMIT: usize = 128;
const ALIAS_LIMIT: usize = 64;

/// The name of a model: `A-Z a-z 0-9 . _ -`, at most 128 of them, a letter or digit first, no `..`.
///
/// Safe as one segment of an object key, of a URL and of a file path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

/// A name that can be moved from version to version, such as `production`: letters, digits and
/// `. _ -`, at most 64, a letter first (so that it never reads as a version number), no `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Alias(String);

/// The number of a version, from 1. A number names one version for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Version(NonZeroU64);

fn check(what: &str, text: &str, limit: usize, first: fn(&u8) -> bool) -> Result<(), Error> {
    let refuse = |why: &str| {
        // Escaped and cut: what was got may be hostile, and ends in a log or a terminal.
        let shown: String = text
            .chars()
            .take(60)
            .flat_map(char::escape_default)
            .collect();
        Err(Error::new(
            ErrorKind::InvalidName,
            format!("{what} \"{shown}\": {why}"),
        ))
    };
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return refuse("is empty");
    }
    if bytes.len() > limit {
        return refuse(&format!(
            "has {} bytes, at most {limit} are allowed",
            bytes.len()
        ));
    }
    if let Some(bad) = text
        .chars()
        .find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-'))
    {
        return refuse(&format!(
            "holds '{}'; allowed are the letters A-Z and a-z, digits, '.', '_' and '-'",
            bad.escape_default()
        ));
    }
    if !first(&bytes[0]) {
        return refuse(&format!("starts with '{}'", bytes[0] as char));
    }
    if text.contains("..") {
        return refuse("holds \"..\"");
    }
    Ok(())
}

macro_rules! text_name {
    ($name:ident, $what:literal, $limit:expr, $first:expr) => {
        impl $name {
            #[doc = concat!("Checks the rules of a ", $what, ".")]
            pub fn new(text: impl Into<String>) -> Result<Self, Error> {
                let text = text.into();
                check($what, &text, $limit, $first)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
text_name!(
    ModelName,
    "model name",
    NAME_LIMIT,
    u8::is_ascii_alphanumeric
);
text_name!(Alias, "alias", ALIAS_LIMIT, u8::is_ascii_alphabetic);

impl ModelName {
    /// The nearest allowed name to a text such as a file's stem: what isn't allowed becomes `-`.
    ///
    /// Fails where nothing is left of it.
    pub fn sanitize(text: &str) -> Result<Self, Error> {
        let mut name = String::new();
        for c in text.chars() {
            let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            };
            // No runs of punctuation: they read badly, and `..` is not allowed.
            if c.is_ascii_alphanumeric() || name.ends_with(|l: char| l.is_ascii_alphanumeric()) {
                name.push(c);
            }
            if name.len() == NAME_LIMIT {
                break;
            }
        }
        let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if name.is_empty() {
            // The error of the text itself says best what was wrong with it.
            return Self::new(text);
        }
        Self::new(name)
    }
}

impl Alias {
    /// The alias that a name alone stands for.
    pub fn production() -> Self {
        Self("production".to_owned())
    }
}

impl Version {
    /// The first version of any model.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// A version number; zero is none.
    pub fn new(number: u64) -> Result<Self, Error> {
        NonZeroU64::new(number).map(Self).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidName,
                "version 0: versions are numbered from 1",
            )
        })
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The number after this one.
    pub(crate) fn next(self) -> Result<Self, Error> {
        self.0
            .checked_add(1)
            .map(Self)
            .ok_or_else(|| Error::new(ErrorKind::TooLarge, "the model has no version number left"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Version {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        // One spelling a number: no sign, no leading zero.
        let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let number = if digits { text.parse().ok() } else { None };
        number.map(Self).ok_or_else(|| {
            let shown: String = text
                .chars()
                .take(60)
                .flat_map(char::escape_default)
                .collect();
            Error::new(
                ErrorKind::InvalidName,
                format!("version \"{shown}\": a version is a whole number from 1"),
            )
        })
    }
}

impl TryFrom<u64> for Version {
    type Error = Error;
    fn try_from(number: u64) -> Result<Self, Error> {
        Self::new(number)
    }
}

impl From<Version> for u64 {
    fn from(version: Version) -> u64 {
        version.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_names() {
        for text in [
            "digits",
            "ResNet-50",
            "a",
            "7b",
            "all.MiniLM_L6-v2",
            &"x".repeat(128),
        ] {
            assert_eq!(ModelName::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_that_are_refused() {
        let long = "x".repeat(129);
        let cases = [
            ("", "is empty"),
            ("../etc/passwd", "holds '/'"),
            ("..", "starts with '.'"),
            ("a..b", "holds \"..\""),
            ("a/b", "holds '/'"),
            ("a\\b", "holds '\\\\'"),
            ("a\0b", "holds '\\u{0}'"),
            ("a b", "holds ' '"),
            ("ｄigits", "holds '\\u{ff44}'"),
            ("a\u{202e}b", "holds '\\u{202e}'"),
            ("modèle", "holds '\\u{e8}'"),
            ("-a", "starts with '-'"),
            (".hidden", "starts with '.'"),
            ("a@b", "holds '@'"),
            ("a%2e", "holds '%'"),
            (&long, "129 bytes"),
        ];
        for (text, why) in cases {
            let error = ModelName::new(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{text:?}");
            assert!(error.to_string().contains(why), "{text:?}: {error}");
            assert!(error.to_string().is_ascii(), "{text:?}: {error}");
            assert!(
                error.to_string().chars().all(|c| !c.is_control()),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn names_from_files() {
        let cases = [
            ("resnet50-v1-7", "resnet50-v1-7"),
            ("My Model (final)", "My-Model-final"),
            ("..hidden..name", "hidden.name"),
            ("modèle", "mod-le"),
            ("_x_", "x"),
        ];
        for (text, name) in cases {
            assert_eq!(ModelName::sanitize(text).unwrap().as_str(), name);
        }
        assert!(ModelName::sanitize("дом").is_err());
        assert_eq!(
            ModelName::sanitize(&"y".repeat(500))
                .unwrap()
                .as_str()
                .len(),
            128
        );
    }

    #[test]
    fn versions_in_json() {
        assert_eq!(
            serde_json::to_string(&Version::new(7).unwrap()).unwrap(),
            "7"
        );
        assert!(serde_json::from_str::<Version>("0").is_err());
        assert!(serde_json::from_str::<ModelName>("\"../x\"").is_err());
    }
}
