//! Where tensors live and are computed.

use burn::tensor::Device;

use crate::{Error, Result};

/// The devices that this build knows.
const KNOWN: &[&str] = &[
    #[cfg(feature = "cpu")]
    "cpu",
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "wgpu")]
    "wgpu-cpu",
    #[cfg(feature = "cuda")]
    "cuda",
];

/// The device of a name: `cpu`; `wgpu`, the first graphics card; `wgpu-cpu`, a software adapter;
/// `cuda`, the first GPU of NVIDIA. Which of them there are, the build's features decide.
pub fn open(name: &str) -> Result<Device> {
    match name {
        #[cfg(feature = "cpu")]
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "wgpu")]
        "wgpu-cpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::Cpu)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        _ => Err(Error::usage(format!(
            "this build has no device \"{name}\", only {}; others are features of the crate",
            KNOWN.join(", ")
        ))),
    }
}

/// The first that this build knows.
pub fn default_name() -> &'static str {
    KNOWN.first().copied().unwrap_or("none")
}
