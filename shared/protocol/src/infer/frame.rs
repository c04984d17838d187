//! A body: JSON, and binary tensors behind it.

use bytes::Bytes;

use super::{Encoded, HEADER_LENGTH};
use crate::{Error, ErrorKind, Limits};

/// A body taken apart.
pub(super) struct Frame {
    /// The JSON.
    pub(super) json: Bytes,
    binary: Option<Bytes>,
}

impl Frame {
    /// Takes a body apart where `header_length` says.
    pub(super) fn split(
        body: &Bytes,
        header_length: Option<usize>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let (length, limit) = (body.len(), limits.body_bytes);
        if length > limit {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("a body of {length} bytes; the limit is {limit}"),
            ));
        }
        match header_length {
            None => Ok(Self {
                json: body.clone(),
                binary: None,
            }),
            Some(header) if header <= length => Ok(Self {
                json: body.slice(..header),
                binary: Some(body.slice(header..)),
            }),
            Some(header) => Err(Error::new(
                ErrorKind::Binary,
                format!("{HEADER_LENGTH} is {header}, but the body has only {length} bytes"),
            )),
        }
    }

    /// Takes the next `size` bytes of binary data.
    pub(super) fn take(&mut self, size: usize) -> Result<Bytes, Error> {
        let Some(binary) = &mut self.binary else {
            return Err(Error::new(
                ErrorKind::Binary,
                format!("binary_data_size wants the header {HEADER_LENGTH}: the bytes of the JSON"),
            ));
        };
        let left = binary.len();
        if size <= left {
            return Ok(binary.split_to(size));
        }
        Err(Error::new(
            ErrorKind::Binary,
            format!("binary_data_size is {size}, but only {left} bytes of the body are left"),
        ))
    }

    /// Fails where binary data is left that no tensor claims.
    pub(super) fn end(self) -> Result<(), Error> {
        match self.binary.map_or(0, |binary| binary.len()) {
            0 => Ok(()),
            left => Err(Error::new(
                ErrorKind::Binary,
                format!("{left} bytes follow the last binary tensor; is {HEADER_LENGTH} right?"),
            )),
        }
    }

    /// Says where the JSON was cut, for an error in it.
    pub(super) fn explain(&self, error: Error) -> Error {
        if self.binary.is_none() || error.kind() != ErrorKind::Json {
            return error;
        }
        let cut = self.json.len();
        error.after(&format!(
            " (by {HEADER_LENGTH} the JSON is the body's first {cut} bytes)"
        ))
    }

    /// Puts a body together.
    pub(super) fn join(json: Vec<u8>, binary: &[Bytes]) -> Encoded {
        if binary.is_empty() {
            return Encoded {
                body: json.into(),
                header_length: None,
            };
        }
        let header_length = Some(json.len());
        let mut body = json;
        body.reserve_exact(binary.iter().map(Bytes::len).sum());
        for data in binary {
            body.extend_from_slice(data);
        }
        Encoded {
            body: body.into(),
            header_length,
        }
    }
}
