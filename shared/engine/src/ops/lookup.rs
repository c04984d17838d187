//! `Gather` from a constant table, as an embedding's, which stays where it lies.

use half::f16;
use half::slice::HalfFloatSliceExt;
use tract_onnx::prelude::{
    Datum, DatumType, DatumTypeExt, IntoTValue, TValue, TVec, Tensor, TractResult, TypedFact,
    TypedModel, TypedNode, tvec,
};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, as_op, bail, ensure, op_as_typed_op, op_out_of_plan,
};
use tract_onnx::tract_core::ops::TypedOp;
use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_core::ops::konst::Const;

use super::blank::blank_of;
use super::in_place::InPlace;

/// Tables from so many bytes on are worth an operator of their own.
const LARGE: usize = 64 << 10;

/// Inputs: a table, and the places (`i64`, negative ones from the end) along one of its axes. The output has the shape
/// of the places in the place of that axis; its numbers are the table's, single precision for a table of halves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lookup {
    pub(crate) axis: usize,
}

/// Puts [`Lookup`] in the place of tract's operator where the table is a large constant.
pub(crate) fn look_up(graph: &mut TypedModel) {
    for id in 0..graph.nodes.len() {
        let node = graph.node(id);
        let Some(gather) = node.op_as::<Gather>() else {
            continue;
        };
        let table = graph.node(node.inputs[0].node).op_as::<Const>();
        let fits = table.is_some_and(|table| {
            let table = table.val();
            table.has_plain_ram_storage()
                && table.as_bytes().len() >= LARGE
                && of_table(table.datum_type()) == gather.output_type.or(Some(table.datum_type()))
                && table.datum_type() != DatumType::F16
        });
        if fits {
            let axis = gather.axis;
            graph.nodes[id].op = Box::new(Lookup { axis });
        }
    }
}

/// Whether a node reads this input as a table.
pub(crate) fn reads_as_table(node: &TypedNode, slot: usize) -> bool {
    slot == 0 && node.op_is::<Lookup>()
}

/// The datatype of what comes out of a table of this one; none where there are no such tables.
fn of_table(datum: DatumType) -> Option<DatumType> {
    match datum {
        DatumType::F32 | DatumType::F16 => Some(DatumType::F32),
        DatumType::U8 | DatumType::I8 => Some(datum),
        _ => None,
    }
}

impl Lookup {
    /// Copies, or widens, the rows of `table` at `places` into a tensor of this shape.
    fn copy<T: Datum + bytemuck::Pod, F: bytemuck::Pod>(
        &self,
        table: &Tensor,
        places: &[i64],
        shape: &[usize],
        copy: impl Fn(&[F], &mut [T]),
    ) -> TractResult<Tensor> {
        let rows = table.shape()[self.axis];
        let length: usize = table.shape()[self.axis + 1..].iter().product();
        let places = places.iter().map(|&place| {
            let from_start = if place < 0 {
                place + rows as i64
            } else {
                place
            };
            match usize::try_from(from_start) {
                Ok(row) if row < rows => Ok(row * length),
                _ => bail!("place {place} lies outside a table of {rows}"),
            }
        });
        let starts = places.collect::<TractResult<Vec<_>>>()?;
        let numbers: &[F] = bytemuck::cast_slice(match InPlace::bytes(table) {
            Some(bytes) => bytes,
            None => table.try_as_plain_ram()?.as_bytes(),
        });
        let mut output = blank_of::<T>(shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        let mut written = view.as_slice_mut::<T>()?.chunks_exact_mut(length.max(1));
        for part in numbers.chunks_exact((rows * length).max(1)) {
            for (start, row) in starts.iter().zip(&mut written) {
                copy(&part[*start..start + length], row);
            }
        }
        Ok(output)
    }
}

impl Op for Lookup {
    fn name(&self) -> StaticName {
        "Lookup".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("axis {}", self.axis)])
    }

    op_as_typed_op!();
}

