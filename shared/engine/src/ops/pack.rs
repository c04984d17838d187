//! An operand of a matrix product, brought into the layout of the product's kernel.
//!
//! tract's own operator does the same, and can't be made outside of tract: this one can be written
//! down in a plan.

use tract_onnx::prelude::{
    DatumTypeExt, TVec, TractResult, TypedFact, TypedModel, TypedNode, TypedOp, tvec,
};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, ShapeFact, StaticName, TValue, TensorView, as_op, bail, ensure,
    op_as_typed_op, op_out_of_plan,
};
use tract_onnx::tract_core::ndarray::{self, Dimension};
use tract_onnx::tract_core::ops::matmul::ModePicker;
use tract_onnx::tract_core::ops::matmul::pack::{DynPackedExoticFact, OptMatMulPack};
use tract_onnx::tract_core::ops::scan::{OptScan, Scan};
use tract_onnx::tract_core::tract_linalg::mmm::{MMMInputFormat, PackedMatrixStorage};
use tract_onnx::tract_core::tract_linalg::strided_panel::StridedKMajor;

/// Packs the last product axes of its input; every other axis is a batch of matrices.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pack {
    /// One layout, or two: for a vector, and for a matrix.
    pub(crate) formats: Vec<Box<dyn MMMInputFormat>>,
    /// The axis that the product sums over.
    pub(crate) k_axis: usize,
    /// The axis of rows or columns.
    pub(crate) mn_axis: usize,
}

/// Puts [`Pack`] in the place of tract's operator, in a graph that tract has optimized and in the
/// bodies of its loops.
pub(crate) fn adopt(graph: &mut TypedModel) -> TractResult<()> {
    for id in 0..graph.nodes.len() {
        let node = graph.node(id);
        let own: Option<Box<dyn TypedOp>> = if let Some(scan) = node.op_as::<OptScan>() {
            Some(Box::new(with_body_adopted(scan)?))
        } else if node.op_is::<OptMatMulPack>() {
            let pack = Pack::of(graph, node)?;
            pack.map(|pack| Box::new(pack) as Box<dyn TypedOp>)
        } else {
            None
        };
        if let Some(own) = own {
            graph.nodes[id].op = own;
        }
    }
    Ok(())
}

fn with_body_adopted(scan: &OptScan) -> TractResult<OptScan> {
    let mut body = scan.plan.model().clone();
    adopt(&mut body)?;
    let scan = Scan {
        skip: scan.skip,
        reset_every_turn: scan.reset_every_turn,
        body,
        decluttered: true,
        input_mapping: scan.input_mapping.clone(),
        output_mapping: scan.output_mapping.clone(),
        ..Scan::default()
    };
    scan.to_codegen_op(false)
}

impl Pack {
    /// What tract's operator does, as its fact and its axes tell.
    fn of(graph: &TypedModel, node: &TypedNode) -> TractResult<Option<Self>> {
        let exotic = node.outputs[0].fact.exotic_fact.as_ref();
        let Some(packed) = exotic.and_then(|fact| fact.downcast_ref::<DynPackedExoticFact>())
        else {
            return Ok(None);
        };
        // These don't copy their input, and only the kernels of one maker have them.
        if packed
            .packers
            .iter()
            .any(|format| format.is::<StridedKMajor>())
        {
            return Ok(None);
        }
        let (inputs, outputs) = graph.node_facts(node.id)?;
        let axes = node.op.axes_mapping(&inputs, &outputs)?;
        let of_input = |name: char| {
            let found = axes.iter_all_axes().find(|axis| axis.repr == name);
            found.and_then(|axis| axis.inputs.first()?.first().copied())
        };
        Ok(of_input('K')
            .zip(of_input('M'))
            .map(|(k_axis, mn_axis)| Self {
                formats: packed.packers.clone(),
                k_axis,
                mn_axis,
            }))
    }

    fn modes(&self) -> TractResult<ModePicker> {
        Ok(match self.formats.len() {
            1 => ModePicker::Single,
            2 => ModePicker::VecVsMat,
            more => bail!("{more} layouts for one operand"),
        })
    }

    fn batch<T: Clone>(&self, shape: &[T]) -> TVec<T> {
        let axes = shape.iter().enumerate();
        let outside = axes.filter(|(axis, _)| ![self.k_axis, self.mn_axis].contains(axis));
        outside.map(|(_, dim)| dim.clone()).collect()
    }
}

impl Op for Pack {
    fn name(&self) -> StaticName {
        "Pack".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Pack {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = &inputs[0];
        let format = &self.formats[self.modes()?.pick(input.shape()[self.mn_axis])?];
        let batch = self.batch(input.shape());
        let mut first = input.shape().to_vec();
        first[self.k_axis] = 1;
        first[self.mn_axis] = 1;
        let packed = ndarray::indices(&*first).into_iter().map(|at| {
            let matrix = TensorView::offsetting(input, at.slice())?;
            format.prepare_one_view(&matrix, self.k_axis, self.mn_axis)
        });
        let packed = packed.collect::<TractResult<_>>()?;
        let packed = PackedMatrixStorage::new_batched(&batch, packed);
        Ok(tvec!(packed.into_tensor(input.datum_type()).into()))
    }
}

impl TypedOp for Pack {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 1, "one operand is packed");
        let rank = inputs[0].rank();
        ensure!(
            self.k_axis < rank && self.mn_axis < rank && self.k_axis != self.mn_axis,
            "an operand of rank {rank} has no axes {} and {}",
            self.k_axis,
            self.mn_axis
        );
        self.modes()?;
        let packed = DynPackedExoticFact {
            k: inputs[0].shape[self.k_axis].clone(),
            mn: inputs[0].shape[self.mn_axis].clone(),
            packers: self.formats.clone(),
        };
        let batch = ShapeFact::from_dims(self.batch(inputs[0].shape.dims()));
        let fact = inputs[0].datum_type.fact(batch).with_exotic_fact(packed);
        Ok(tvec!(fact))
    }

    as_op!();
}
