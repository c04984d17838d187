//! Tensors: a datatype, a shape, and contiguous little-endian bytes.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Datatype, Element, Error, ErrorKind};

/// Bytes that prefix each element of a BYTES tensor: its length, `u32` little-endian.
const LENGTH_PREFIX: usize = 4;

/// A tensor: contiguous, row-major, little-endian.
///
/// [`Datatype::Bytes`] elements follow one another, each behind its length as a `u32`; this is
/// the form of the binary tensor data extension. Clones share the bytes. Equality is of bytes:
/// a not-a-number equals itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    datatype: Datatype,
    shape: Vec<usize>,
    len: usize,
    data: Bytes,
}

impl Tensor {
    /// A tensor over `data`, which is not copied.
    ///
    /// Fails where the bytes are not exactly those of the shape, where a BOOL is neither 0 nor
    /// 1, or where the framing of BYTES is broken.
    pub fn new(datatype: Datatype, shape: Vec<usize>, data: Bytes) -> Result<Self, Error> {
        let len = element_count(&shape)?;
        if let Some(size) = datatype.size() {
            let wanted = len.checked_mul(size).ok_or_else(|| too_many(&shape))?;
            if data.len() != wanted {
                return Err(Error::new(
                    ErrorKind::Binary,
                    format!(
                        "{} bytes of data; {datatype} of shape {shape:?} takes {wanted}",
                        data.len()
                    ),
                ));
            }
        } else {
            check_framing(&data, len, &shape)?;
        }
        if datatype == Datatype::Bool
            && let Some(at) = data.iter().position(|&byte| byte > 1)
        {
            return Err(Error::new(
                ErrorKind::Value,
                format!("element {at} is {}; a BOOL is 0 or 1", data[at]),
            ));
        }
        Ok(Self {
            datatype,
            shape,
            len,
            data,
        })
    }

    /// A tensor that takes over the memory of `values`.
    pub fn from_vec<T: Element>(shape: Vec<usize>, values: Vec<T>) -> Result<Self, Error> {
        let len = element_count(&shape)?;
        if values.len() != len {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{} elements; shape {shape:?} takes {len}", values.len()),
            ));
        }
        let data = Bytes::from_owner(Values(values));
        Ok(Self {
            datatype: T::DATATYPE,
            shape,
            len,
            data,
        })
    }

    /// A BYTES tensor of these strings.
    pub fn from_strings<S: AsRef<[u8]>>(
        shape: Vec<usize>,
        strings: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        let mut data = BytesMut::new();
        for string in strings {
            push_string(&mut data, string.as_ref())?;
        }
        Self::new(Datatype::Bytes, shape, data.freeze())
    }

    /// The type of the elements.
    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// The dimensions; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of all elements.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The same elements under another shape.
    pub fn reshape(self, shape: Vec<usize>) -> Result<Self, Error> {
        if element_count(&shape)? == self.len {
            return Ok(Self { shape, ..self });
        }
        Err(Error::new(
            ErrorKind::Shape,
            format!("{} elements do not fill shape {shape:?}", self.len),
        ))
    }

    /// The elements, copied.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>, Error> {
        self.values().map(Cow::into_owned)
    }

    /// The elements: borrowed where the bytes are aligned for `T`, else copied.
    pub fn values<T: Element>(&self) -> Result<Cow<'_, [T]>, Error> {
        self.expect(T::DATATYPE)?;
        Ok(T::cast(&self.data))
    }

    /// The elements of a BYTES tensor, sharing its memory.
    pub fn strings(&self) -> Result<Vec<Bytes>, Error> {
        self.expect(Datatype::Bytes)?;
        let mut strings = Vec::with_capacity(self.len);
        let mut at = 0;
        while let Some(string) = next_string(&self.data, at) {
            let end = string.end;
            strings.push(self.data.slice(string));
            at = end;
        }
        Ok(strings)
    }

    fn expect(&self, wanted: Datatype) -> Result<(), Error> {
        if self.datatype == wanted {
            return Ok(());
        }
        let got = self.datatype;
        Err(Error::new(
            ErrorKind::Datatype,
            format!("datatype {got}; {wanted} was asked for"),
        ))
    }
}

