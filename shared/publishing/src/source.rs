//! The ONNX file of a candidate.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use dunlin_engine::Limits;
use dunlin_registry::Digest;

use crate::candidate::read_file;
use crate::{Error, ErrorKind, Result};

/// A larger file is read again each time it is wanted: beside it in memory, compiling would need as much once more.
const HELD: usize = 256 << 20;

/// The bytes of a graph, held or to be read again.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Held(Bytes),
    Read {
        path: PathBuf,
        size: u64,
        digest: Digest,
    },
}

impl Source {
    /// A file, and its bytes.
    pub(crate) fn read(path: &Path) -> Result<(Self, Bytes)> {
        Self::read_above(path, HELD)
    }

    fn read_above(path: &Path, held: usize) -> Result<(Self, Bytes)> {
        let bytes = read_file(path, Limits::default().model_bytes as u64)?;
        let source = if bytes.len() > held {
            Self::Read {
                path: path.to_owned(),
                size: bytes.len() as u64,
                digest: Digest::of(&bytes),
            }
        } else {
            Self::Held(bytes.clone())
        };
        Ok((source, bytes))
    }

    /// The bytes; an error where the file is no longer what it was.
    pub(crate) fn bytes(&self) -> Result<Bytes> {
        let (path, size, digest) = match self {
            Self::Held(bytes) => return Ok(bytes.clone()),
            Self::Read { path, size, digest } => (path, *size, digest),
        };
        let bytes = read_file(path, size)?;
        if Digest::of(&bytes) == *digest {
            return Ok(bytes);
        }
        let message = format!("{} was changed while it was published", path.display());
        Err(Error::new(ErrorKind::Read, message))
    }

    /// The bytes, if they are in memory.
    pub(crate) fn held(&self) -> Option<&Bytes> {
        match self {
            Self::Held(bytes) => Some(bytes),
            Self::Read { .. } => None,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Read { size, .. } => *size,
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Held(bytes) => Digest::of(bytes),
            Self::Read { digest, .. } => *digest,
        }
    }
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Self {
        Self::Held(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, "graph").unwrap();
        let (held, _) = Source::read_above(&path, 5).unwrap();
        let (read, bytes) = Source::read_above(&path, 4).unwrap();
        assert_eq!(bytes, "graph");
        assert!(read.held().is_none());
        assert_eq!((read.size(), read.digest()), (held.size(), held.digest()));
        assert_eq!(read.bytes().unwrap(), "graph");
        for other in ["grape", "gra", "graphs"] {
            std::fs::write(&path, other).unwrap();
            read.bytes().unwrap_err();
            assert_eq!(held.bytes().unwrap(), "graph");
        }
    }
}
