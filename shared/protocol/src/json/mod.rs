//! Reading JSON where speed and exact errors matter: the frame of a message and the arrays of
//! numbers in it. What is small and free in form (`parameters`) is left to `serde_json`.
//!
//! - `cursor`: a place in the text, with the nesting counted.
//! - `number`: decimal text to numbers, exactly.

mod cursor;
mod number;

use serde::Serialize;

pub(crate) use cursor::Cursor;
pub(crate) use number::Decimal;

use crate::{Error, ErrorKind};

/// Appends `value` as JSON.
pub(crate) fn put(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    serde_json::to_writer(out, value)
        .map_err(|error| Error::new(ErrorKind::NotJson, error.to_string()))
}
