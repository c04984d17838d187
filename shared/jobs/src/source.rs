//! A stored object as a file that is read piece by piece.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dunlin_storage::{ObjectMeta, Store};
use tokio::runtime::Handle;

/// Bytes fetched at one time when an object is read from its start to its end.
const PIECE: u64 = 4 << 20;

/// An object of a store, read on a thread that may block.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    store: Arc<dyn Store>,
    meta: ObjectMeta,
    runtime: Handle,
}

impl Source {
    /// The object, as it was when `meta` was told: once replaced, reading it fails.
    pub(crate) fn new(store: Arc<dyn Store>, meta: ObjectMeta, runtime: Handle) -> Self {
        Self {
            store,
            meta,
            runtime,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.meta.size
    }

    /// The bytes from `start`, at most `length` of them.
    pub(crate) fn piece(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let start = start.min(self.meta.size);
        let end = start.saturating_add(length).min(self.meta.size);
        if start == end {
            return Ok(Bytes::new());
        }
        let ObjectMeta { key, etag, .. } = &self.meta;
        let get = self
            .store
            .get_range(key, start..end, Some(etag), BytesMut::new());
        let (_, bytes) = self.runtime.block_on(get).map_err(io::Error::other)?;
        Ok(bytes.freeze())
    }

    /// All from `start`, fetched in pieces of `piece` bytes.
    pub(crate) fn read_from(&self, start: u64, piece: u64) -> SourceRead {
        SourceRead {
            source: self.clone(),
            next: start,
            piece,
            held: Bytes::new(),
        }
    }

    /// All of it.
    pub(crate) fn read(&self) -> SourceRead {
        self.read_from(0, PIECE)
    }
}

/// Reads a [`Source`] forwards.
#[derive(Debug)]
pub(crate) struct SourceRead {
    source: Source,
    next: u64,
    piece: u64,
    held: Bytes,
}

impl Read for SourceRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.held.is_empty() {
            self.held = self.source.piece(self.next, self.piece)?;
            self.next += self.held.len() as u64;
        }
        let length = into.len().min(self.held.len());
        into[..length].copy_from_slice(&self.held.split_to(length));
        Ok(length)
    }
}
