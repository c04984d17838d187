//! Which convolutions are done by another algorithm than the usual one.

use std::collections::HashMap;
use std::time::Duration;

use dunlin_kernels::{Conv, Method};
use dunlin_protocol::Tensor;

use super::{WORTH, by_turns};
use crate::error::Result;
use crate::plan::{Plan, Times};

/// How each of these convolutions is done fastest.
#[derive(Debug, Default)]
pub(super) struct Methods(Vec<(Conv, Method)>);

impl Methods {
    /// Runs the whole graph for about so long, all in one way and all in the other by turns: so a convolution finds the
    /// caches as it will find them. Its least time counts, for whatever else the machine does only adds to it.
    pub(super) fn measured(plan: &Plan, inputs: &[Tensor], time: Duration) -> Result<Self> {
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
        by_turns(time, || {
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
            Ok(true)
        })?;
        let choice = found.into_iter().map(|(conv, [as_usual, otherwise])| {
            let worth = otherwise < as_usual.mul_f64(WORTH);
            let method = if worth { other(&conv) } else { usual(&conv) };
            tracing::debug!(?conv, ?method, ?as_usual, ?otherwise, "measured");
            (conv, method)
        });
        Ok(Self(choice.collect()))
    }

    /// Whether each is done as the rule says.
    pub(super) fn are_usual(&self) -> bool {
        self.0.iter().all(|(conv, method)| usual(conv) == *method)
    }

    /// The plan with these convolutions done so.
    pub(super) fn applied(&self, plan: &Plan) -> Result<Plan> {
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
