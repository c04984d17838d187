//! Numbers and the steps of a quantized datatype: from the one to the other, back, and both in one pass, which is what a
//! pair of `QuantizeLinear` and `DequantizeLinear` makes of a tensor.

use serde::{Deserialize, Serialize};

use crate::simd::{Simd, Task};
use crate::{Activation, Isa};

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

    /// The same steps, counted from 0 to 255: those of a signed datatype move up by 128. None where they are more.
    pub fn bytes(self) -> Option<Self> {
        let shift = if self.range[0] < 0.0 { 128.0 } else { 0.0 };
        let moved = Self {
            zero: self.zero + shift,
            range: self.range.map(|bound| bound + shift),
            ..self
        };
        moved.is_bytes().then_some(moved)
    }

    /// Whether each step is a byte.
    pub fn is_bytes(self) -> bool {
        let [low, high] = self.range;
        0.0 <= low && low <= high && high <= 255.0 && (low..=high).contains(&self.zero)
    }

    /// The byte that zero is.
    pub fn zero_byte(self) -> u8 {
        self.zero as u8
    }

    /// The steps of unsigned bytes that reach from the least number to the greatest, and over zero, as
    /// [DynamicQuantizeLinear](https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html) has them.
    ///
    /// # Panics
    /// If this machine lacks the instruction set.
    pub fn reaching(isa: Isa, numbers: &[f32]) -> Self {
        let [low, high] = isa.run(Extremes(numbers));
        let scale = (high - low) / 255.0;
        // All numbers are zero: any scale says so.
        let scale = if scale == 0.0 { 1.0 } else { scale };
        Self {
            scale,
            zero: (-low / scale).round_ties_even().clamp(0.0, 255.0),
            range: [0.0, 255.0],
        }
    }

    /// The nearest step of every number.
    ///
    /// # Panics
    /// If the slices differ in length, the steps are no bytes, or this machine lacks the instruction set.
    pub fn to_bytes(self, isa: Isa, numbers: &[f32], bytes: &mut [u8]) {
        assert!(self.is_bytes() && numbers.len() == bytes.len());
        isa.run(ToBytes {
            steps: self,
            numbers,
            bytes,
        });
    }

    /// The number of every step.
    ///
    /// # Panics
    /// If the slices differ in length, or this machine lacks the instruction set.
    pub fn from_bytes(self, isa: Isa, bytes: &[u8], numbers: &mut [f32]) {
        assert_eq!(numbers.len(), bytes.len());
        isa.run(FromBytes {
            steps: self,
            bytes,
            numbers,
        });
    }

    /// The sum of two quantized tensors, each with its steps, after the activation, quantized to these steps.
    ///
    /// # Panics
    /// If the slices differ in length, the steps are no bytes, the activation is not one between bounds, or this machine
    /// lacks the instruction set.
    pub fn sum(self, isa: Isa, terms: [(&[u8], Self); 2], activation: Activation, sum: &mut [u8]) {
        let fits = |(bytes, _): (&[u8], Self)| bytes.len() == sum.len();
        assert!(self.is_bytes() && terms.into_iter().all(fits));
        let bounds = activation.bounds().expect("an activation between bounds");
        isa.run(Sum {
            steps: self,
            terms,
            bounds,
            output: sum,
        });
    }

    /// The steps in registers.
    #[inline(always)]
    pub(crate) fn on<S: Simd>(self, s: S) -> StepVectors<S> {
        StepVectors {
            scale: s.splat(self.scale),
            reciprocal: s.splat(1.0 / self.scale),
            zero: s.splat(self.zero),
            range: self.range.map(|bound| s.splat(bound)),
        }
    }
}

/// Steps in registers.
#[derive(Clone, Copy)]
pub(crate) struct StepVectors<S: Simd> {
    scale: S::V,
    reciprocal: S::V,
    zero: S::V,
    range: [S::V; 2],
}

impl<S: Simd> StepVectors<S> {
    /// The nearest step, halfway between two either one: it takes the scale's reciprocal.
    #[inline(always)]
    pub(crate) fn nearest(self, s: S, x: S::V) -> S::V {
        self.step(s, s.mul(x, self.reciprocal))
    }

    /// The nearest step, halfway between two the even one.
    #[inline(always)]
    fn nearest_even(self, s: S, x: S::V) -> S::V {
        self.step(s, s.div(x, self.scale))
    }

    #[inline(always)]
    fn step(self, s: S, quotient: S::V) -> S::V {
        let step = s.add(s.round(quotient), self.zero);
        s.min(self.range[1], s.max(self.range[0], step))
    }

    /// The number of a step.
    #[inline(always)]
    fn number(self, s: S, step: S::V) -> S::V {
        s.mul(s.sub(step, self.zero), self.scale)
    }
}

