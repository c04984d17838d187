//! The pass that puts our products with constant weights into a graph: of numbers, and of bytes, with the dynamic
//! quantization before them.

use dunlin_kernels::{self as kernels, Isa};
use tract_onnx::prelude::{
    Datum, OutletId, SpecialOps, Tensor, TractResult, TypedFact, TypedModel, TypedNode,
};
use tract_onnx::tract_core::internal::{Arc, InOut, TypedModelPatch, tensor0, tensor1};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::quant::DequantizeLinearF32;
use tract_onnx::tract_core::tract_linalg::block_quant::BlockQuantStorage;

use super::blank::{blank, numbers};
use super::chain::only_reader;
use super::dynamic_quantize::DynamicQuantize;
use super::grid::Grid;
use super::integer_product::IntegerProduct;
use super::lowering::{Kind, Lowering};
use super::matrix_product::MatrixProduct;
use super::window::constant;

/// Puts them into a graph with concrete shapes, before tract takes integer products apart.
pub(crate) fn multiply(
    mut model: TypedModel,
    isa: Isa,
    lowering: &mut Lowering<'_>,
) -> TractResult<TypedModel> {
    for id in model.eval_order()? {
        let node = model.node(id);
        let mut leaves = || (lowering.leaves)(Kind::Dense, &model, node);
        let patch = if node.op().name() == "DynamicQuantizeLinearU8" {
            Some(quantization(&model, node, isa))
        } else if let Some(matrices) = Matrices::of(&model, node, isa) {
            (!leaves()).then(|| matrices.multiply(&model, node))
        } else if let Some(numbers) = Numbers::of(&model, node, isa) {
            (!leaves()).then(|| numbers.multiply(&model, node))
        } else {
            None
        };
        if let Some(patch) = patch {
            patch?.apply(&mut model)?;
        }
    }
    Ok(model)
}

fn quantization(model: &TypedModel, node: &TypedNode, isa: Isa) -> TractResult<TypedModelPatch> {
    TypedModelPatch::replace_single_op(model, node, &node.inputs, DynamicQuantize { isa })
}

/// Bytes `[…, rows, inputs]` and signed bytes `[inputs, outputs]`.
struct Matrices {
    isa: Isa,
    product: kernels::IntegerProduct,
    rows: OutletId,
    zero: Zero,
    weights: Vec<i8>,
    /// What makes numbers of the sums, for each column; none where integers are wanted.
    factors: Option<Vec<f32>>,
}

/// The byte that zero is in the rows.
enum Zero {
    Known(u8),
    Input(OutletId),
}

impl Matrices {
    /// Those that a node multiplies.
    fn of(model: &TypedModel, node: &TypedNode, isa: Isa) -> Option<Self> {
        let einsum = node.op_as::<EinSum>()?;
        let (x, w) = (*node.inputs.first()?, *node.inputs.get(1)?);
        let fact = model.outlet_fact(x).ok()?;
        fact.shape
            .as_concrete()
            .filter(|shape| !shape.contains(&0))?;
        let of_weights = model.outlet_fact(w).ok()?;
        let axes = Axes::of(einsum, fact, of_weights)?;
        let matrices = match einsum.q_params {
            Some(datum) if datum == i32::datum_type() => Self::of_integers(model, node, isa, axes)?,
            Some(_) => return None,
            None => Self::dequantized(model, node, isa, axes)?,
        };
        matrices.product.is_supported().then_some(matrices)
    }

    /// Of `MatMulInteger`.
    fn of_integers(model: &TypedModel, node: &TypedNode, isa: Isa, axes: Axes) -> Option<Self> {
        // Bias, zero and scale of each side, zero and scale of the result.
        let [
            rows,
            weights,
            bias,
            zero,
            scale,
            w_zero,
            w_scale,
            y_zero,
            y_scale,
        ] = *node.inputs
        else {
            return None;
        };
        let all = |outlet, number: f32| {
            let constant = constant(model, outlet)?;
            let numbers = constant.cast_to::<f32>().ok()?;
            let view = numbers.try_as_plain_ram().ok()?;
            let all = view
                .as_slice::<f32>()
                .ok()?
                .iter()
                .all(|x| x.to_bits() == number.to_bits());
            all.then_some(())
        };
        for outlet in [bias, w_zero, y_zero] {
            all(outlet, 0.0)?;
        }
        for outlet in [scale, w_scale, y_scale] {
            all(outlet, 1.0)?;
        }
        let one_byte = |fact: &TypedFact| {
            fact.datum_type == u8::datum_type() && fact.shape.volume() == 1.into()
        };
        let bytes = model.outlet_fact(rows).ok()?.datum_type == u8::datum_type();
        if !bytes || !one_byte(model.outlet_fact(zero).ok()?) {
            return None;
        }
        let weights = constant(model, weights)?;
        let ([inputs, outputs], weights) = axes.columns::<i8>(&weights)?;
        let product = kernels::IntegerProduct { inputs, outputs };
        Some(Self {
            isa,
            product,
            rows,
            zero: Zero::Input(zero),
            weights,
            factors: None,
        })
    }

