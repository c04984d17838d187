//! Attention, on every instruction set of this machine, against a naive reference.

use dunlin_kernels::{Attention, AttentionOperands, Isa, Strided};
use fastrand::Rng;

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// Numbers of a shape, their axes in an order: `order[0]` is the one that changes most slowly.
struct Operand {
    numbers: Vec<f32>,
    strides: [usize; 3],
}

impl Operand {
    fn new(rng: &mut Rng, shape: [usize; 3], order: [usize; 3]) -> Self {
        let mut strides = [0; 3];
        let mut len = 1;
        for axis in order.into_iter().rev() {
            strides[axis] = len;
            len *= shape[axis];
        }
        let numbers = (0..len).map(|_| rng.f32() * 4.0 - 2.0).collect();
        Self { numbers, strides }
    }

    fn strided(&self) -> Strided<'_> {
        Strided {
            numbers: &self.numbers,
            strides: self.strides,
        }
    }

    fn at(&self, places: [usize; 3]) -> f64 {
        let at = places.iter().zip(self.strides);
        self.numbers[at.map(|(place, stride)| place * stride).sum::<usize>()].into()
    }
}

/// What each number of the output should be: of a head, of a query.
fn naive(
    attention: &Attention,
    [queries, keys, values]: [&Operand; 3],
    mask: Option<&Operand>,
    [head, query]: [usize; 2],
) -> Vec<f64> {
    let score = |key| {
        let products =
            (0..attention.depth).map(|at| queries.at([head, query, at]) * keys.at([head, key, at]));
        let summand = mask.map_or(0.0, |mask| mask.at([head, query, key]));
        products.sum::<f64>() * f64::from(attention.scale) + summand
    };
    let scores: Vec<f64> = (0..attention.keys).map(score).collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = shares.iter().sum();
    let number = |at| {
        let weighted = shares.iter().enumerate();
        let weighted = weighted.map(|(key, share)| share * values.at([head, key, at]));
        weighted.sum::<f64>() / sum
    };
    (0..attention.width).map(number).collect()
}

const TOKENS_FIRST: [usize; 3] = [1, 0, 2];
const HEADS_FIRST: [usize; 3] = [0, 1, 2];
const NUMBERS_BEFORE_TOKENS: [usize; 3] = [0, 2, 1];

fn cases() -> Vec<Attention> {
    let case = |heads, queries, keys, depth, width| Attention {
        heads,
        queries,
        keys,
        depth,
        width,
        scale: 0.3,
    };
    vec![
        case(12, 32, 32, 32, 32),
        case(1, 1, 1, 1, 1),
        case(2, 5, 7, 3, 9),
        case(3, 33, 50, 17, 40),
        case(2, 64, 15, 64, 16),
        case(1, 100, 197, 24, 72),
    ]
}

fn check(attention: &Attention, isa: Isa, operands: [&Operand; 3], mask: Option<&Operand>) {
    let &Attention {
        heads,
        queries,
        width,
        ..
    } = attention;
    for heads_first in [true, false] {
        // A gap behind each row, which stays as it is.
        let row = width + 3;
        let strides = if heads_first {
            [queries * row, row]
        } else {
            [row, heads * row]
        };
        let mut output = vec![7.0; heads * queries * row];
        let [queries, keys, values] = operands.map(Operand::strided);
        attention.run(
            isa,
            AttentionOperands {
                queries,
                keys,
                values,
                mask: mask.map(Operand::strided),
                output: &mut output,
                strides,
                scratch: &mut vec![f32::NAN; attention.scratch_len(isa)],
            },
        );
        for head in 0..heads {
            for query in 0..attention.queries {
                let row = &output[head * strides[0] + query * strides[1]..][..row];
                let wanted = naive(attention, operands, mask, [head, query]);
                for (got, wanted) in row.iter().zip(wanted) {
                    let off = (f64::from(*got) - wanted).abs();
                    assert!(off < 1e-5, "{isa} {attention:?}: {got} for {wanted}");
                }
                assert!(
                    row[width..]
                        .iter()
                        .all(|gap| gap.to_bits() == 7f32.to_bits())
                );
            }
        }
    }
}

/// Every case, on every instruction set.
fn everywhere() -> impl Iterator<Item = (Attention, Isa)> {
    let cases = cases().into_iter();
    cases.flat_map(|case| isas().map(move |isa| (case, isa)))
}

/// Queries, keys and values.
fn operands(rng: &mut Rng, of: &Attention, order: [usize; 3]) -> [Operand; 3] {
    let rows = [
        (of.queries, of.depth),
        (of.keys, of.depth),
        (of.keys, of.width),
    ];
    rows.map(|(rows, numbers)| Operand::new(rng, [of.heads, rows, numbers], order))
}

#[test]
fn any_order_of_axes() {
    let mut rng = Rng::with_seed(1);
    for (attention, isa) in everywhere() {
        for order in [TOKENS_FIRST, HEADS_FIRST, NUMBERS_BEFORE_TOKENS] {
            let operands = operands(&mut rng, &attention, order);
            check(&attention, isa, operands.each_ref(), None);
        }
    }
}

#[test]
fn masks_of_any_kind() {
    let mut rng = Rng::with_seed(2);
    for (attention, isa) in everywhere() {
        let operands = operands(&mut rng, &attention, TOKENS_FIRST);
        let (heads, queries, keys) = (attention.heads, attention.queries, attention.keys);
        for shared in 0..8 {
            let mut mask = Operand::new(&mut rng, [heads, queries, keys], HEADS_FIRST);
            for axis in 0..3 {
                if shared >> axis & 1 == 1 {
                    mask.strides[axis] = 0;
                }
            }
            // Every third key is not seen, but for one that each query sees.
            for (at, number) in mask.numbers.iter_mut().enumerate().skip(1) {
                if at % keys != 0 && at % 3 == 0 {
                    *number = f32::NEG_INFINITY;
                }
            }
            check(&attention, isa, operands.each_ref(), Some(&mask));
        }
    }
}

#[test]
fn what_is_not_seen_has_no_share() {
    let attention = Attention {
        heads: 1,
        queries: 4,
        keys: 3,
        depth: 2,
        width: 2,
        scale: 1.0,
    };
    let dense = |numbers, strides| Strided { numbers, strides };
    for isa in isas() {
        let mut output = [0.0; 8];
        attention.run(
            isa,
            AttentionOperands {
                queries: dense(&[1.0; 8], [8, 2, 1]),
                keys: dense(&[1.0; 6], [6, 2, 1]),
                values: dense(&[2.0, 3.0, f32::MAX, f32::MAX, 2.0, 3.0], [6, 2, 1]),
                mask: Some(dense(&[0.0, f32::NEG_INFINITY, 0.0], [0, 0, 1])),
                output: &mut output,
                strides: [8, 2],
                scratch: &mut vec![0.0; attention.scratch_len(isa)],
            },
        );
        let pairs = output.chunks_exact(2);
        assert!(
            pairs.into_iter().all(|pair| pair == [2.0, 3.0]),
            "{isa}: {output:?}"
        );
    }
}
