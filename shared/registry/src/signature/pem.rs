//! Where a key is told: a PEM file, or its text.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{SigningKey, TrustedKeys};
use crate::{Error, ErrorKind, Result};

/// A PEM file, or its text: an environment has no files.
#[derive(Clone, PartialEq, Eq)]
pub enum PemSource {
    /// The file.
    File(PathBuf),
    /// What would be in it.
    Text(String),
}

impl PemSource {
    /// The key that signs.
    pub fn signing_key(&self) -> Result<SigningKey> {
        SigningKey::from_pem(&self.read()?)
    }

    /// The keys that are trusted.
    pub fn trusted_keys(&self) -> Result<TrustedKeys> {
        TrustedKeys::from_pem(&self.read()?)
    }

    fn read(&self) -> Result<String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| {
                let message = format!("cannot read the key {}", path.display());
                Error::with_source(ErrorKind::InvalidKey, message, error)
            }),
        }
    }
}

impl FromStr for PemSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text.contains("-----BEGIN ") {
            Self::Text(text.to_owned())
        } else {
            Self::File(text.into())
        })
    }
}

impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            // It may be a secret.
            Self::Text(_) => f.write_str("PEM text"),
        }
    }
}