/// The least and the greatest of some numbers and zero.
struct Extremes<'a>(&'a [f32]);

impl Task for Extremes<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f32; 2] {
        let (mut low, mut high) = ([0.0_f32; 16], [0.0_f32; 16]);
        let vectors = self.0.chunks_exact(S::LANES);
        for (at, &x) in vectors.remainder().iter().enumerate() {
            (low[at], high[at]) = (x.min(0.0), x.max(0.0));
        }
        // SAFETY: no set has more than 16 lanes, and a chunk is one vector long.
        unsafe {
            let mut least = s.load(low.as_ptr());
            let mut greatest = s.load(high.as_ptr());
            for vector in vectors {
                let x = s.load(vector.as_ptr());
                (least, greatest) = (s.min(x, least), s.max(x, greatest));
            }
            s.store(low.as_mut_ptr(), least);
            s.store(high.as_mut_ptr(), greatest);
        }
        [
            low.into_iter().fold(0.0, f32::min),
            high.into_iter().fold(0.0, f32::max),
        ]
    }
}

struct ToBytes<'a> {
    steps: Steps,
    numbers: &'a [f32],
    bytes: &'a mut [u8],
}

impl Task for ToBytes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let steps = self.steps.on(s);
        vectors::<S>(self.bytes, |at, to| {
            let numbers = &self.numbers[at..];
            // SAFETY: there are as many numbers as bytes.
            unsafe { s.store_bytes(to, steps.nearest_even(s, s.load(numbers.as_ptr()))) };
        });
        let rest = self.numbers.len() / S::LANES * S::LANES;
        let Steps { scale, zero, range } = self.steps;
        for (byte, &x) in self.bytes[rest..].iter_mut().zip(&self.numbers[rest..]) {
            let step = (x / scale).round_ties_even() + zero;
            *byte = step.max(range[0]).min(range[1]) as u8;
        }
    }
}

/// Gives `write` each whole vector of bytes: its place, and where to write.
#[inline(always)]
fn vectors<S: Simd>(bytes: &mut [u8], mut write: impl FnMut(usize, *mut u8)) {
    for (vector, to) in bytes.chunks_exact_mut(S::LANES).enumerate() {
        write(vector * S::LANES, to.as_mut_ptr());
    }
}

struct FromBytes<'a> {
    steps: Steps,
    bytes: &'a [u8],
    numbers: &'a mut [f32],
}

impl Task for FromBytes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let steps = self.steps.on(s);
        let mut to = self.numbers.chunks_exact_mut(S::LANES);
        let mut from = self.bytes.chunks_exact(S::LANES);
        for (to, from) in (&mut to).zip(&mut from) {
            // SAFETY: both are one vector long.
            unsafe {
                let number = steps.number(s, s.load_bytes(from.as_ptr()));
                s.store(to.as_mut_ptr(), number);
            }
        }
        let Steps { scale, zero, .. } = self.steps;
        for (to, &from) in to.into_remainder().iter_mut().zip(from.remainder()) {
            *to = (f32::from(from) - zero) * scale;
        }
    }
}

struct Sum<'a> {
    steps: Steps,
    terms: [(&'a [u8], Steps); 2],
    bounds: (f32, f32),
    output: &'a mut [u8],
}

impl Task for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [(a, a_steps), (b, b_steps)] = self.terms;
        let (low, high) = (s.splat(self.bounds.0), s.splat(self.bounds.1));
        let steps = [a_steps.on(s), b_steps.on(s), self.steps.on(s)];
        let all = self.output.len();
        vectors::<S>(self.output, |at, to| {
            // SAFETY: all three are of one length.
            unsafe {
                let a = steps[0].number(s, s.load_bytes(a[at..].as_ptr()));
                let b = steps[1].number(s, s.load_bytes(b[at..].as_ptr()));
                let sum = s.min(high, s.max(low, s.add(a, b)));
                s.store_bytes(to, steps[2].nearest_even(s, sum));
            }
        });
        for at in all / S::LANES * S::LANES..all {
            let number = |byte: u8, steps: Steps| (f32::from(byte) - steps.zero) * steps.scale;
            let sum = number(a[at], a_steps) + number(b[at], b_steps);
            let sum = sum.max(self.bounds.0).min(self.bounds.1);
            let Steps { scale, zero, range } = self.steps;
            let step = (sum / scale).round_ties_even() + zero;
            self.output[at] = step.max(range[0]).min(range[1]) as u8;
        }
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
        let steps = self.steps.on(s);
        crate::activation::each(s, self.values, |x| {
            steps.number(s, steps.nearest_even(s, x))
        });
    }
}
