//! Single-precision constants that half precision has exactly: stored in half the bytes, widened when they are read.

use bytes::Bytes;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::layout::ALIGN;

/// Fewer numbers are stored as they are.
const SMALL: usize = 1024;

/// The same numbers in half precision, little-endian, if there are enough of them and none is rounded.
pub(super) fn of(numbers: &[f32]) -> Option<Vec<u8>> {
    if numbers.len() < SMALL {
        return None;
    }
    let mut bytes = Vec::with_capacity(2 * numbers.len());
    for &number in numbers {
        let half = f16::from_f32(number);
        if half.to_f32().to_bits() != number.to_bits() {
            return None;
        }
        bytes.extend_from_slice(&half.to_le_bytes());
    }
    Some(bytes)
}

/// The bytes of the numbers in single precision, aligned as constants are; none where there are not so many halves.
pub(super) fn widen(halves: &Bytes, numbers: usize) -> Option<Bytes> {
    let halves: &[f16] = bytemuck::try_cast_slice(halves).ok()?;
    if halves.len() != numbers {
        return None;
    }
    let mut wide = vec![0_f32; numbers + ALIGN / size_of::<f32>()];
    let first = wide.as_ptr().align_offset(ALIGN);
    halves.convert_to_f32_slice(&mut wide[first..][..numbers]);
    let bytes = Bytes::from_owner(Wide(wide));
    let first = first * size_of::<f32>();
    Some(bytes.slice(first..first + numbers * size_of::<f32>()))
}

/// Numbers as bytes that [`Bytes`] can own.
struct Wide(Vec<f32>);

impl AsRef<[u8]> for Wide {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exact_comes_back() {
        let exact: Vec<f32> = (0..2000_i16)
            .map(|number| f32::from(number) / 8.0 - 100.0)
            .collect();
        let halves = Bytes::from(of(&exact).expect("halves"));
        assert_eq!(halves.len(), 4000);
        let wide = widen(&halves, 2000).expect("numbers");
        assert_eq!(wide.as_ptr().align_offset(ALIGN), 0);
        assert_eq!(bytemuck::cast_slice::<u8, f32>(&wide), exact);
        assert!(widen(&halves, 1999).is_none());
        let mut rounded = exact;
        rounded[1999] = 0.1;
        assert!(of(&rounded).is_none());
        assert!(of(&[1.0; SMALL - 1]).is_none());
    }
}
