//! A stored file that is read piece by piece: however large it is, one piece is held.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dunlin_storage::{ObjectMeta, Store};
use tokio::runtime::Handle;

/// Bytes that are fetched at one time.
const PIECE: u64 = 1 << 20;

/// A file of a data set, as it was when it was listed: once replaced, reading it fails.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) store: Arc<dyn Store>,
    pub(super) runtime: Handle,
    pub(super) meta: ObjectMeta,
}

impl File {
    pub(super) fn name(&self) -> &str {
        self.meta.key.as_str()
    }

    /// The bytes from `start`, at most so many.
    pub(super) fn piece(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let ObjectMeta {
            key, etag, size, ..
        } = &self.meta;
        let range = start.min(*size)..start.saturating_add(length).min(*size);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let get = self
            .store
            .get_range(key, range, Some(etag), BytesMut::new());
        let (_, bytes) = self.runtime.block_on(get).map_err(io::Error::other)?;
        Ok(bytes.freeze())
    }

    /// All from `start`.
    pub(super) fn read_from(&self, start: u64) -> Pieces {
        Pieces {
            file: self.clone(),
            next: start,
            held: Bytes::new(),
        }
    }
}

/// Reads a [`File`] forwards.
#[derive(Debug)]
pub(super) struct Pieces {
    file: File,
    next: u64,
    held: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.held.is_empty() {
            self.held = self.file.piece(self.next, PIECE)?;
            self.next += self.held.len() as u64;
        }
        let length = into.len().min(self.held.len());
        into[..length].copy_from_slice(&self.held.split_to(length));
        Ok(length)
    }
}
