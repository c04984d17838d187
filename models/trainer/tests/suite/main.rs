//! The trainer, from outside: its data, its exports, and the built program.

mod auto;
mod data;
#[cfg(all(feature = "cpu", feature = "wgpu"))]
mod devices;
mod export;
mod gates;
mod interrupted;
mod labelled;
mod lost_store;
mod parquet;
mod pictures;
mod precision;
mod road;
mod sagemaker;
mod series;
mod slices;
mod texts;
mod trainer;
