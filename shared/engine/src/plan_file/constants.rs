//! The constants of a plan: one region of bytes, equal ones stored once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::layout::ALIGN;
use crate::error::{Error, Result};

/// Where a constant lies in the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    offset: u64,
    len: u64,
}

#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// By hash; what has the same hash is compared.
    known: HashMap<u64, Vec<Span>>,
}

impl Writer {
    pub(super) fn add(&mut self, constant: &[u8]) -> Span {
        let mut hasher = DefaultHasher::new();
        constant.hash(&mut hasher);
        let same = self.known.entry(hasher.finish()).or_default();
        let bytes = &self.bytes;
        let equal = |span: &&Span| {
            let at = span.offset as usize;
            bytes[at..at + span.len as usize] == *constant
        };
        if let Some(span) = same.iter().find(equal) {
            return *span;
        }
        let offset = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(offset, 0);
        self.bytes.extend_from_slice(constant);
        let span = Span {
            offset: offset as u64,
            len: constant.len() as u64,
        };
        same.push(span);
        span
    }

    /// What was written so far, to be read again.
    pub(super) fn get(&self, span: Span) -> Bytes {
        let at = span.offset as usize;
        Bytes::copy_from_slice(&self.bytes[at..at + span.len as usize])
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what came after the region had this length.
    pub(super) fn rewind(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.known.retain(|_, spans| {
            spans.retain(|span| (span.offset as usize) < len);
            !spans.is_empty()
        });
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The region in aligned memory.
#[derive(Debug)]
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Gives constants by their place.
pub(super) trait Constants {
    fn get(&self, span: Span) -> Result<Bytes>;
}

impl Constants for Reader {
    /// A view, not a copy.
    fn get(&self, span: Span) -> Result<Bytes> {
        let end = span.offset.checked_add(span.len);
        let inside = end.is_some_and(|end| end <= self.len());
        if !inside || !span.offset.is_multiple_of(ALIGN as u64) {
            return Err(Error::invalid_model(
                "no sound plan: a constant lies outside its constants",
            ));
        }
        let at = span.offset as usize;
        Ok(self.0.slice(at..at + span.len as usize))
    }
}

impl Constants for Writer {
    fn get(&self, span: Span) -> Result<Bytes> {
        Ok(Self::get(self, span))
    }
}
