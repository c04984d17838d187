//! A graph with our operators against the same graph without.

use std::num::NonZeroUsize;

use dunlin_kernels::Isa;
use tract_onnx::prelude::{
    Datum, DatumExt, IntoTensor, OutletId, Tensor, TypedModel, TypedRunnableModel, tvec,
};
use tract_onnx::tract_core::model::SpecialOps;
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::{
    Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool,
};
use tract_onnx::tract_core::ops::math::{add, max, min, mul};
use tract_onnx::tract_core::ops::nn::{
    DataFormat, Reduce, Reducer, hard_swish, leaky_relu, sigmoid,
};
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, quantize_linear_u8};

use super::lowering::{Kind, Lowering};
use crate::Threads;

/// A graph under construction; its constants are numbers that look random.
struct Builder {
    model: TypedModel,
    seed: u32,
}

impl Builder {
    fn numbers(&mut self, shape: &[usize]) -> Tensor {
        let len = shape.iter().product();
        let mut next = || {
            self.seed = self
                .seed
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            (self.seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let numbers: Vec<f32> = (0..len).map(|_| next()).collect();
        Tensor::from_shape(shape, &numbers).expect("a tensor")
    }

    fn constant(&mut self, shape: &[usize]) -> OutletId {
        let numbers = self.numbers(shape);
        let name = self.name("constant");
        self.model.add_const(name, numbers).expect("a constant")
    }

    fn scalar(&mut self, x: f32, rank: usize) -> OutletId {
        let tensor = Tensor::from_shape(&vec![1; rank], &[x]).expect("a tensor");
        let name = self.name("scalar");
        self.model.add_const(name, tensor).expect("a constant")
    }

    fn name(&self, what: &str) -> String {
        format!("{what}.{}", self.model.nodes.len())
    }

    fn node(
        &mut self,
        op: impl Into<Box<dyn tract_onnx::tract_core::ops::TypedOp>>,
        inputs: &[OutletId],
    ) -> OutletId {
        let name = self.name("node");
        self.model.wire_node(name, op, inputs).expect("a node")[0]
    }

    fn channels(&self, x: OutletId) -> usize {
        self.model
            .outlet_fact(x)
            .expect("a fact")
            .shape
            .as_concrete()
            .expect("concrete")[1]
    }

    fn spec(&self, x: OutletId, outputs: usize, kernel: usize, stride: usize) -> PoolSpec {
        let pads = tvec!(kernel / 2; 2);
        PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec!(kernel; 2),
            padding: PaddingSpec::Explicit(pads.clone(), pads),
            dilations: None,
            strides: Some(tvec!(stride; 2)),
            input_channels: self.channels(x),
            output_channels: outputs,
        }
    }

    fn conv(
        &mut self,
        x: OutletId,
        outputs: usize,
        kernel: usize,
        stride: usize,
        group: usize,
    ) -> OutletId {
        let weights = self.constant(&[outputs, self.channels(x) / group, kernel, kernel]);
        let bias = self.constant(&[outputs]);
        let op = Conv {
            pool_spec: self.spec(x, outputs, kernel, stride),
            kernel_fmt: KernelFormat::OIHW,
            group,
            q_params: None,
        };
        self.node(op, &[x, weights, bias])
    }

    /// As batch normalization is wired.
    fn normalized(&mut self, x: OutletId) -> OutletId {
        let channels = self.channels(x);
        let (slope, intercept) = (
            self.constant(&[1, channels, 1, 1]),
            self.constant(&[1, channels, 1, 1]),
        );
        let x = self.node(mul(), &[slope, x]);
        self.node(add(), &[intercept, x])
    }

    fn clip(&mut self, x: OutletId) -> OutletId {
        let (zero, six) = (self.scalar(0.0, 4), self.scalar(6.0, 4));
        let x = self.node(max(), &[x, zero]);
        self.node(min(), &[x, six])
    }

    fn squeezed(&mut self, x: OutletId) -> OutletId {
        let mean = self.node(Reduce::new(tvec!(2, 3), Reducer::Sum), &[x]);
        let gate = self.conv(mean, self.channels(x), 1, 1, 1);
        let gate = self.node(sigmoid(), &[gate]);
        self.node(mul(), &[x, gate])
    }
}

/// All that the pass knows, in one graph; some channels fill their blocks, some don't.
fn graph() -> TypedModel {
    let mut g = Builder {
        model: TypedModel::default(),
        seed: 1,
    };
    let x = g
        .model
        .add_source("x", f32::fact([2, 3, 21, 19]))
        .expect("an input");
    let x = g.conv(x, 20, 3, 2, 1);
    let x = g.normalized(x);
    let stem = g.clip(x);
    // A depthwise one, x · sigmoid(x), a residual before an activation.
    let x = g.conv(stem, 20, 5, 1, 20);
    let gate = g.node(sigmoid(), &[x]);
    let x = g.node(mul(), &[x, gate]);
    let x = g.conv(x, 20, 1, 1, 1);
    let x = g.node(add(), &[x, stem]);
    let zero = g.scalar(0.0, 4);
    let x = g.node(max(), &[x, zero]);
    let x = g.squeezed(x);
    // Two branches of whole blocks, joined; one is read dense as well.
    let a = g.conv(x, 32, 3, 1, 1);
    let a = g.node(hard_swish(), &[a]);
    let b = g.conv(x, 16, 1, 1, 1);
    let b = g.node(leaky_relu(0.1), &[b]);
    let x = g.node(TypedConcat { axis: 1 }, &[a, b]);
    let x = g.normalized(x);
    let spec = g.spec(x, 48, 3, 2);
    let pool = SumPool {
        pool_spec: spec.clone(),
        count_include_pad: false,
        normalize: true,
    };
    let mean = g.node(pool, &[x]);
    let most = g.node(
        MaxPool {
            pool_spec: spec,
            with_index_outputs: None,
        },
        &[x],
    );
    let x = g.node(add(), &[mean, most]);
    let x = g.conv(x, 48, 3, 1, 3);
    let x = g.node(quantize_linear_u8(20.0, 100), &[x]);
    let op = DequantizeLinearF32 {
        scale: 0.05,
        zero_point: 100,
    };
    let x = g.node(op, &[x]);
    let x = g.conv(x, 7, 1, 1, 1);
    g.model
        .select_output_outlets(&[x, b, mean])
        .expect("outputs");
    g.model
}

fn run(model: TypedModel, x: &Tensor) -> Vec<Tensor> {
    let runnable = TypedRunnableModel::new(model).expect("a plan");
    let outputs = runnable.run(tvec!(x.clone().into())).expect("a run");
    outputs.into_iter().map(IntoTensor::into_tensor).collect()
}

/// A convolution whose groups cut blocks, between two others.
fn groups() -> TypedModel {
    let mut g = Builder {
        model: TypedModel::default(),
        seed: 3,
    };
    let x = g
        .model
        .add_source("x", f32::fact([2, 3, 21, 19]))
        .expect("an input");
    let x = g.conv(x, 20, 3, 2, 1);
    let x = g.conv(x, 30, 3, 1, 5);
    let x = g.normalized(x);
    let x = g.clip(x);
    let x = g.conv(x, 16, 1, 1, 1);
    g.model.select_output_outlets(&[x]).expect("an output");
    g.model
}

/// Pointwise convolutions in groups that cut blocks; channels are shuffled between two of them, a depthwise one behind.
fn shuffled(depthwise: bool) -> TypedModel {
    let mut g = Builder {
        model: TypedModel::default(),
        seed: 5,
    };
    let x = g
        .model
        .add_source("x", f32::fact([2, 3, 21, 19]))
        .expect("an input");
    let stem = g.conv(x, 20, 3, 2, 1);
    let x = g.conv(stem, 36, 1, 1, 4);
    let mut x = g.clip(x);
    let (whole, parts, joined) = (tvec!(36.into()), tvec!(4.into(), 9.into()), [9, 4]);
    for op in [
        AxisOp::Reshape(1, whole.clone(), parts),
        AxisOp::Move(1, 2),
        AxisOp::Reshape(1, joined.iter().map(|&dim| dim.into()).collect(), whole),
    ] {
        x = g.node(op, &[x]);
    }
    if depthwise {
        x = g.conv(x, 36, 3, 1, 36);
        x = g.normalized(x);
        x = g.clip(x);
    }
    let x = g.conv(x, 20, 1, 1, 4);
    let x = g.normalized(x);
    let x = g.node(add(), &[x, stem]);
    let x = g.clip(x);
    let x = g.conv(x, 6, 1, 1, 2);
    g.model.select_output_outlets(&[x]).expect("an output");
    g.model
}

#[test]
fn a_shuffle_before_a_depthwise_convolution_moves_nothing() {
    let x = random_input();
    for depthwise in [true, false] {
        let wanted = run(shuffled(depthwise), &x);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let graph = lowered(shuffled(depthwise), isa, |_| false).0;
            let count = |name: &str| {
                let named = graph.nodes.iter().filter(|node| node.op().name() == name);
                named.count()
            };
            assert_eq!(count("GroupedConvolution"), 3, "{isa}");
            let moved = graph.nodes.iter().filter(|node| node.op_is::<AxisOp>());
            assert_eq!(moved.count(), if depthwise { 0 } else { 3 }, "{isa}");
            assert_eq!(count("FromBlocked"), if depthwise { 1 } else { 2 }, "{isa}");
            let got = run(graph.into_optimized().expect("optimized"), &x);
            assert_near(&got, &wanted, isa);
        }
    }
}