    /// Of numbers that were bytes, with weights that lie on a grid.
    fn dequantized(model: &TypedModel, node: &TypedNode, isa: Isa, axes: Axes) -> Option<Self> {
        let [x, w] = *node.inputs else { return None };
        let from = model.node(x.node);
        let steps = from.op_as::<DequantizeLinearF32>()?;
        let rows = from.inputs[0];
        if model.outlet_fact(rows).ok()?.datum_type != u8::datum_type() {
            return None;
        }
        let ([inputs, outputs], weights) = axes.columns::<f32>(&constant(model, w)?)?;
        let product = kernels::IntegerProduct { inputs, outputs };
        let column = |column: usize| weights[column..].iter().step_by(outputs).copied();
        let columns: Vec<f32> = (0..outputs).flat_map(column).collect();
        let Grid {
            steps: of_columns,
            mut scales,
        } = Grid::of(&columns, outputs)?;
        let row = |row: usize| of_columns[row..].iter().step_by(inputs).copied();
        for scale in &mut scales {
            *scale *= steps.scale;
        }
        Some(Self {
            isa,
            product,
            rows,
            zero: Zero::Known(u8::try_from(steps.zero_point).ok()?),
            weights: (0..inputs).flat_map(row).collect(),
            factors: Some(scales),
        })
    }

    fn multiply(self, model: &TypedModel, node: &TypedNode) -> TractResult<TypedModelPatch> {
        let (isa, product) = (self.isa, self.product);
        let mut patch = TypedModelPatch::default();
        let name = &*node.name;
        let arranged = tensor1(&product.arrange(isa, &self.weights));
        let sums = tensor1(&product.sums(isa, &self.weights));
        let inputs = [
            patch.tap_model(model, self.rows)?,
            patch.add_const(format!("{name}.weights"), arranged)?,
            patch.add_const(format!("{name}.sums"), sums)?,
            match self.zero {
                Zero::Known(zero) => patch.add_const(format!("{name}.zero"), tensor0(zero))?,
                Zero::Input(zero) => patch.tap_model(model, zero)?,
            },
        ];
        let mut output = patch.wire_node(name, IntegerProduct { isa, product }, &inputs)?[0];
        if let Some(factors) = self.factors {
            let rank = patch.outlet_fact(output)?.rank();
            let mut shape = vec![1; rank];
            shape[rank - 1] = factors.len();
            let factors = Tensor::from_shape(&shape, &factors)?;
            let factors = patch.add_const(format!("{name}.factors"), factors)?;
            let cast = cast(f32::datum_type());
            output = patch.wire_node(format!("{name}.numbers"), cast, &[output])?[0];
            output = patch.wire_node(format!("{name}.scaled"), math::mul(), &[output, factors])?[0];
        }
        patch.shunt_outside(model, node.id.into(), output)?;
        Ok(patch)
    }
}

/// Numbers `[…, rows, inputs]` and `[inputs, outputs]`.
struct Numbers {
    isa: Isa,
    product: kernels::Product,
    weights: Arc<Tensor>,
    /// How far apart two inputs are in them, and two outputs.
    strides: [usize; 2],
}

impl Numbers {
    /// Those that a node multiplies.
    fn of(model: &TypedModel, node: &TypedNode, isa: Isa) -> Option<Self> {
        let einsum = node.op_as::<EinSum>()?;
        let [x, w] = *node.inputs else { return None };
        let (fact, of_weights) = (model.outlet_fact(x).ok()?, model.outlet_fact(w).ok()?);
        let shape = fact.shape.as_concrete()?;
        let floats = [fact.datum_type, of_weights.datum_type, einsum.operating_dt];
        if einsum.q_params.is_some()
            || floats.iter().any(|&datum| datum != f32::datum_type())
            || fact.konst.is_some()
            || shape.contains(&0)
        {
            return None;
        }
        let axes = Axes::of(einsum, fact, of_weights)?;
        let (weights, sizes, strides) = axes.unpacked(&constant(model, w)?)?;
        let [inputs, outputs] = sizes;
        Some(Self {
            isa,
            product: kernels::Product { inputs, outputs },
            weights,
            strides,
        })
    }

