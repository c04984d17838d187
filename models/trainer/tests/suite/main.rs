//! The trainer, from outside: its data, its exports, and the built program.

mod auto;
mod data;
#[cfg(all(feature = "cpu", feature = "wgpu"))]
mod devices;
mod export;
mod gates;
mod interrupted;
mod labelled;
mod parquet;
mod pictures;
mod road;
mod sagemaker;
mod series;
mod texts;
mod trainer;
