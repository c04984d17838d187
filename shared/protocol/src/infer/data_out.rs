//! The JSON array of a tensor's elements, written.

use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread;

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

/// Floats that are worth a thread: they take ten times as long to write as it takes to start.
const PART: usize = 1 << 15;

static CORES: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// The shortest text that reads back as the same float. Large tensors are written in parts, on as
/// many cores as there are.
fn floats<T: Element + Sync, F: zmij::Float>(
    out: &mut Vec<u8>,
    tensor: &Tensor,
    widen: impl Fn(T) -> F + Sync,
) -> Result<(), Error> {
    let values = tensor.values::<T>()?;
    let parts = (*CORES).min(values.len() / PART).max(1);
    let mut parts = values.chunks(values.len().div_ceil(parts).max(1));
    let first = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let mut start = first.len();
        let mut others = Vec::with_capacity(parts.len());
        for part in parts {
            let (at, widen) = (start, &widen);
            others.push(scope.spawn(move || {
                let mut text = Vec::new();
                float_list(&mut text, part, at, widen).map(|()| text)
            }));
            start += part.len();
        }
        float_list(out, first, 0, &widen)?;
        for other in others {
            let text = other.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            out.push(b',');
            out.extend_from_slice(&text);
        }
        Ok(())
    })
}

/// Floats and the commas between them; the first is element `start`.
fn float_list<T: Element, F: zmij::Float>(
    out: &mut Vec<u8>,
    values: &[T],
    start: usize,
    widen: &impl Fn(T) -> F,
) -> Result<(), Error> {
    let mut buffer = zmij::Buffer::new();
    let mut block = [0; BLOCK];
    let mut filled = 0;
    out.reserve(values.len() * 12);
    for (at, &value) in values.iter().enumerate() {
        let text = buffer.format(widen(value)).as_bytes();
        // Only the words for not-a-number and infinity end in a letter.
        if text.last().is_some_and(u8::is_ascii_alphabetic) {
            let text = String::from_utf8_lossy(text);
            return Err(Error::new(
                ErrorKind::NotJson,
                format!(
                    "element {} is {text}, which JSON cannot carry: ask for it with \
                     \"binary_data\": true",
                    start + at
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: Vec<f32>) -> Result<String, Error> {
        let tensor = Tensor::from_vec(vec![values.len()], values)?;
        let mut out = Vec::new();
        write(&mut out, &tensor)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn what_is_written_in_parts_is_whole_and_in_order() {
        for len in [0, 1, PART - 1, 2 * PART, 5 * PART + 1] {
            let values: Vec<f32> = (0..len).map(|at| at as f32 / 7.0).collect();
            let read: Vec<f32> =
                serde_json::from_str(&text(values.clone()).expect("numbers")).expect("an array");
            assert_eq!(read, values);
        }
    }

    #[test]
    fn an_element_that_is_no_number_is_named_whatever_part_it_is_in() {
        for at in [3, 4 * PART + 5] {
            let mut values = vec![0.5; 5 * PART];
            values[at] = f32::NAN;
            let error = text(values).expect_err("no JSON");
            assert!(
                error.to_string().contains(&format!("element {at} is NaN")),
                "{error}"
            );
        }
    }
}
