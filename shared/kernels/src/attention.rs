//! Attention: of each query, the values weighted by the softmax of its products with the keys.
//!
//! Operands are read where they lie, whatever the order of their axes, and nothing is transposed but the queries at
//! hand, as they are arranged for the tiles of a product: those are the columns of the scores, so that a softmax never
//! crosses the lanes of a vector.

use crate::Isa;
use crate::activation::exp;
use crate::conv::{Matrices, Rows};
use crate::simd::{Simd, Task};

/// Queries that are done at a time: their scores stay in the nearer caches.
const TOGETHER: usize = 32;

/// `softmax(scale · queries · keysᵀ + mask) · values`, for each head of one item of a batch
/// ([Vaswani and others](https://arxiv.org/abs/1706.03762), 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Each has queries, keys and values of its own.
    pub heads: usize,
    /// Queries of a head.
    pub queries: usize,
    /// Keys of a head, and as many values.
    pub keys: usize,
    /// Numbers of a query, and of a key.
    pub depth: usize,
    /// Numbers of a value.
    pub width: usize,
    /// A factor of the products.
    pub scale: f32,
}

/// Numbers with three axes, of a tensor that may have them in any order and others between them.
#[derive(Debug, Clone, Copy)]
pub struct Strided<'a> {
    /// From the first one on.
    pub numbers: &'a [f32],
    /// Numbers from one place of each axis to the next; 0 where all places share one, as those of a mask may.
    pub strides: [usize; 3],
}

impl<'a> Strided<'a> {
    fn from(self, places: [usize; 3]) -> &'a [f32] {
        let at = places.iter().zip(self.strides);
        &self.numbers[at.map(|(place, stride)| place * stride).sum()..]
    }

    fn holds(self, shape: [usize; 3]) -> bool {
        let last = shape.iter().zip(self.strides);
        let last = last.map(|(&len, stride)| (len - 1) * stride);
        last.sum::<usize>() < self.numbers.len()
    }
}

/// What attention works on.
#[derive(Debug)]
pub struct AttentionOperands<'a> {
    /// Heads, queries, numbers of each.
    pub queries: Strided<'a>,
    /// Heads, keys, numbers of each.
    pub keys: Strided<'a>,
    /// Heads, values, numbers of each.
    pub values: Strided<'a>,
    /// What is added to the scaled products: heads, queries, keys.
    pub mask: Option<Strided<'a>>,
    /// Heads, queries; the numbers of each lie one behind the other.
    pub output: &'a mut [f32],
    /// Numbers of the output from one head and from one query to the next.
    pub strides: [usize; 2],
    /// As long as [`Attention::scratch_len`] says; any numbers.
    pub scratch: &'a mut [f32],
}

impl Attention {
    /// Numbers of the scratch.
    pub fn scratch_len(&self, isa: Isa) -> usize {
        self.scratch(isa).iter().sum()
    }

    /// Numbers of queries, scores, values, and zeros.
    fn scratch(&self, isa: Isa) -> [usize; 4] {
        let lanes = isa.lanes();
        let together = TOGETHER.min(isa.blocks(self.queries) * lanes);
        let width = isa.blocks(self.width) * lanes;
        [
            self.depth * together,
            self.keys * together,
            self.keys * width,
            together.max(width),
        ]
    }

    /// Attends.
    ///
    /// # Panics
    /// If an extent is zero, a slice is too short, or this machine lacks the instruction set.
    pub fn run(&self, isa: Isa, operands: AttentionOperands<'_>) {
        let &Self {
            heads,
            queries,
            keys,
            depth,
            width,
            ..
        } = self;
        assert!(
            [heads, queries, keys, depth, width].iter().all(|&n| n > 0),
            "{self:?}"
        );
        assert!(operands.queries.holds([heads, queries, depth]), "queries");
        assert!(operands.keys.holds([heads, keys, depth]), "keys");
        assert!(operands.values.holds([heads, keys, width]), "values");
        let each = [operands.queries, operands.values].map(|operand| operand.strides[2]);
        assert!(!each.contains(&0), "queries or values that share numbers");
        let masked = operands.mask;
        assert!(
            masked.is_none_or(|mask| mask.holds([heads, queries, keys])),
            "mask"
        );
        let [of_heads, of_queries] = operands.strides;
        let end = (heads - 1) * of_heads + (queries - 1) * of_queries + width;
        assert!(
            end <= operands.output.len() && width <= of_queries,
            "output"
        );
        assert_eq!(operands.scratch.len(), self.scratch_len(isa), "scratch");
        isa.run(Attend {
            attention: self,
            scratch: self.scratch(isa),
            operands,
        });
    }
}

struct Attend<'a> {
    attention: &'a Attention,
    scratch: [usize; 4],
    operands: AttentionOperands<'a>,
}

