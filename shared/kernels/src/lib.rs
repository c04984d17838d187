//! The arithmetic of neural networks on one core of a CPU: pure functions on slices, and a plain description of each
//! piece of work. It knows no graph, no tensor type and no file.
//!
//! # Layout
//! Channels lie in blocks of one vector (`NCHWc`: 4, 8 or 16 of them, by [`Isa`]), so that a position of a block is one
//! load, weights are read front to back, and no kernel gathers. [`to_blocked`] and [`from_blocked`] convert; a network
//! does so at its ends only.
//!
//! # Instruction sets
//! A kernel is written once over a small vector trait and compiled for each [`Isa`]. [`Isa::best`] finds the machine's;
//! a caller that arranges weights for another machine names that one's, and only running needs it.
//!
//! ```
//! use dunlin_kernels::{Activation, Conv, Isa, Method, Operands, Window, from_blocked, to_blocked};
//!
//! let isa = Isa::best();
//! let conv = Conv {
//!     inputs: 3,
//!     outputs: 8,
//!     groups: 1,
//!     size: [5, 7],
//!     window: Window::square(3).pad(1),
//!     dense_input: false,
//!     activation: Activation::Relu,
//! };
//! let weights = conv.arrange(isa, &[0.5; 8 * 3 * 9]);
//! let mut input = vec![0.0; conv.input_len(isa)];
//! to_blocked(isa, 3, 5 * 7, &[1.0; 3 * 5 * 7], &mut input);
//! let mut output = vec![0.0; conv.output_len(isa)];
//! conv.run(isa, Method::Direct, Operands {
//!     input: &input,
//!     weights: &weights,
//!     bias: &vec![0.0; isa.blocks(8) * isa.lanes()],
//!     residual: None,
//!     output: &mut output,
//!     scratch: &mut vec![0.0; conv.scratch_len(isa, Method::Direct)],
//! });
//! let mut dense = vec![0.0; 8 * 5 * 7];
//! from_blocked(isa, 8, 5 * 7, &output, &mut dense);
//! assert_eq!(dense[7 + 1], 13.5);
//! ```

mod activation;
mod affine;
mod attention;
mod conv;
mod depthwise;
mod isa;
mod layout;
mod pool;
mod quantize;
mod simd;
mod window;

pub use activation::Activation;
pub use affine::affine;
pub use attention::{Attention, AttentionOperands, Strided};
pub use conv::{
    Conv, GroupedOperands, GroupedPointwise, IntegerConv, IntegerOperands, IntegerOutput,
    IntegerProduct, Method, Operands, Product, ProductOperands,
};
pub use depthwise::{Depthwise, IntegerDepthwise, IntegerDepthwiseOperands};
pub use isa::Isa;
pub use layout::{from_blocked, to_blocked};
pub use pool::{Pool, Pooling};
pub use quantize::Steps;
pub use window::Window;