fn random_input() -> Tensor {
    let mut builder = Builder {
        model: TypedModel::default(),
        seed: 99,
    };
    builder.numbers(&[2, 3, 21, 19])
}

/// The graph with our operators, but for the convolutions that `leaves` says, and how many tract's are.
fn lowered(
    graph: TypedModel,
    isa: Isa,
    mut leaves: impl FnMut(Kind) -> bool,
) -> (TypedModel, usize) {
    let lowering = &mut Lowering {
        blocks: None,
        leaves: &mut |kind, _, _| leaves(kind),
    };
    let graph = super::block(graph, isa, lowering).expect("our graph");
    let left = graph.nodes.iter().filter(|node| node.op_is::<Conv>());
    let left = left.count();
    (graph, left)
}

fn assert_near(got: &[Tensor], wanted: &[Tensor], isa: Isa) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert_eq!(got.shape(), wanted.shape());
        let scale = numbers(wanted)
            .iter()
            .fold(0_f32, |most, x| most.max(x.abs()));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * scale;
        assert!(numbers(got).iter().zip(numbers(wanted)).all(near), "{isa}");
    }
}

#[test]
fn what_is_left_to_tract_changes_no_answer() {
    let x = random_input();
    let wanted = [run(graph(), &x), run(groups(), &x)];
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let mut other = false;
        let every_other = |_| {
            other = !other;
            other
        };
        let (mixed, left) = lowered(graph(), isa, every_other);
        assert_eq!(left, 4, "{isa}: of eight convolutions");
        let mixed = run(mixed.into_optimized().expect("optimized"), &x);
        assert_near(&mixed, &wanted[0], isa);
        for (kind, convolutions) in [(Kind::Dense, 1), (Kind::Blocked, 2)] {
            let (graph, left) = lowered(groups(), isa, |found| found == kind);
            assert_eq!(left, convolutions, "{isa} {kind:?}");
            let got = run(graph.into_optimized().expect("optimized"), &x);
            assert_near(&got, &wanted[1], isa);
        }
    }
}

