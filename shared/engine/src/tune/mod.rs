//! Choice by measurement: what a machine does faster in another way than the usual one.
//!
//! [`ways`] asks what is ours and what is tract's, and how wide blocks are; [`methods`] which convolutions are done by
//! which algorithm.

mod methods;
#[cfg(test)]
mod tests;
mod ways;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_protocol::Tensor;

use crate::batch::{close, items};
use crate::error::Result;
use crate::ops::Lowering;
use crate::plan::Plan;
use crate::plans::{Plans, Shapes};
use methods::Methods;
use ways::Ways;

/// The other way must take less than this part of the usual one's time: what is nearly alike would be chosen by chance,
/// and a model published twice would be two.
const WORTH: f64 = 0.9;

/// Graphs of which one takes up to so many times the other's time are as fast, as far as a few runs can tell.
const ALIKE: f64 = 1.02;

/// Runs in each way, at least and at most.
const RUNS: RangeInclusive<usize> = 3..=15;

/// A larger file is lowered as the rule says: its weights would be there once more for the other way.
pub(crate) const LARGEST_FILE: usize = 256 << 20;

/// So is a graph of more nodes: the time of tract's optimization grows with their square.
pub(crate) const LARGEST_GRAPH: usize = 5_000;

/// Makes the plan for inputs of these shapes.
pub(crate) type Make<'a> = &'a dyn Fn(&[Vec<usize>], &mut Lowering<'_>) -> Result<Plan>;

/// Lets the plans made so far do all in the ways that this machine runs fastest. What is ours is found out on the
/// first example alone, so that plans of all shapes read the same weights; `make` is none where it isn't to be.
pub(crate) fn tune(
    plans: &Plans,
    make: Option<Make<'_>>,
    examples: &[Vec<Tensor>],
    time: Duration,
) -> Result<()> {
    let mut first = make;
    for inputs in examples {
        let Some((shapes, inputs, usual)) = planned(plans, inputs) else {
            continue;
        };
        let usual = match make {
            Some(_) => match usual.as_read() {
                Ok(usual) => Arc::new(usual),
                // A model without a plan has no place for a choice.
                Err(_) => return Ok(()),
            },
            None => usual,
        };
        let (ways, lowered) = match first.take() {
            Some(make) => {
                ways::measured(&usual, &inputs, time, &|lowering| make(&shapes, lowering))
            }
            None => (Ways::default(), None),
        };
        let lowered = lowered.as_ref().unwrap_or(&usual);
        let methods = Methods::measured(lowered, &inputs, time)?;
        let as_usual = ways == Ways::default() && methods.are_usual();
        if !as_usual && stands(&methods.applied(lowered)?, &usual, &inputs, time)? {
            apply(plans, make, &ways, &methods)?;
        }
    }
    Ok(())
}

/// Lets all plans be done so. One that can't be lowered so stays as it is.
fn apply(plans: &Plans, make: Option<Make<'_>>, ways: &Ways, methods: &Methods) -> Result<()> {
    let make = make.filter(|_| *ways != Ways::default());
    plans.change(|shapes, plan| {
        let lowered = make.and_then(|make| {
            let lowered = ways.plan(&|lowering| make(shapes, lowering)).ok();
            lowered.filter(|lowered| lowered.as_read().is_ok())
        });
        methods.applied(lowered.as_ref().unwrap_or(plan))
    })
}

/// The plan that such inputs run, and what it is given: a batch may run in parts.
fn planned(plans: &Plans, inputs: &[Tensor]) -> Option<(Shapes, Vec<Tensor>, Arc<Plan>)> {
    let shapes = |inputs: &[Tensor]| -> Shapes {
        inputs.iter().map(|input| input.shape().to_vec()).collect()
    };
    let made = plans.made();
    let plan = |inputs: Vec<Tensor>| {
        let shapes = shapes(&inputs);
        let (shapes, plan) = made.iter().find(|(made, _)| *made == shapes)?;
        Some((shapes.clone(), inputs, Arc::clone(plan)))
    };
    plan(inputs.to_vec()).or_else(|| plan(items(inputs, 0, 1).ok()?))
}

/// Whether a plan may take the place of the usual one: it gives the same answers, and is as fast.
fn stands(chosen: &Plan, usual: &Plan, inputs: &[Tensor], time: Duration) -> Result<bool> {
    if !agrees(chosen, usual, inputs)? {
        tracing::debug!("what was chosen gives other answers");
        return Ok(false);
    }
    let [as_chosen, as_usual] = least([chosen, usual], inputs, time)?;
    let stands = as_chosen <= as_usual.mul_f64(ALIKE);
    tracing::debug!(?as_usual, ?as_chosen, stands, "what was chosen, as a whole");
    Ok(stands)
}

/// Whether a plan gives the answers of the usual one.
fn agrees(chosen: &Plan, usual: &Plan, inputs: &[Tensor]) -> Result<bool> {
    let wanted = usual.run(inputs, None)?;
    let Ok(got) = chosen.run(inputs, None) else {
        return Ok(false);
    };
    let same = |(got, wanted): (&Tensor, &Tensor)| {
        got.shape() == wanted.shape() && got.datatype() == wanted.datatype() && close(got, wanted)
    };
    Ok(got.iter().zip(&wanted).all(same))
}

/// The least time of each graph. Where the first one is faster from the first runs on, that is enough.
fn least(plans: [&Plan; 2], inputs: &[Tensor], time: Duration) -> Result<[Duration; 2]> {
    let mut least = [Duration::MAX; 2];
    by_turns(time, || {
        for (plan, least) in plans.iter().zip(&mut least) {
            let started = Instant::now();
            plan.run(inputs, None)?;
            *least = started.elapsed().min(*least);
        }
        Ok(least[1] < least[0])
    })?;
    Ok(least)
}

/// Takes turns for about so long, each of which tells whether more of them may change anything.
fn by_turns(time: Duration, mut turn: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    for turns in 1..=*RUNS.end() {
        let open = turn()?;
        if turns >= *RUNS.start() && (!open || begun.elapsed() > time) {
            break;
        }
    }
    Ok(())
}
