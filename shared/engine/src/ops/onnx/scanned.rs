//! A loop as tract's scan: one body for all iterations, where they differ in nothing but their numbers.

use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::scan::{InputMapping, OutputMapping, Scan, ScanInfo};
use tract_onnx::tract_hir::internal::{
    DatumExt, OutletId, SpecialOps, TVec, Tensor, TractResult, TypedFact, TypedModel, tensor1,
};

use super::late::Made;

/// Fewer nodes than this, of all iterations together, are better written out: each can be simplified by itself.
const WRITTEN_OUT: i64 = 1000;

/// One line of the first axis an iteration.
const LINE: ScanInfo = ScanInfo { axis: 0, chunk: 1 };

/// What a body is made for: the number of an iteration, which is none in particular, and what it `reads`: the
/// condition, the states, whose values are none in particular either, and what is around it.
pub(super) fn facts(
    model: &TypedModel,
    reads: &[OutletId],
    states: usize,
) -> TractResult<Vec<TypedFact>> {
    let mut facts = vec![i64::fact(&[] as &[usize])];
    for (place, &outlet) in reads.iter().enumerate() {
        let fact = model.outlet_fact(outlet)?;
        let is_state = (1..=states).contains(&place);
        facts.push(if is_state {
            fact.without_value()
        } else {
            fact.clone()
        });
    }
    Ok(facts)
}

/// Wires `count` iterations of a body, made for [`facts`], behind what it reads. Nothing where an iteration may end the loop or change the shape of a state, and where the loop is short.
/// Gives the last states, then the scanned outputs.
pub(super) fn wire(
    model: &mut TypedModel,
    body: &Made,
    count: i64,
    reads: &[OutletId],
    states: usize,
) -> TractResult<Option<TVec<OutletId>>> {
    let outputs = body.model.output_outlets()?;
    let goes_on = match &body.model.outlet_fact(outputs[0])?.konst {
        Some(value) => value.cast_to_scalar::<bool>()?,
        None => false,
    };
    let short = count.saturating_mul(body.model.nodes().len() as i64) <= WRITTEN_OUT;
    if short || !goes_on {
        return Ok(None);
    }
    let mut inside = TypedModel::default();
    let number = inside.add_source("number", i64::fact([1]))?;
    let number = inside.wire_node("number.scalar", AxisOp::Rm(0), &[number])?[0];
    let numbers: Tensor = tensor1(&(0..count).collect::<Vec<i64>>());
    let mut outside = vec![model.add_const("numbers", numbers)?];
    let mut mapping = vec![InputMapping::Scan(LINE)];
    let mut places = vec![number];
    for (place, &outlet) in reads.iter().enumerate() {
        if body.sources[place + 1].is_none() {
            places.push(number); // The body has a constant of its own, and reads nothing.
            continue;
        }
        let fact = model.outlet_fact(outlet)?.without_value();
        places.push(inside.add_source(format!("read.{place}"), fact)?);
        outside.push(outlet);
        let is_state = (1..=states).contains(&place);
        mapping.push(if is_state {
            InputMapping::State
        } else {
            InputMapping::Full
        });
    }
    let mut made = body.splice("body", &mut inside, &places)?;
    made.remove(0);
    let mut results = vec![];
    for (slot, outlet) in made.iter_mut().enumerate() {
        let state = slot < states;
        if state {
            let (before, after) = (
                inside.outlet_fact(places[2 + slot])?,
                inside.outlet_fact(*outlet)?,
            );
            if before != after {
                return Ok(None);
            }
        } else {
            let name = format!("line.{slot}");
            *outlet = inside.wire_node(name, AxisOp::Add(0), &[*outlet])?[0];
        }
        results.push(OutputMapping {
            scan: (!state).then_some((slot, LINE)),
            full_dim_hint: None,
            last_value_slot: state.then_some(slot),
            state,
        });
    }
    inside.select_output_outlets(&made)?;
    let scan = Scan {
        reset_every_turn: true,
        ..Scan::new(inside, mapping, results, 0)?
    };
    Ok(Some(model.wire_node("scan", scan, &outside)?))
}
