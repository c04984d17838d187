//! A model and which version of it, as people and paths write it.

use std::fmt;
use std::str::FromStr;

use crate::{Alias, Error, ModelName, Version};

/// Which version of a model is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Selector {
    /// The alias `production`, or, where there is none, the newest version.
    #[default]
    Default,
    /// This version.
    Version(Version),
    /// Whatever the alias names now.
    Alias(Alias),
}

/// A model and which version of it: `digits`, `digits@3`, `digits@production` (`:` for `@` too).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The model.
    pub name: ModelName,
    /// The version meant.
    pub selector: Selector,
}

impl FromStr for Selector {
    type Err = Error;
    /// Digits are a version, all else an alias.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            text.parse().map(Self::Version)
        } else {
            text.parse().map(Self::Alias)
        }
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Default => write!(f, "{}", self.name),
            Selector::Version(version) => write!(f, "{}@{version}", self.name),
            Selector::Alias(alias) => write!(f, "{}@{alias}", self.name),
        }
    }
}

impl FromStr for ModelRef {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, selector) = match text.split_once(['@', ':']) {
            Some((name, selector)) => (name, selector.parse()?),
            None => (text, Selector::Default),
        };
        Ok(Self {
            name: name.parse()?,
            selector,
        })
    }
}

impl From<ModelName> for ModelRef {
    fn from(name: ModelName) -> Self {
        Self {
            name,
            selector: Selector::Default,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn references() {
        let cases = [
            ("digits", "digits"),
            ("digits@3", "digits@3"),
            ("digits:3", "digits@3"),
            ("digits@production", "digits@production"),
            ("digits:v1.2", "digits@v1.2"),
        ];
        for (text, shown) in cases {
            assert_eq!(text.parse::<ModelRef>().unwrap().to_string(), shown);
        }
        for text in [
            "@3",
            "digits@",
            "digits@0",
            "digits@03",
            "digits@-1",
            "digits@3a",
            "digits@3@4",
            "digits@99999999999999999999",
            "digits@../x",
            "digits@a\0",
        ] {
            assert_eq!(
                text.parse::<ModelRef>().unwrap_err().kind(),
                ErrorKind::InvalidName,
                "{text:?}"
            );
        }
    }
}
