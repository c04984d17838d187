//! Attention against the nodes that it stands for.

use std::num::NonZeroUsize;

use tract_onnx::prelude::{
    IntoTValue, IntoTensor, OutletId, Tensor, TypedModel, TypedRunnableModel, tvec,
};
use tract_onnx::tract_core::model::SpecialOps;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{add, div, mul};
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

use super::*;
use crate::Threads;

const BATCH: usize = 2;
const HEADS: usize = 3;
const QUERIES: usize = 37;
const KEYS: usize = 21;
const DEPTH: usize = 10;
const WIDTH: usize = 20;

#[derive(Debug, Clone, Copy)]
struct Case {
    /// The axes of the two products: batch, head, m queries, n keys, k and d numbers.
    products: [&'static str; 2],
    /// Products are divided by the one, multiplied by the other.
    scale: [Option<f32>; 2],
    mask: Option<[usize; 4]>,
    queries: usize,
    /// The axis of the softmax.
    over: usize,
    /// Whether shares are an output, too.
    told: bool,
    /// How many operators of ours are wanted.
    wanted: usize,
}

const USUAL: Case = Case {
    products: ["bmhk,bnhk->bhmn", "bhmn,bnhd->bmhd"],
    scale: [Some(3.0), None],
    mask: Some([BATCH, 1, 1, KEYS]),
    queries: QUERIES,
    over: 3,
    told: false,
    wanted: 1,
};

fn len(axis: char, queries: usize) -> usize {
    match axis {
        'b' => BATCH,
        'h' => HEADS,
        'm' => queries,
        'n' => KEYS,
        'k' => DEPTH,
        _ => WIDTH,
    }
}

/// Numbers that look random.
fn random(shape: &[usize], seed: usize) -> Tensor {
    let len = shape.iter().product();
    let number = |at: usize| ((at * 7919 + seed * 104_729) % 1013) as f32 / 506.5 - 1.0;
    let numbers: Vec<f32> = (0..len).map(number).collect();
    Tensor::from_shape(shape, &numbers).expect("a tensor")
}

impl Case {
    fn graph(&self) -> (TypedModel, Vec<Tensor>) {
        let mut model = TypedModel::default();
        let mut inputs = Vec::new();
        let mut source = |model: &mut TypedModel, shape: &[usize]| {
            inputs.push(random(shape, inputs.len()));
            let name = format!("input {}", inputs.len());
            model.add_source(name, f32::fact(shape)).expect("an input")
        };
        let mut number = 0;
        let mut node = |model: &mut TypedModel, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
            number += 1;
            let name = format!("node {number}");
            model.wire_node(name, op, inputs).expect("a node")[0]
        };
        let product = |axes: &str| -> Box<dyn TypedOp> {
            let axes = axes.parse().expect("axes");
            Box::new(EinSum::new(axes, f32::datum_type()))
        };
        let (of_scores, _) = self.products[0].split_once("->").expect("an arrow");
        let operands: Vec<_> = of_scores
            .split(',')
            .map(|axes| {
                let shape: Vec<_> = axes.chars().map(|axis| len(axis, self.queries)).collect();
                source(&mut model, &shape)
            })
            .collect();
        let mut x = node(&mut model, product(self.products[0]), &operands);
        for (by, function) in self.scale.into_iter().zip([div(), mul()]) {
            if let Some(by) = by {
                let by = Tensor::from_shape(&[1; 4], &[by]).expect("a tensor");
                let by = model
                    .add_const(format!("by {}", model.nodes.len()), by)
                    .expect("a constant");
                x = node(&mut model, Box::new(function), &[x, by]);
            }
        }
        if let Some(mask) = self.mask {
            let mask = source(&mut model, &mask);
            x = node(&mut model, Box::new(add()), &[mask, x]);
        }
        let softmax = Softmax::new(tvec!(self.over), None, SoftmaxKind::Softmax);
        let shares = node(&mut model, Box::new(softmax), &[x]);
        let (of_values, _) = self.products[1].split_once("->").expect("an arrow");
        let operands: Vec<_> = of_values
            .split(',')
            .map(|axes| match axes {
                "bhmn" => shares,
                axes => {
                    let shape: Vec<_> = axes.chars().map(|axis| len(axis, self.queries)).collect();
                    source(&mut model, &shape)
                }
            })
            .collect();
        let output = node(&mut model, product(self.products[1]), &operands);
        let told = self.told.then_some(shares);
        let outputs: Vec<_> = [output].into_iter().chain(told).collect();
        model.select_output_outlets(&outputs).expect("outputs");
        (model, inputs)
    }
}