    fn multiply(self, model: &TypedModel, node: &TypedNode) -> TractResult<TypedModelPatch> {
        let (isa, product) = (self.isa, self.product);
        let mut patch = TypedModelPatch::default();
        let name = &*node.name;
        let lanes = isa.blocks(product.outputs) * isa.lanes();
        let bias = bias(model, node, product.outputs);
        let (end, mut bias) = bias.unwrap_or((node.id.into(), Vec::new()));
        bias.resize(lanes, 0.0);
        // They may be most of the model: they are arranged where they stay, and never copied.
        let mut arranged = blank(&[product.weights_len(isa)])?;
        let (weights, [by_input, by_output]) = (numbers(&self.weights)?, self.strides);
        product.arrange(
            isa,
            |input, output| weights[input * by_input + output * by_output],
            arranged.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?,
        );
        let inputs = [
            patch.tap_model(model, node.inputs[0])?,
            patch.add_const(format!("{name}.weights"), arranged)?,
            patch.add_const(format!("{name}.bias"), tensor1(&bias))?,
        ];
        let output = patch.wire_node(name, MatrixProduct { isa, product }, &inputs)?;
        patch.shunt_outside(model, end, output[0])?;
        Ok(patch)
    }
}

/// The constant that is added to each column of what a node gives, and the sum.
fn bias(model: &TypedModel, node: &TypedNode, columns: usize) -> Option<(OutletId, Vec<f32>)> {
    let from = OutletId::from(node.id);
    let sum = only_reader(model, from)?;
    let op = sum.op_as::<TypedBinOp>().filter(|op| op.1.is_none())?;
    let other = sum.inputs[usize::from(sum.inputs[0] == from)];
    let constant = constant(model, other).filter(|_| op.0.is::<math::Add>())?;
    let same = sum.outputs[0].fact.shape == node.outputs[0].fact.shape;
    let fits = same
        && constant.datum_type() == f32::datum_type()
        && constant.len() == columns
        && constant.shape().last() == Some(&columns);
    let view = constant.try_as_plain_ram().ok().filter(|_| fits)?;
    Some((sum.id.into(), view.as_slice::<f32>().ok()?.to_vec()))
}

/// Weights of fewer than eight bits are unpacked to `f32` up to so many: larger ones take more memory than they save time.
const UNPACKED: usize = 4 << 20;

/// Where the weights of a product of a stack of matrices with one matrix have their axes.
#[derive(Clone, Copy)]
struct Axes {
    inputs: usize,
    outputs: usize,
}

impl Axes {
    /// Those of a product `[…, rows, inputs]` by weights to `[…, rows, outputs]`.
    fn of(einsum: &EinSum, x: &TypedFact, w: &TypedFact) -> Option<Self> {
        let last = x.rank().checked_sub(1)?;
        let axis = |slot: InOut, at: usize| einsum.axes.axis((slot, at)).ok();
        let inner = axis(InOut::In(0), last)?;
        let outer = axis(InOut::Out(0), last)?;
        let ([inputs], [outputs]) = (&inner.inputs[1][..], &outer.inputs[1][..]) else {
            return None;
        };
        let axes = Self {
            inputs: *inputs,
            outputs: *outputs,
        };
        let rows = (0..last).all(|at| {
            let row = axis(InOut::In(0), at);
            row.is_some_and(|row| row.outputs[0][..] == [at])
        });
        let ones = w
            .shape
            .iter()
            .enumerate()
            .all(|(at, dim)| at == axes.inputs || at == axes.outputs || *dim == 1.into());
        let apart = inner.outputs[0].is_empty() && outer.inputs[0].is_empty();
        (rows && ones && apart).then_some(axes)
    }

    /// The weights as numbers, how many inputs and outputs they have, and how far apart two of each are.
    fn unpacked(self, weights: &Arc<Tensor>) -> Option<(Arc<Tensor>, [usize; 2], [usize; 2])> {
        let shape = weights.shape();
        let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        let strides = [stride(self.inputs), stride(self.outputs)];
        let sizes = [shape[self.inputs], shape[self.outputs]];
        let unpacked = match weights.storage_as::<BlockQuantStorage>() {
            Some(_) if sizes[0] * sizes[1] > UNPACKED => return None,
            Some(blocks) => Arc::new(blocks.format().dequant_f32(blocks.value()).ok()?),
            None => Arc::clone(weights),
        };
        unpacked
            .has_plain_ram_storage()
            .then_some((unpacked, sizes, strides))
    }

    /// Inputs and outputs, and the weights as `[inputs, outputs]`.
    fn columns<T: Datum + Copy>(self, weights: &Arc<Tensor>) -> Option<([usize; 2], Vec<T>)> {
        let (weights, [inputs, outputs], [by_input, by_output]) = self.unpacked(weights)?;
        let view = weights.try_as_plain_ram().ok()?;
        let weights = view.as_slice::<T>().ok()?;
        let row = |row: usize| (0..outputs).map(move |at| weights[row * by_input + at * by_output]);
        let columns = (0..inputs).flat_map(row).collect();
        Some(([inputs, outputs], columns))
    }
}
