//! The JSON array of a tensor's elements, written.

use crate::json;
use crate::{Datatype, Element, Error, ErrorKind, Tensor};

/// Appends the elements as a flat array.
pub(super) fn write(out: &mut Vec<u8>, tensor: &Tensor) -> Result<(), Error> {
    out.push(b'[');
    match tensor.datatype() {
        Datatype::Bool => each::<bool>(out, tensor, |out, value| {
            out.extend_from_slice(if value { b"true" } else { b"false" });
            Ok(())
        }),
        Datatype::Uint8 => integers::<u8>(out, tensor),
        Datatype::Uint16 => integers::<u16>(out, tensor),
        Datatype::Uint32 => integers::<u32>(out, tensor),
        Datatype::Uint64 => integers::<u64>(out, tensor),
        Datatype::Int8 => integers::<i8>(out, tensor),
        Datatype::Int16 => integers::<i16>(out, tensor),
        Datatype::Int32 => integers::<i32>(out, tensor),
        Datatype::Int64 => integers::<i64>(out, tensor),
        Datatype::Fp16 => floats(out, tensor, half::f16::to_f32),
        Datatype::Bf16 => floats(out, tensor, half::bf16::to_f32),
        Datatype::Fp32 => floats(out, tensor, |value: f32| value),
        Datatype::Fp64 => floats(out, tensor, |value: f64| value),
        Datatype::Bytes => strings(out, tensor),
    }?;
    out.push(b']');
    Ok(())
}

fn each<T: Element>(
    out: &mut Vec<u8>,
    tensor: &Tensor,
    mut element: impl FnMut(&mut Vec<u8>, T) -> Result<(), Error>,
) -> Result<(), Error> {
    for (at, &value) in tensor.values::<T>()?.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        element(out, value).map_err(|error| error.before(&format!("element {at} ")))?;
    }
    Ok(())
}

fn integers<T: Element + itoa::Integer>(out: &mut Vec<u8>, tensor: &Tensor) -> Result<(), Error> {
    let mut buffer = itoa::Buffer::new();
    each::<T>(out, tensor, |out, value| {
        out.extend_from_slice(buffer.format(value).as_bytes());
        Ok(())
    })
}

/// Bytes that are put together before they are appended: the memory behind a reply is far, and
/// takes blocks sooner than numbers.
const BLOCK: usize = 4096;

/// The shortest text that reads back as the same float.
fn floats<T: Element, F: zmij::Float>(
    out: &mut Vec<u8>,
    tensor: &Tensor,
    widen: impl Fn(T) -> F,
) -> Result<(), Error> {
    let mut buffer = zmij::Buffer::new();
    let mut block = [0; BLOCK];
    let mut filled = 0;
    out.reserve(tensor.len() * 12);
    for (at, &value) in tensor.values::<T>()?.iter().enumerate() {
        let text = buffer.format(widen(value)).as_bytes();
        // Only the words for not-a-number and infinity end in a letter.
        if text.last().is_some_and(u8::is_ascii_alphabetic) {
            let text = String::from_utf8_lossy(text);
            return Err(Error::new(
                ErrorKind::NotJson,
                format!(
                    "element {at} is {text}, which JSON cannot carry: ask for it with \
                     \"binary_data\": true"
                ),
            ));
        }
        if filled + text.len() >= BLOCK {
            out.extend_from_slice(&block[..filled]);
            filled = 0;
        }
        if at > 0 {
            block[filled] = b',';
            filled += 1;
        }
        copy_short(&mut block[filled..], text);
        filled += text.len();
    }
    out.extend_from_slice(&block[..filled]);
    Ok(())
}

/// Copies a few bytes without a call.
#[inline]
fn copy_short(to: &mut [u8], from: &[u8]) {
    let length = from.len();
    if (8..=16).contains(&length) {
        // Two halves, which overlap.
        to[..8].copy_from_slice(&from[..8]);
        to[length - 8..length].copy_from_slice(&from[length - 8..]);
    } else {
        to[..length].copy_from_slice(from);
    }
}

fn strings(out: &mut Vec<u8>, tensor: &Tensor) -> Result<(), Error> {
    for (at, string) in tensor.strings()?.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let text = std::str::from_utf8(string).map_err(|_| {
            Error::new(
                ErrorKind::NotJson,
                format!(
                    "element {at} is not UTF-8, so JSON cannot carry it: ask for it with \
                     \"binary_data\": true"
                ),
            )
        })?;
        json::put(out, text)?;
    }
    Ok(())
}