fn run(graph: TypedModel, inputs: &[Tensor]) -> Vec<Tensor> {
    let graph = graph.into_optimized().expect("an optimized graph");
    let plan = TypedRunnableModel::new(graph).expect("a plan");
    let inputs = inputs.iter().map(|input| input.clone().into_tvalue());
    let outputs = plan.run(inputs.collect()).expect("an answer");
    outputs.into_iter().map(IntoTensor::into_tensor).collect()
}

fn check(case: Case) {
    let (graph, inputs) = case.graph();
    let wanted = run(graph.clone(), &inputs);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let ours = attend(graph.clone(), isa).expect("our graph");
        let count = ours.nodes.iter().filter(|node| node.op_is::<Attention>());
        // The nodes that are left behind have no readers.
        assert_eq!(count.count(), case.wanted, "{isa} {case:?}");
        let got = run(ours.clone(), &inputs);
        let three = Threads::new(NonZeroUsize::new(3).expect("not zero")).expect("three threads");
        let shared = three.run(|| run(ours, &inputs));
        assert!(shared == got, "{isa} {case:?}: threads change no sum");
        for (got, wanted) in got.iter().zip(&wanted) {
            assert_eq!(got.shape(), wanted.shape());
            let (got, wanted) = (
                numbers(got).expect("numbers"),
                numbers(wanted).expect("numbers"),
            );
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6;
            assert!(got.iter().zip(wanted).all(near), "{isa} {case:?}");
        }
    }
}

#[test]
fn products_may_have_their_axes_in_any_order() {
    let of_scores = [
        "bmhk,bnhk->bhmn",
        "bhmk,bhnk->bhmn",
        "bhmk,bhkn->bhmn",
        "bnhk,bmhk->bhmn",
        "hkmb,nbkh->bhmn",
    ];
    let of_values = [
        "bhmn,bnhd->bmhd",
        "bhmn,bhnd->bhmd",
        "bhdn,bhmn->bhmd",
        "dhbn,bhmn->bmhd",
    ];
    for first in of_scores {
        for second in of_values {
            check(Case {
                products: [first, second],
                ..USUAL
            });
        }
    }
}

#[test]
fn scale_and_mask_may_be_there_or_not() {
    let masks = [
        None,
        Some([1, 1, 1, KEYS]),
        Some([1, 1, QUERIES, KEYS]),
        Some([BATCH, HEADS, QUERIES, 1]),
        Some([BATCH, HEADS, QUERIES, KEYS]),
    ];
    for mask in masks {
        for scale in [[None, None], [None, Some(0.2)], [Some(2.0), Some(0.7)]] {
            check(Case {
                scale,
                mask,
                ..USUAL
            });
        }
    }
}

#[test]
fn what_is_no_attention_stays() {
    let others = [
        Case { over: 2, ..USUAL },
        Case {
            told: true,
            ..USUAL
        },
        Case {
            products: [USUAL.products[0], "bhmn,bnhd->hmbd"],
            ..USUAL
        },
        Case {
            queries: 1,
            ..USUAL
        },
    ];
    for case in others {
        check(Case { wanted: 0, ..case });
    }
}

#[test]
fn what_a_plan_states_must_fit() {
    let sound = Attention {
        isa: Isa::best(),
        places: [[0, 2, 1, 3], [0, 2, 1, 3], [0, 2, 1, 3], [0, 2, 1, 3]],
        scale: 0.5,
        masked: true,
    };
    let shapes = [
        [BATCH, QUERIES, HEADS, DEPTH],
        [BATCH, KEYS, HEADS, DEPTH],
        [BATCH, KEYS, HEADS, WIDTH],
        [1, HEADS, 1, KEYS],
    ];
    let refused = |op: &Attention, shapes: &[[usize; 4]]| {
        let facts: Vec<_> = shapes.iter().map(f32::fact).collect();
        let facts: Vec<_> = facts.iter().collect();
        op.output_facts(&facts).is_err()
    };
    assert!(!refused(&sound, &shapes));
    assert!(refused(&sound, &shapes[..3]));
    for (input, axis) in (0..4).flat_map(|input| (0..4).map(move |axis| (input, axis))) {
        let mut strange = shapes;
        strange[input][axis] += 1;
        // A mask of both items of the batch fits, too.
        let alone = [(0, 1), (2, 3), (3, 0)].contains(&(input, axis));
        assert_eq!(refused(&sound, &strange), !alone, "{strange:?}");
        let mut empty = shapes;
        empty[input][axis] = 0;
        assert!(refused(&sound, &empty), "{empty:?}");
        let mut places = sound.places;
        places[input][axis] = 9;
        let strange = Attention {
            places,
            ..sound.clone()
        };
        assert!(refused(&strange, &shapes));
    }
    let scale = f32::NAN;
    assert!(refused(
        &Attention {
            scale,
            ..sound.clone()
        },
        &shapes
    ));
    let mut places = sound.places;
    places[3] = [1, 0, 2, 3];
    assert!(refused(&Attention { places, ..sound }, &shapes));
}