/// A tensor with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTensor {
    /// The name of the model's input or output.
    pub name: String,
    /// The tensor.
    pub tensor: Tensor,
}

impl NamedTensor {
    /// A tensor named `name`.
    pub fn new(name: impl Into<String>, tensor: Tensor) -> Self {
        Self {
            name: name.into(),
            tensor,
        }
    }
}

/// Lets [`Bytes`] own a vector of any element type.
struct Values<T>(Vec<T>);

impl<T: bytemuck::NoUninit> AsRef<[u8]> for Values<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// The elements of a shape; an error where they are more than can be counted.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize, Error> {
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &dim| count.checked_mul(dim));
    count.ok_or_else(|| too_many(shape))
}

fn too_many(shape: &[usize]) -> Error {
    Error::new(
        ErrorKind::Shape,
        format!("shape {shape:?} has more elements than can be counted"),
    )
}

/// Appends one element of a BYTES tensor.
pub(crate) fn push_string(data: &mut BytesMut, string: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(string.len()).map_err(|_| {
        let length = string.len();
        Error::new(
            ErrorKind::TooLarge,
            format!("a string of {length} bytes; the limit is 4 GiB"),
        )
    })?;
    data.reserve(LENGTH_PREFIX + string.len());
    data.put_u32_le(length);
    data.put_slice(string);
    Ok(())
}

/// Where the string lies whose length prefix is at `at`; `None` past the last whole one.
fn next_string(data: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let start = at.checked_add(LENGTH_PREFIX)?;
    let prefix = data.get(at..start)?.first_chunk()?;
    let end = start.checked_add(u32::from_le_bytes(*prefix) as usize)?;
    (end <= data.len()).then_some(start..end)
}

