//! Choice by measurement: which convolutions a machine does faster in another way than the usual one.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use dunlin_kernels::{Conv, Method};
use dunlin_protocol::Tensor;

use crate::error::Result;
use crate::plan::{Plan, Times};

/// The other way must take less than this part of the usual one's time: what is nearly alike would be chosen by chance,
/// and a model published twice would be two.
const WORTH: f64 = 0.9;

/// Runs in each way, at least and at most.
const RUNS: RangeInclusive<usize> = 3..=15;

/// How each of these convolutions is done fastest.
#[derive(Debug)]
pub(crate) struct Choice(Vec<(Conv, Method)>);

impl Choice {
    /// Runs the whole graph for about so long, all in one way and all in the other by turns: so a convolution finds the
    /// caches as it will find them. Its least time counts, for whatever else the machine does only adds to it.
    pub(crate) fn measured(plan: &Plan, inputs: &[Tensor], time: Duration) -> Result<Self> {
        let mut found: Vec<(Conv, [Duration; 2])> = Vec::new();
        let mut nodes = HashMap::new();
        for (node, op) in plan.convolutions() {
            if !op.conv.allows(Method::Winograd) {
                continue;
            }
            let known = found.iter().position(|(conv, _)| *conv == op.conv);
            nodes.insert(node, known.unwrap_or(found.len()));
            if known.is_none() {
                found.push((op.conv.clone(), [Duration::MAX; 2]));
            }
        }
        if found.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let ways = [
            plan.by(|op| usual(&op.conv))?,
            plan.by(|op| other(&op.conv))?,
        ];
        let begun = Instant::now();
        for run in 0..*RUNS.end() {
            if run >= *RUNS.start() && begun.elapsed() > time {
                break;
            }
            for (way, plan) in ways.iter().enumerate() {
                let mut times = Times::new();
                plan.run(inputs, Some(&mut times))?;
                let mut taken = vec![Duration::ZERO; found.len()];
                for (node, time) in times {
                    if let Some(&at) = nodes.get(&node) {
                        taken[at] += time;
                    }
                }
                for ((_, least), taken) in found.iter_mut().zip(taken) {
                    least[way] = least[way].min(taken);
                }
            }
        }
        let choice = found.into_iter().map(|(conv, [as_usual, otherwise])| {
            let worth = otherwise < as_usual.mul_f64(WORTH);
            let method = if worth { other(&conv) } else { usual(&conv) };
            tracing::debug!(?conv, ?method, ?as_usual, ?otherwise, "measured");
            (conv, method)
        });
        Ok(Self(choice.collect()))
    }

    /// The plan with these convolutions done so.
    pub(crate) fn applied(&self, plan: &Plan) -> Result<Plan> {
        plan.by(|op| {
            let chosen = self.0.iter().find(|(conv, _)| *conv == op.conv);
            chosen.map_or(op.method, |&(_, method)| method)
        })
    }
}

fn usual(conv: &Conv) -> Method {
    conv.usual()
}

fn other(conv: &Conv) -> Method {
    match conv.usual() {
        Method::Direct if conv.allows(Method::Winograd) => Method::Winograd,
        _ => Method::Direct,
    }
}
