//! Names of objects.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

/// The longest key, in bytes: S3 takes 1024, which leaves room for a store's own prefix.
pub const MAX_KEY_BYTES: usize = 900;

/// The folder where a directory store keeps its locks and unfinished files.
pub(crate) const RESERVED: &str = ".dunlin";

/// The name of an object in a store: segments separated by `/`.
///
/// Every key is safe as an S3 key, as a path below a folder and in a URL, because its
/// constructor refuses all that is not: an empty key, empty segments (so no leading, trailing or
/// double `/`), `.` and `..`, control characters, backslashes, more than [`MAX_KEY_BYTES`], and
/// the first segment `.dunlin`, which stores keep for themselves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Checks a name. Errors are of kind [`ErrorKind::InvalidKey`].
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        match fault(name) {
            None => Ok(Self(name.to_owned())),
            Some(fault) => Err(Error::new(
                ErrorKind::InvalidKey,
                "name",
                format!("{name:?}"),
                fault,
            )),
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of `name` below this one.
    pub fn join(&self, name: impl AsRef<str>) -> Result<Self> {
        Self::new(format!("{}/{}", self.0, name.as_ref()))
    }
}

fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a key may not be empty".into());
    }
    if name.len() > MAX_KEY_BYTES {
        return Some(format!(
            "the key has {} bytes, the limit is {MAX_KEY_BYTES}",
            name.len()
        ));
    }
    if let Some(bad) = name.chars().find(|c| forbidden(*c)) {
        return Some(format!("a key may not contain {bad:?}"));
    }
    if name
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Some("a key's segments may not be empty, `.` or `..`".into());
    }
    if name.split('/').next() == Some(RESERVED) {
        return Some(format!(
            "the folder {RESERVED} is kept for the store itself"
        ));
    }
    None
}

/// Not safe in a path, or (the last two) not writable in the XML that S3 lists with.
fn forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\\' | '\u{fffe}' | '\u{ffff}')
}

/// Refuses a prefix that no key can begin with, so that none leads out of a directory.
pub(crate) fn check_prefix(operation: &'static str, store: &str, prefix: &str) -> Result<()> {
    let folders = prefix.rsplit_once('/').map(|(folders, _)| folders);
    let fault = if let Some(bad) = prefix.chars().find(|c| forbidden(*c)) {
        format!("a prefix may not contain {bad:?}")
    } else if folders.is_some_and(|f| f.split('/').any(|s| matches!(s, "" | "." | ".."))) {
        "a prefix's segments may not be empty, `.` or `..`".to_owned()
    } else {
        return Ok(());
    };
    let object = format!("{store} below {prefix:?}");
    Err(Error::new(ErrorKind::InvalidKey, operation, object, fault))
}

/// A folder's name as the prefix of what is in it.
pub(crate) fn folder_prefix(operation: &'static str, store: &str, folder: &str) -> Result<String> {
    let folder = folder.strip_suffix('/').unwrap_or(folder);
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    check_prefix(operation, store, &prefix).map(|()| prefix)
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ObjectKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectKey {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_keys_pass_and_bad_ones_say_why() {
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        let cases = [
            ("a", None),
            ("models/digits/versions/1.json", None),
            ("blank and +plus, ümlaut/日本", None),
            (".hidden/..double/...", None),
            ("", Some("empty")),
            ("/a", Some("segments")),
            ("a/", Some("segments")),
            ("a//b", Some("segments")),
            ("a/../b", Some("segments")),
            (".", Some("segments")),
            ("a\0b", Some("'\\0'")),
            ("a\nb", Some("'\\n'")),
            ("a\\b", Some("'\\\\'")),
            (".dunlin/tmp/1", Some(".dunlin")),
            (&long, Some("901 bytes")),
        ];
        for (name, wanted) in cases {
            match (ObjectKey::new(name), wanted) {
                (Ok(key), None) => assert_eq!(key.as_str(), name),
                (Err(error), Some(word)) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidKey);
                    assert!(error.to_string().contains(word), "{name:?}: {error}");
                }
                (got, _) => panic!("{name:?}: {got:?}"),
            }
        }
    }
}
