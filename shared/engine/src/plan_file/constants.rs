//! The constants of a plan: one region of bytes, equal ones stored once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::layout::{self, ALIGN};
use crate::error::{Error, Result};

/// Where a constant lies in the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    offset: u64,
    len: u64,
}

/// The region as it grows. What a graph holds anyway is not copied: its memory is shared until the file is written.
#[derive(Default)]
pub(super) struct Writer {
    /// By their offsets.
    pieces: Vec<(u64, Bytes)>,
    len: u64,
    /// By hash; what has the same hash is compared.
    known: HashMap<u64, Vec<Span>>,
}

impl Writer {
    /// Adds a copy of these bytes.
    pub(super) fn add(&mut self, constant: &[u8]) -> Span {
        self.insert(constant, || layout::aligned_copy(constant))
    }

    /// Adds these bytes, which must be aligned as their readers want them.
    pub(super) fn share(&mut self, constant: &Bytes) -> Span {
        self.insert(constant, || constant.clone())
    }

    fn insert(&mut self, constant: &[u8], piece: impl FnOnce() -> Bytes) -> Span {
        let mut hasher = DefaultHasher::new();
        constant.hash(&mut hasher);
        let hash = hasher.finish();
        let mut same = self.known.get(&hash).into_iter().flatten();
        if let Some(span) = same.find(|span| *self.piece(**span) == *constant) {
            return *span;
        }
        let span = Span {
            offset: self.len.next_multiple_of(ALIGN as u64),
            len: constant.len() as u64,
        };
        self.pieces.push((span.offset, piece()));
        self.len = span.offset + span.len;
        self.known.entry(hash).or_default().push(span);
        span
    }

    fn piece(&self, span: Span) -> &Bytes {
        // Where empty ones lie at the same offset, they are first.
        let at = self.pieces.partition_point(|(offset, piece)| {
            *offset < span.offset || (*offset == span.offset && piece.is_empty() && span.len > 0)
        });
        &self.pieces[at].1
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Forgets what came after the region had this length.
    pub(super) fn rewind(&mut self, len: u64) {
        self.pieces.retain(|(offset, _)| *offset < len);
        self.len = len;
        self.known.retain(|_, spans| {
            spans.retain(|span| span.offset < len);
            !spans.is_empty()
        });
    }

    /// The region's bytes.
    pub(super) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut end = 0;
        for (offset, piece) in &self.pieces {
            out.write_all(&[0; ALIGN][..(offset - end) as usize])?;
            out.write_all(piece)?;
            end = offset + piece.len() as u64;
        }
        Ok(())
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
    /// What was written so far, to be read again.
    fn get(&self, span: Span) -> Result<Bytes> {
        Ok(self.piece(span).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_again() {
        let mut writer = Writer::default();
        let constants: [&[u8]; 6] = [&[1; 64], &[], &[2; 3], &[], &[1; 64], &[2; 3]];
        let spans = constants.map(|constant| writer.add(constant));
        for (span, constant) in spans.into_iter().zip(constants) {
            assert_eq!(*writer.piece(span), *constant);
        }
        assert_eq!(
            [spans[0], spans[2]],
            [spans[4], spans[5]],
            "equal ones lie once"
        );
        let mut file = Vec::new();
        writer.write_to(&mut file).expect("a vector takes all");
        assert_eq!(file.len() as u64, writer.len());
        let region = Reader(Bytes::from(file));
        for (span, constant) in spans.into_iter().zip(constants) {
            assert_eq!(region.get(span).expect("in the region"), *constant);
        }
        writer.rewind(64);
        assert_eq!(writer.add(&[3]).offset, 64);
    }
}
