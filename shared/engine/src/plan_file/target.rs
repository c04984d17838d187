//! The classes of processors that plans are made for.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A class of processors: a plan uses the kernels and memory layouts that suit it.
///
/// The levels of x86-64 are those of its psABI (AMD64 supplement, section 3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Any x86-64: SSE2.
    X86_64,
    /// AVX2 and FMA.
    X86_64V3,
    /// AVX-512 F, BW, CD, DQ and VL.
    X86_64V4,
    /// Any 64-bit Arm: NEON.
    Aarch64,
    /// 64-bit Arm with half-precision arithmetic and dot products, as Neoverse N1 and later.
    Aarch64Neoverse,
    /// Anything else.
    Portable,
}

const NAMES: [(Target, &str); 6] = [
    (Target::X86_64, "x86-64"),
    (Target::X86_64V3, "x86-64-v3"),
    (Target::X86_64V4, "x86-64-v4"),
    (Target::Aarch64, "aarch64"),
    (Target::Aarch64Neoverse, "aarch64-neoverse"),
    (Target::Portable, "portable"),
];

impl Target {
    /// The class of this machine.
    pub fn host() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let v3 = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
            let v4 = std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512cd")
                && std::is_x86_feature_detected!("avx512dq")
                && std::is_x86_feature_detected!("avx512vl");
            match (v3, v4) {
                (true, true) => Self::X86_64V4,
                (true, false) => Self::X86_64V3,
                _ => Self::X86_64,
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            let neoverse = std::arch::is_aarch64_feature_detected!("fp16")
                && std::arch::is_aarch64_feature_detected!("dotprod");
            if neoverse {
                Self::Aarch64Neoverse
            } else {
                Self::Aarch64
            }
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            Self::Portable
        }
    }

    /// Whether this machine runs plans of the class.
    pub fn runs_here(self) -> bool {
        use Target::{Aarch64, Aarch64Neoverse, X86_64, X86_64V3, X86_64V4};
        match (self, Self::host()) {
            (target, host) if target == host => true,
            (X86_64, X86_64V3 | X86_64V4) | (X86_64V3, X86_64V4) | (Aarch64, Aarch64Neoverse) => {
                true
            }
            _ => false,
        }
    }

    /// How much of this machine a plan of the class uses: of several that run here, the largest
    /// is the best.
    pub fn rank(self) -> u8 {
        match self {
            Self::Portable => 0,
            Self::X86_64 | Self::Aarch64 => 1,
            Self::X86_64V3 | Self::Aarch64Neoverse => 2,
            Self::X86_64V4 => 3,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(target, _)| target == self);
        f.write_str(name.map_or("portable", |(_, name)| name))
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let target = NAMES.iter().find(|(_, name)| *name == text);
        target.map(|(target, _)| *target).ok_or_else(|| {
            let names = NAMES.map(|(_, name)| name).join(", ");
            Error::unsupported(format!("no target is called \"{text}\"; there are {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (target, name) in NAMES {
            assert_eq!(name.parse::<Target>().expect("a target"), target);
            assert_eq!(target.to_string(), name);
        }
        assert!("x86".parse::<Target>().is_err());
    }

    #[test]
    fn a_host_runs_its_own_class() {
        assert!(Target::host().runs_here());
        #[cfg(target_arch = "x86_64")]
        assert!(Target::X86_64.runs_here() && !Target::Aarch64.runs_here());
    }
}