#[test]
fn our_operators_give_what_tracts_give() {
    let x = random_input();
    let wanted = run(graph(), &x);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let blocked = lowered(graph(), isa, |_| false).0;
        let ours = |name: &str| {
            blocked
                .nodes
                .iter()
                .filter(|node| node.op().name() == name)
                .count()
        };
        assert_eq!(
            (
                ours("Conv"),
                ours("Convolution"),
                ours("DepthwiseConvolution")
            ),
            (0, 7, 1),
            "{isa}"
        );
        assert_eq!(ours("FakeQuantize"), 1, "{isa}");
        // The first layer reads its three channels dense where blocks are wide; each output is made dense once.
        let blocked_first = usize::from(isa.lanes() < 6);
        assert_eq!(
            (ours("ToBlocked"), ours("FromBlocked")),
            (blocked_first, 3),
            "{isa}"
        );
        let graph = blocked.into_optimized().expect("an optimized graph");
        let got = run(graph.clone(), &x);
        let three = Threads::new(NonZeroUsize::new(3).expect("not zero")).expect("three threads");
        let shared = three.run(|| run(graph, &x));
        assert!(shared == got, "{isa}: threads change the order of no sum");
        assert_near(&got, &wanted, isa);
    }
}

fn numbers(tensor: &Tensor) -> &[f32] {
    assert_eq!(tensor.datum_type(), f32::datum_type());
    super::blank::numbers(tensor).expect("numbers")
}
