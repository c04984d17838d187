//! The bytes of a plan file: a prefix of fixed size, the records, the constants.

use std::io::Write;

use bytes::Bytes;

use super::constants::Writer;
use super::record::Header;
use super::unnamed;
use crate::Limits;
use crate::error::{Error, Result};

/// Every constant lies at a multiple of this, in the file and in memory: kernels load whole cache
/// lines.
pub(super) const ALIGN: usize = 64;

const MAGIC: &[u8; 8] = b"DUNLPLAN";
const VERSION: u32 = 1;
/// Magic, version, length of the records, offset and length of the constants.
const PREFIX: usize = 8 + 4 + 4 + 8 + 8;
/// Records tell of nodes, not of weights.
const RECORD_BYTES: usize = 256 << 20;
/// A larger file is written to a disk, not to memory.
const LARGE: usize = 64 << 20;

/// Whether these bytes begin like a plan.
pub fn is_plan(file: &[u8]) -> bool {
    file.starts_with(MAGIC)
}

/// The file. A large one lies in memory that the system may take for other things, where it gives such.
pub(super) fn write(header: &Header, constants: &Writer) -> Result<Bytes> {
    let records = postcard::to_stdvec(header).map_err(|error| {
        Error::unsupported("the records of a plan can't be written").caused_by(error)
    })?;
    let at = (PREFIX + records.len()).next_multiple_of(ALIGN);
    let too_long = |_| Error::too_large("a plan's records are too long");
    let len = u32::try_from(records.len()).map_err(too_long)?;
    let mut head = Vec::with_capacity(at);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&len.to_le_bytes());
    head.extend_from_slice(&(at as u64).to_le_bytes());
    head.extend_from_slice(&constants.len().to_le_bytes());
    head.extend_from_slice(&records);
    head.resize(at, 0);
    let write = |out: &mut dyn Write| {
        out.write_all(&head)?;
        constants.write_to(out)
    };
    let all = at + constants.len() as usize;
    if all > LARGE {
        match unnamed::file(write) {
            Ok(file) => return Ok(file),
            Err(error) => {
                tracing::debug!(%error, "no room in a temporary file: a plan stays in memory");
            }
        }
    }
    Ok(aligned_with(all, |file| {
        // Writing into a vector doesn't fail.
        let _ = write(file);
    }))
}

/// The records, and the constants in aligned memory: a view of `file` where that is aligned, as
/// what storage and memory maps give is, else a copy.
pub(super) fn read(file: &Bytes, limits: &Limits) -> Result<(Header, Bytes)> {
    let broken = |what: &str| Error::invalid_model(format!("no sound plan: {what}"));
    if file.len() > limits.model_bytes {
        return Err(Error::too_large(format!(
            "the plan has {} bytes, at most {} are allowed",
            file.len(),
            limits.model_bytes
        )));
    }
    if !is_plan(file) {
        return Err(broken("it doesn't begin like one"));
    }
    let number = |at: usize, len: usize| {
        let bytes = file.get(at..at + len)?;
        let mut wide = [0; 8];
        wide[..len].copy_from_slice(bytes);
        usize::try_from(u64::from_le_bytes(wide)).ok()
    };
    let truncated = || broken("it is truncated");
    let version = number(8, 4).ok_or_else(truncated)?;
    if version != VERSION as usize {
        return Err(Error::unsupported(format!(
            "the plan has format version {version}; this engine reads {VERSION}"
        ))
        .with_cure("compile it again, or load the ONNX file"));
    }
    let records = number(12, 4).ok_or_else(truncated)?;
    let at = number(16, 8).ok_or_else(truncated)?;
    let len = number(24, 8).ok_or_else(truncated)?;
    if records > RECORD_BYTES {
        return Err(broken("its records are too long"));
    }
    let records = file.get(PREFIX..PREFIX + records).ok_or_else(truncated)?;
    if at < PREFIX + records.len() || !at.is_multiple_of(ALIGN) {
        return Err(broken("its constants are not where they must be"));
    }
    let end = at.checked_add(len).filter(|&end| end == file.len());
    let end = end.ok_or_else(truncated)?;
    let (header, rest) = postcard::take_from_bytes(records)
        .map_err(|error| broken("its records can't be read").caused_by(error))?;
    if !rest.is_empty() {
        return Err(broken("something follows its records"));
    }
    Ok((header, aligned(file.slice(at..end))))
}

pub(super) fn aligned(bytes: Bytes) -> Bytes {
    if bytes.as_ptr().addr().is_multiple_of(ALIGN) {
        bytes
    } else {
        aligned_copy(&bytes)
    }
}

pub(super) fn aligned_copy(bytes: &[u8]) -> Bytes {
    aligned_with(bytes.len(), |copy| copy.extend_from_slice(bytes))
}

/// Aligned memory for so many bytes, which `fill` appends.
fn aligned_with(len: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut memory: Vec<u8> = Vec::with_capacity(len + ALIGN);
    let skip = memory.as_ptr().align_offset(ALIGN);
    memory.resize(skip, 0);
    fill(&mut memory);
    Bytes::from(memory).slice(skip..)
}
