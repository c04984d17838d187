//! The JSON array of a tensor's elements, read.

use bytes::BytesMut;
use half::{bf16, f16};

use crate::json::{Cursor, Decimal};
use crate::tensor::{element_count, push_string};
use crate::{Datatype, Element, Error, ErrorKind, Tensor};

/// Reads `data`, flat or nested, into a tensor.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    datatype: Datatype,
    shape: &[usize],
) -> Result<Tensor, Error> {
    match datatype {
        Datatype::Bool => values(cursor, shape, boolean),
        Datatype::Uint8 => values(cursor, shape, integer::<u8>),
        Datatype::Uint16 => values(cursor, shape, integer::<u16>),
        Datatype::Uint32 => values(cursor, shape, integer::<u32>),
        Datatype::Uint64 => values(cursor, shape, integer::<u64>),
        Datatype::Int8 => values(cursor, shape, integer::<i8>),
        Datatype::Int16 => values(cursor, shape, integer::<i16>),
        Datatype::Int32 => values(cursor, shape, integer::<i32>),
        Datatype::Int64 => values(cursor, shape, integer::<i64>),
        Datatype::Fp16 => values(cursor, shape, float::<f16>),
        Datatype::Bf16 => values(cursor, shape, float::<bf16>),
        Datatype::Fp32 => values(cursor, shape, float::<f32>),
        Datatype::Fp64 => values(cursor, shape, float::<f64>),
        Datatype::Bytes => strings(cursor, shape),
    }
}

fn values<T: Element>(
    cursor: &mut Cursor<'_>,
    shape: &[usize],
    mut element: impl FnMut(&mut Cursor<'_>) -> Result<T, Error>,
) -> Result<Tensor, Error> {
    // Each element takes two bytes of text: a large shape alone reserves no memory.
    let room = element_count(shape)?.min(cursor.remaining() / 2 + 1);
    let mut values = Vec::with_capacity(room);
    walk(cursor, shape, |cursor| {
        values.push(element(cursor)?);
        Ok(())
    })?;
    Tensor::from_vec(shape.to_vec(), values)
}

fn strings(cursor: &mut Cursor<'_>, shape: &[usize]) -> Result<Tensor, Error> {
    let mut data = BytesMut::new();
    walk(cursor, shape, |cursor| match cursor.peek() {
        Some(b'"') => push_string(&mut data, cursor.string()?.as_bytes()),
        _ => Err(refused(cursor, "a string")),
    })?;
    Tensor::new(Datatype::Bytes, shape.to_vec(), data.freeze())
}

/// Walks an array, flat or nested as deep as the shape, and checks every array's count.
fn walk(
    cursor: &mut Cursor<'_>,
    shape: &[usize],
    mut element: impl FnMut(&mut Cursor<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let total = element_count(shape)?;
    // How many elements had been read when each array that is open was opened.
    let mut opened = Vec::with_capacity(shape.len());
    let mut count = 0;
    cursor.open(b'[')?;
    opened.push(count);
    let mut empty = cursor.peek() == Some(b']');
    loop {
        if cursor.peek() == Some(b'[') {
            if opened.len() >= shape.len() {
                return Err(Error::new(
                    ErrorKind::Shape,
                    format!("data is nested deeper than shape {shape:?}"),
                ));
            }
            cursor.open(b'[')?;
            opened.push(count);
            empty = cursor.peek() == Some(b']');
            if !empty {
                continue;
            }
        } else if !empty {
            if count == total {
                return Err(Error::new(
                    ErrorKind::Shape,
                    format!("data holds more than the {total} elements of shape {shape:?}"),
                ));
            }
            element(cursor).map_err(|error| error.before(&format!("element {count} of data ")))?;
            count += 1;
        }
        empty = false;
        while !cursor.take(b',') {
            if !cursor.close(b']') {
                return Err(cursor.unexpected("',' or ']'"));
            }
            let got = count - opened.pop().unwrap_or_default();
            let wanted = element_count(&shape[opened.len().min(shape.len())..])?;
            if got != wanted {
                let place = match opened.len() {
                    0 => "data".to_owned(),
                    depth => format!("an array at nesting {} of data", depth + 1),
                };
                return Err(Error::new(
                    ErrorKind::Shape,
                    format!("{place} holds {got} elements; shape {shape:?} takes {wanted}"),
                ));
            }
            if opened.is_empty() {
                return Ok(());
            }
        }
    }
}

fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Error> {
    if cursor.word("true") {
        return Ok(true);
    }
    if cursor.word("false") {
        return Ok(false);
    }
    let number = cursor.clone().number().and_then(Decimal::to_integer);
    let Some(bit @ 0..=1) = number else {
        return Err(refused(cursor, "true or false"));
    };
    cursor.number();
    Ok(bit == 1)
}

fn integer<T: Element + TryFrom<i128>>(cursor: &mut Cursor<'_>) -> Result<T, Error> {
    let Some(number) = cursor.number() else {
        return Err(refused(cursor, "an integer"));
    };
    number
        .to_integer()
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| {
            let text = shortened(number.text());
            let why = if number.is_integer() {
                format!("out of the range of {}", T::DATATYPE)
            } else {
                format!("not an integer, as {} wants", T::DATATYPE)
            };
            Error::new(ErrorKind::Value, format!("is {text}: {why}"))
        })
}

fn float<T: Float>(cursor: &mut Cursor<'_>) -> Result<T, Error> {
    let Some(number) = cursor.number() else {
        return Err(refused(cursor, "a number"));
    };
    T::nearest(number).ok_or_else(|| {
        let text = shortened(number.text());
        Error::new(
            ErrorKind::Value,
            format!("is {text}: out of the range of {}", T::DATATYPE),
        )
    })
}

trait Float: Element {
    /// The nearest value of the type; `None` where that is infinite.
    fn nearest(number: Decimal<'_>) -> Option<Self>;
}

impl Float for f16 {
    fn nearest(number: Decimal<'_>) -> Option<Self> {
        Some(Self::from_f64(number.to_f64())).filter(|value| value.is_finite())
    }
}

impl Float for bf16 {
    fn nearest(number: Decimal<'_>) -> Option<Self> {
        Some(Self::from_f64(number.to_f64())).filter(|value| value.is_finite())
    }
}

impl Float for f32 {
    fn nearest(number: Decimal<'_>) -> Option<Self> {
        Some(number.to_f32()).filter(|value| value.is_finite())
    }
}

impl Float for f64 {
    fn nearest(number: Decimal<'_>) -> Option<Self> {
        Some(number.to_f64()).filter(|value| value.is_finite())
    }
}

/// The element that is next is none of the datatype.
fn refused(cursor: &mut Cursor<'_>, wanted: &str) -> Error {
    let got = cursor.shown();
    let word = got.trim_start_matches('-');
    if ["NaN", "nan", "Infinity", "inf", "null"].contains(&word) {
        return Error::new(
            ErrorKind::Value,
            format!("is {got}, which is no JSON number: send the tensor as binary data"),
        );
    }
    Error::new(ErrorKind::Value, format!("is {got}: not {wanted}"))
}

fn shortened(text: &str) -> &str {
    text.get(..32).unwrap_or(text)
}