fn check_framing(data: &[u8], len: usize, shape: &[usize]) -> Result<(), Error> {
    let (mut at, mut found) = (0, 0);
    while let Some(string) = next_string(data, at) {
        at = string.end;
        found += 1;
    }
    if at == data.len() && found == len {
        return Ok(());
    }
    let what = if at < data.len() {
        format!("the string at byte {at} of {} is cut short", data.len())
    } else {
        format!("{found} strings; shape {shape:?} takes {len}")
    };
    Err(Error::new(
        ErrorKind::Binary,
        format!("{what} (each is a u32 length and its bytes)"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};
    use proptest::prelude::*;

    #[test]
    fn bytes_must_be_those_of_the_shape() {
        struct Case {
            datatype: Datatype,
            shape: Vec<usize>,
            data: &'static [u8],
            want: Result<usize, ErrorKind>,
        }
        let case = |datatype, shape: &[usize], data, want| Case {
            datatype,
            shape: shape.to_vec(),
            data,
            want,
        };
        let cases = [
            case(Datatype::Fp32, &[2], &[0; 8], Ok(2)),
            case(Datatype::Fp32, &[], &[0; 4], Ok(1)),
            case(Datatype::Fp32, &[3, 0], &[], Ok(0)),
            case(Datatype::Fp32, &[2], &[0; 7], Err(ErrorKind::Binary)),
            case(Datatype::Fp32, &[2], &[0; 9], Err(ErrorKind::Binary)),
            case(Datatype::Fp64, &[usize::MAX], &[], Err(ErrorKind::Shape)),
            case(
                Datatype::Uint8,
                &[usize::MAX, 2],
                &[],
                Err(ErrorKind::Shape),
            ),
            case(Datatype::Bool, &[2], &[0, 1], Ok(2)),
            case(Datatype::Bool, &[2], &[0, 2], Err(ErrorKind::Value)),
            case(
                Datatype::Bytes,
                &[2],
                &[1, 0, 0, 0, b'a', 0, 0, 0, 0],
                Ok(2),
            ),
            case(Datatype::Bytes, &[0], &[], Ok(0)),
            case(Datatype::Bytes, &[1], &[1, 0, 0], Err(ErrorKind::Binary)),
            case(
                Datatype::Bytes,
                &[1],
                &[2, 0, 0, 0, b'a'],
                Err(ErrorKind::Binary),
            ),
            case(
                Datatype::Bytes,
                &[1],
                &[255, 255, 255, 255],
                Err(ErrorKind::Binary),
            ),
            case(
                Datatype::Bytes,
                &[2],
                &[1, 0, 0, 0, b'a'],
                Err(ErrorKind::Binary),
            ),
            case(Datatype::Bytes, &[0], &[0, 0, 0, 0], Err(ErrorKind::Binary)),
        ];
        for Case {
            datatype,
            shape,
            data,
            want,
        } in cases
        {
            let got = Tensor::new(datatype, shape.clone(), Bytes::from_static(data));
            let got = got.map(|tensor| tensor.len()).map_err(|error| error.kind());
            assert_eq!(got, want, "{datatype} {shape:?} {data:?}");
        }
    }

    #[test]
    fn unaligned_bytes_are_read_all_the_same() {
        let values = [1.5_f32, -2.0, f32::MIN_POSITIVE];
        let mut bytes = vec![0];
        bytes.extend_from_slice(bytemuck::cast_slice(&values));
        bytes.push(0);
        let bytes = Bytes::from(bytes);
        for offset in 0..2 {
            let tensor = Tensor::new(Datatype::Fp32, vec![3], bytes.slice(offset..offset + 12));
            let got = tensor.unwrap().to_vec::<f32>().unwrap();
            assert_eq!(got == values, offset == 1);
        }
    }

    #[test]
    fn another_datatype_is_refused() {
        let tensor = Tensor::from_vec(vec![1], vec![1_i64]).unwrap();
        assert_eq!(
            tensor.values::<f32>().unwrap_err().kind(),
            ErrorKind::Datatype
        );
        assert_eq!(tensor.strings().unwrap_err().kind(), ErrorKind::Datatype);
    }

    fn round_trip<T: Element>(values: &[T]) {
        let tensor = Tensor::from_vec(vec![values.len()], values.to_vec()).unwrap();
        assert_eq!(tensor.to_vec::<T>().unwrap(), values);
        let copied = Bytes::copy_from_slice(tensor.data());
        let again = Tensor::new(T::DATATYPE, tensor.shape().to_vec(), copied).unwrap();
        assert_eq!(again, tensor);
    }

    proptest! {
        #[test]
        fn values_round_trip(bits: Vec<u64>, strings: Vec<Vec<u8>>) {
            round_trip::<bool>(&bits.iter().map(|b| b % 2 == 1).collect::<Vec<_>>());
            round_trip::<u8>(&bits.iter().map(|&b| b as u8).collect::<Vec<_>>());
            round_trip::<i16>(&bits.iter().map(|&b| b as i16).collect::<Vec<_>>());
            round_trip::<u32>(&bits.iter().map(|&b| b as u32).collect::<Vec<_>>());
            round_trip::<i64>(&bits.iter().map(|&b| b as i64).collect::<Vec<_>>());
            round_trip::<u64>(&bits);
            round_trip::<f32>(&bits.iter().map(|&b| b as f32).collect::<Vec<_>>());
            round_trip::<f64>(&bits.iter().map(|&b| b as f64).collect::<Vec<_>>());
            round_trip::<f16>(&bits.iter().map(|&b| f16::from_bits((b as u16) & 0x7bff)).collect::<Vec<_>>());
            round_trip::<bf16>(&bits.iter().map(|&b| bf16::from_f64(b as f64)).collect::<Vec<_>>());
            let tensor = Tensor::from_strings(vec![strings.len()], &strings).unwrap();
            prop_assert_eq!(tensor.strings().unwrap(), strings);
        }
    }
}