impl EvalOp for Lookup {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (table, places) = (&inputs[0], &inputs[1]);
        let shape = Gather::new(self.axis).compute_output_shape(table.shape(), places.shape())?;
        let places = places.try_as_plain_ram()?.as_slice::<i64>()?;
        let output = match table.datum_type() {
            DatumType::F32 => {
                self.copy::<f32, f32>(table, places, &shape, |row, to| to.copy_from_slice(row))
            }
            DatumType::F16 => self.copy::<f32, f16>(table, places, &shape, |row, to| {
                row.convert_to_f32_slice(to);
            }),
            DatumType::U8 => {
                self.copy::<u8, u8>(table, places, &shape, |row, to| to.copy_from_slice(row))
            }
            DatumType::I8 => {
                self.copy::<i8, i8>(table, places, &shape, |row, to| to.copy_from_slice(row))
            }
            other => bail!("no table of {other:?}"),
        };
        Ok(tvec!(output?.into_tvalue()))
    }
}

impl TypedOp for Lookup {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [table, places] = inputs else {
            bail!("{} inputs, two are wanted", inputs.len());
        };
        ensure!(places.datum_type == i64::datum_type());
        let Some(datum) = of_table(table.datum_type) else {
            bail!("no table of {:?}", table.datum_type);
        };
        let gather = Gather::new(self.axis);
        let shape = gather.compute_output_shape(&table.shape, &places.shape)?;
        Ok(tvec!(datum.fact(&*shape)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tract_onnx::prelude::{IntoTensor, tensor1, tensor2};

    use super::*;

    fn eval(op: &dyn EvalOp, table: &Tensor, places: &Tensor) -> TractResult<Tensor> {
        let inputs = tvec!(table.clone().into(), places.clone().into());
        let outputs = op.eval(&EvalContext::out_of_plan(), inputs)?;
        Ok(outputs[0].clone().into_tensor())
    }

    #[test]
    fn it_gives_what_gather_gives_wherever_the_table_lies() {
        let numbers: Vec<f32> = (0_u8..120).map(|number| f32::from(number) / 8.0).collect();
        let bytes: Vec<u8> = (0..120).collect();
        for (axis, rows) in [(0, 4), (1, 5), (2, 6)] {
            let places = tensor2(&[[0_i64, rows - 1], [-1, -rows]]);
            let halves: Vec<u8> = numbers
                .iter()
                .flat_map(|&number| f16::from_f32(number).to_le_bytes())
                .collect();
            for table in [
                Tensor::from_shape(&[4, 5, 6], &numbers).expect("a tensor"),
                Tensor::from_shape(&[4, 5, 6], &bytes).expect("a tensor"),
            ] {
                let wanted = eval(&Gather::new(axis), &table, &places).expect("an answer");
                let lookup = Lookup { axis };
                assert_eq!(eval(&lookup, &table, &places).expect("an answer"), wanted);
                let mut stored = vec![(table.datum_type(), table.as_bytes().to_vec())];
                if table.datum_type() == DatumType::F32 {
                    stored.push((DatumType::F16, halves.clone()));
                }
                for (datum, bytes) in stored {
                    let bytes = Bytes::from(bytes);
                    let there = InPlace::constant(datum, table.shape(), bytes).expect("a constant");
                    let there = there.expect("as many bytes as it needs");
                    assert_eq!(
                        eval(&lookup, there.val(), &places).expect("an answer"),
                        wanted,
                        "{datum:?}, axis {axis}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_place_outside_of_the_table_is_an_error_that_says_so() {
        let table = tensor2(&[[1_f32, 2.0], [3.0, 4.0]]);
        for place in [2, -3, i64::MIN, i64::MAX] {
            let error = eval(&Lookup { axis: 0 }, &table, &tensor1(&[place]));
            let error = error.expect_err("there are two rows").to_string();
            assert!(
                error.contains(&format!("place {place} lies outside a table of 2")),
                "{error}"
            );
        }
    }
}