impl Task for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &Attention {
            heads,
            queries: all,
            keys,
            depth,
            width,
            scale,
        } = self.attention;
        let AttentionOperands {
            queries: of_queries,
            keys: of_keys,
            values: of_values,
            mask,
            output,
            strides,
            scratch,
        } = self.operands;
        let [q, k, v, _] = self.scratch;
        let (queries, scratch) = scratch.split_at_mut(q);
        let (scores, scratch) = scratch.split_at_mut(k);
        let (values, zeros) = scratch.split_at_mut(v);
        zeros.fill(0.0);
        for head in 0..heads {
            arrange_values(s, of_values, head, keys, width, values);
            for first in (0..all).step_by(TOGETHER) {
                let count = TOGETHER.min(all - first);
                let lanes = count.div_ceil(S::LANES) * S::LANES;
                let queries = &mut queries[..depth * lanes];
                arrange_queries::<S>(of_queries, [head, first], count, scale, queries);
                let scores = &mut scores[..keys * lanes];
                let [_, step, channel] = of_keys.strides;
                let (runs, run, depth) = match channel {
                    1 => (1, 0, depth),
                    _ => (depth, channel, 1),
                };
                Matrices::<false> {
                    rows: Rows {
                        numbers: of_keys.from([head, 0, 0]),
                        count: keys,
                        step,
                        runs,
                        run,
                        depth,
                    },
                    outputs: lanes,
                    weights: queries,
                    start: zeros,
                    output: scores,
                    stride: lanes,
                }
                .run(s);
                if let Some(mask) = mask {
                    add(mask, [head, first], count, scores, lanes);
                }
                softmax(s, scores, lanes);
                Matrices::<false> {
                    rows: Rows {
                        numbers: scores,
                        count,
                        step: 1,
                        runs: keys,
                        run: lanes,
                        depth: 1,
                    },
                    outputs: width,
                    weights: values,
                    start: zeros,
                    output: &mut output[head * strides[0] + first * strides[1]..],
                    stride: strides[1],
                }
                .run(s);
            }
        }
    }
}

/// Some queries, scaled, as a product has its weights: `[block of queries, number, lane]`, zeros where a lane is none.
#[inline(always)]
fn arrange_queries<S: Simd>(
    from: Strided<'_>,
    [head, first]: [usize; 2],
    count: usize,
    scale: f32,
    to: &mut [f32],
) {
    let depth = to.len() / (count.div_ceil(S::LANES) * S::LANES);
    for (block, to) in to.chunks_exact_mut(depth * S::LANES).enumerate() {
        let block = block * S::LANES;
        if count < block + S::LANES {
            to.fill(0.0);
        }
        for lane in 0..S::LANES.min(count - block) {
            let query = from.from([head, first + block + lane, 0]).iter();
            let places = to.chunks_exact_mut(S::LANES);
            // The usual step is a loop of its own: the compiler knows it there.
            match from.strides[2] {
                1 => places.zip(query).for_each(|(to, x)| to[lane] = x * scale),
                step => {
                    let query = query.step_by(step);
                    places.zip(query).for_each(|(to, x)| to[lane] = x * scale);
                }
            }
        }
    }
}

/// All values of a head, as a product has its weights: `[block of numbers, value, lane]`.
#[inline(always)]
fn arrange_values<S: Simd>(
    s: S,
    from: Strided<'_>,
    head: usize,
    keys: usize,
    width: usize,
    to: &mut [f32],
) {
    for (block, to) in to.chunks_exact_mut(keys * S::LANES).enumerate() {
        let first = block * S::LANES;
        let lanes = S::LANES.min(width - first);
        for (key, to) in to.chunks_exact_mut(S::LANES).enumerate() {
            let value = from.from([head, key, first]);
            if from.strides[2] == 1 && lanes == S::LANES {
                let value = &value[..S::LANES];
                // SAFETY: both are a vector long.
                unsafe { s.store(to.as_mut_ptr(), s.load(value.as_ptr())) };
            } else {
                let value = value.iter().step_by(from.strides[2]);
                to[..lanes]
                    .iter_mut()
                    .zip(value)
                    .for_each(|(to, x)| *to = *x);
            }
        }
    }
}

/// Adds the mask of some queries to their scores.
#[inline(always)]
fn add(
    mask: Strided<'_>,
    [head, first]: [usize; 2],
    count: usize,
    scores: &mut [f32],
    lanes: usize,
) {
    for (key, scores) in scores.chunks_exact_mut(lanes).enumerate() {
        let summands = mask.from([head, first, key]);
        match mask.strides[1] {
            0 => scores.iter_mut().for_each(|score| *score += summands[0]),
            step => {
                let summands = summands.iter().step_by(step);
                let scores = scores[..count].iter_mut();
                scores
                    .zip(summands)
                    .for_each(|(score, summand)| *score += summand);
            }
        }
    }
}

/// The softmax of each lane, over rows of so many.
#[inline(always)]
fn softmax<S: Simd>(s: S, scores: &mut [f32], lanes: usize) {
    let keys = scores.len() / lanes;
    assert!(lanes.is_multiple_of(S::LANES) && keys * lanes == scores.len());
    // What is infinitely less than the greatest one has no share: `exp` would leave it e⁻⁸⁷.
    let none = exp(s, s.splat(f32::NEG_INFINITY));
    for first in (0..lanes).step_by(S::LANES) {
        let scores = scores[first..].as_mut_ptr();
        // SAFETY: rows hold whole vectors, of which this is one of each row.
        unsafe {
            let mut most = s.splat(f32::NEG_INFINITY);
            for key in 0..keys {
                most = s.max(most, s.load(scores.add(key * lanes)));
            }
            let mut sum = s.splat(0.0);
            for key in 0..keys {
                let score = s.load(scores.add(key * lanes));
                let share = s.sub(exp(s, s.sub(score, most)), none);
                sum = s.add(sum, share);
                s.store(scores.add(key * lanes), share);
            }
            let each = s.div(s.splat(1.0), sum);
            for key in 0..keys {
                let share = s.mul(s.load(scores.add(key * lanes)), each);
                s.store(scores.add(key * lanes), share);
            }
        }
    }
}
