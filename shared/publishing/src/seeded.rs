//! Inputs from a seed, for a model that came without examples.

use dunlin_protocol::{Datatype, Element, NamedTensor, Tensor, TensorMetadata};
use half::{bf16, f16};

use crate::{Error, ErrorKind, Result};

/// What dynamic dimensions after the first are tried as: 1 where the graph allows it, else the
/// sizes that pictures and sequences are made for.
pub(crate) const DYNAMIC_SIZES: [usize; 4] = [1, 8, 32, 224];

/// Elements of one seeded input.
const ELEMENT_LIMIT: usize = 64 << 20;

/// One input for each of these, a dynamic first dimension taken as 1, other ones as `dynamic`.
///
/// Floats lie in 0..1 and bytes in their whole range. Wider whole numbers are 1: they are lengths,
/// masks and indices, and what they index may be short.
pub fn inputs(inputs: &[TensorMetadata], dynamic: usize, seed: u64) -> Result<Vec<NamedTensor>> {
    let mut random = SplitMix(seed);
    inputs
        .iter()
        .map(|input| {
            let shape = shape(input, dynamic)?;
            let tensor = tensor(input.datatype, shape, &mut random).map_err(|error| {
                Error::new(
                    ErrorKind::TooLarge,
                    format!("input \"{}\": {error}", input.name),
                )
                .because(error)
            })?;
            Ok(NamedTensor::new(input.name.clone(), tensor))
        })
        .collect()
}

fn shape(input: &TensorMetadata, dynamic: usize) -> Result<Vec<usize>> {
    let sizes = input
        .shape
        .iter()
        .enumerate()
        .map(|(axis, &size)| match usize::try_from(size) {
            Ok(size) => size,
            Err(_) if axis == 0 => 1,
            Err(_) => dynamic,
        });
    let shape: Vec<usize> = sizes.collect();
    let elements = shape
        .iter()
        .try_fold(1usize, |all, &size| all.checked_mul(size));
    if elements.is_some_and(|elements| elements <= ELEMENT_LIMIT) {
        return Ok(shape);
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!(
            "input \"{}\" {shape:?} has more than {ELEMENT_LIMIT} elements; give examples in model.toml",
            input.name
        ),
    ))
}

fn tensor(
    datatype: Datatype,
    shape: Vec<usize>,
    random: &mut SplitMix,
) -> Result<Tensor, dunlin_protocol::Error> {
    fn filled<T: Element>(
        shape: Vec<usize>,
        mut next: impl FnMut() -> T,
    ) -> Result<Tensor, dunlin_protocol::Error> {
        let values = (0..shape.iter().product()).map(|_| next()).collect();
        Tensor::from_vec(shape, values)
    }
    match datatype {
        Datatype::Fp32 => filled(shape, || random.unit()),
        Datatype::Fp64 => filled(shape, || f64::from(random.unit())),
        Datatype::Fp16 => filled(shape, || f16::from_f32(random.unit())),
        Datatype::Bf16 => filled(shape, || bf16::from_f32(random.unit())),
        Datatype::Bool => filled(shape, || random.next() & 1 == 1),
        Datatype::Uint8 => filled(shape, || random.next() as u8),
        Datatype::Int8 => filled(shape, || random.next() as i8),
        Datatype::Uint16 => filled(shape, || 1u16),
        Datatype::Uint32 => filled(shape, || 1u32),
        Datatype::Uint64 => filled(shape, || 1u64),
        Datatype::Int16 => filled(shape, || 1i16),
        Datatype::Int32 => filled(shape, || 1i32),
        Datatype::Int64 => filled(shape, || 1i64),
        Datatype::Bytes => {
            let count = shape.iter().product();
            Tensor::from_strings(shape, std::iter::repeat_n("dunlin", count))
        }
    }
}

/// The same numbers for the same seed, on every machine and in every version.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In 0..1, with the 24 bits that an f32 holds.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(datatype: Datatype, shape: &[i64]) -> TensorMetadata {
        TensorMetadata {
            name: "x".into(),
            datatype,
            shape: shape.to_vec(),
        }
    }

    #[test]
    fn shapes_and_seeds() {
        let all = [
            metadata(Datatype::Fp32, &[-1, 3, -1]),
            metadata(Datatype::Int64, &[]),
        ];
        let first = inputs(&all, 8, 7).unwrap();
        assert_eq!(first[0].tensor.shape(), [1, 3, 8]);
        assert_eq!(first[1].tensor.to_vec::<i64>().unwrap(), [1]);
        assert_eq!(first, inputs(&all, 8, 7).unwrap());
        assert_ne!(first, inputs(&all, 8, 8).unwrap());
        let values = first[0].tensor.to_vec::<f32>().unwrap();
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
    }

    #[test]
    fn every_datatype() {
        let names =
            "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 BF16 FP32 FP64 BYTES";
        for name in names.split(' ') {
            let input = metadata(name.parse().unwrap(), &[-1, 2]);
            assert_eq!(inputs(&[input], 1, 0).unwrap()[0].tensor.len(), 2, "{name}");
        }
    }

    #[test]
    fn too_large_is_refused() {
        for shape in [&[i64::MAX, i64::MAX][..], &[1 << 40]] {
            let error = inputs(&[metadata(Datatype::Fp32, shape)], 1, 0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge);
        }
    }
}
