//! The Rust types whose values a tensor holds.

use std::borrow::Cow;
use std::fmt;

use half::{bf16, f16};

use crate::Datatype;

/// A Rust type that stands for a [`Datatype`]: `bool`, `u8`…`u64`, `i8`…`i64`, `half::f16`,
/// `half::bf16`, `f32`, `f64`. Sealed.
pub trait Element:
    bytemuck::NoUninit + PartialEq + fmt::Debug + Send + Sync + sealed::Cast
{
    /// The datatype that this type stands for.
    const DATATYPE: Datatype;
}

pub(crate) mod sealed {
    use super::Cow;

    pub trait Cast: Sized + Clone + 'static {
        /// The values in little-endian bytes: borrowed where the bytes are aligned for `Self`.
        /// The bytes hold whole elements, and for `bool` only 0 and 1.
        fn cast(bytes: &[u8]) -> Cow<'_, [Self]>;
    }
}

macro_rules! elements {
    ($($type:ty => $datatype:ident),* $(,)?) => {$(
        impl Element for $type {
            const DATATYPE: Datatype = Datatype::$datatype;
        }

        impl sealed::Cast for $type {
            fn cast(bytes: &[u8]) -> Cow<'_, [Self]> {
                match bytemuck::try_cast_slice(bytes) {
                    Ok(values) => Cow::Borrowed(values),
                    Err(_) => Cow::Owned(bytemuck::allocation::pod_collect_to_vec(bytes)),
                }
            }
        }
    )*};
}

elements! {
    u8 => Uint8,
    u16 => Uint16,
    u32 => Uint32,
    u64 => Uint64,
    i8 => Int8,
    i16 => Int16,
    i32 => Int32,
    i64 => Int64,
    f16 => Fp16,
    bf16 => Bf16,
    f32 => Fp32,
    f64 => Fp64,
}

impl Element for bool {
    const DATATYPE: Datatype = Datatype::Bool;
}

impl sealed::Cast for bool {
    fn cast(bytes: &[u8]) -> Cow<'_, [Self]> {
        match bytemuck::checked::try_cast_slice(bytes) {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => bytes.iter().map(|&byte| byte != 0).collect(),
        }
    }
}
