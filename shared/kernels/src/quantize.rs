//! Numbers rounded to the steps of a quantized datatype, and back: what a pair of `QuantizeLinear` and `DequantizeLinear`
//! makes of a tensor.

use serde::{Deserialize, Serialize};

use crate::Isa;
use crate::simd::{Simd, Task};

/// The steps of a linear quantization, as [QuantizeLinear](https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html)
/// has them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// From one step to the next.
    pub scale: f32,
    /// The step that zero is.
    pub zero: f32,
    /// The first and the last step.
    pub range: [f32; 2],
}

// Its numbers are never NaN: the constructors of graphs refuse that.
impl Eq for Steps {}

impl Steps {
    /// Rounds every number to the nearest step, in place; halves go to the even one.
    ///
    /// # Panics
    /// If this machine lacks the instruction set.
    pub fn round(self, isa: Isa, values: &mut [f32]) {
        isa.run(Round {
            steps: self,
            values,
        });
    }
}

struct Round<'a> {
    steps: Steps,
    values: &'a mut [f32],
}

impl Task for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Steps { scale, zero, range } = self.steps;
        let (scale, zero) = (s.splat(scale), s.splat(zero));
        let (low, high) = (s.splat(range[0]), s.splat(range[1]));
        crate::activation::each(s, self.values, |x| {
            let step = s.add(s.round(s.div(x, scale)), zero);
            let step = s.min(high, s.max(low, step));
            s.mul(s.sub(step, zero), scale)
        });
    }
}
