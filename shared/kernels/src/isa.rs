//! Instruction sets: found at run time, or given.

use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
#[cfg(target_arch = "aarch64")]
use crate::simd::{Neon, SDOT, SMULL, USDOT};
use crate::simd::{Portable, Simd, Task};

/// An instruction set that kernels exist for. It also fixes the layout: a block of channels is one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Isa {
    /// Plain Rust, on any processor.
    Portable,
    /// 64-bit Arm.
    Neon,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512F and BW.
    Avx512,
}

impl Isa {
    /// All of them, the plainest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// The best one of this machine.
    pub fn best() -> Self {
        let fastest = Self::ALL.into_iter().rev();
        fastest
            .into_iter()
            .find(|isa| isa.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::<false>::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::<false>::new().is_some(),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// Channels in a block, and numbers in a vector.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Portable | Self::Neon => 4,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }

    /// Its name, as [`Isa::parse`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The set of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Blocks that so many channels take.
    pub const fn blocks(self, channels: usize) -> usize {
        channels.div_ceil(self.lanes())
    }

    /// Runs the task with this set.
    ///
    /// # Panics
    /// If this machine lacks it.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Self::Portable => Portable.vectorize(task),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => Neon::<SMULL>::new()
                .expect("any 64-bit Arm")
                .vectorize(task),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::<false>::new()
                .expect("a processor with AVX2")
                .vectorize(task),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::<false>::new()
                .expect("a processor with AVX-512")
                .vectorize(task),
            #[allow(unreachable_patterns)]
            _ => panic!("this processor has no {self}"),
        }
    }

    /// Runs a task that multiplies bytes with this set, and with what this machine has for that beside it.
    ///
    /// # Panics
    /// If this machine lacks the set.
    pub(crate) fn run_integers<T: Task>(self, task: T) -> T::Output {
        #[cfg(target_arch = "x86_64")]
        {
            if self == Self::Avx512
                && let Some(simd) = Avx512::<true>::new()
            {
                return simd.vectorize(task);
            }
            if self == Self::Avx2
                && let Some(simd) = Avx2::<true>::new()
            {
                return simd.vectorize(task);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if self == Self::Neon {
            if let Some(simd) = Neon::<USDOT>::new() {
                return simd.vectorize(task);
            }
            if let Some(simd) = Neon::<SDOT>::new() {
                return simd.vectorize(task);
            }
        }
        self.run(task)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
