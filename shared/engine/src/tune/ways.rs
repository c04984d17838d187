//! What of a graph is ours and what is tract's, and how wide blocks are.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use dunlin_kernels::Isa;
use dunlin_protocol::Tensor;
use tract_onnx::prelude::TypedNode;

use super::{WORTH, by_turns, least};
use crate::error::Result;
use crate::ops::{Kind, Lowering, Stretch};
use crate::plan::{Plan, Times};

/// How a graph is lowered; by default, as the rule says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Whose vectors blocks are.
    blocks: Option<Isa>,
    /// Whether convolutions are tract's, all but those between dense tensors.
    convolutions: bool,
    /// Nodes between dense tensors that are tract's, by name.
    nodes: HashSet<String>,
}

/// Makes the plan at hand in another way.
type Make<'a> = &'a dyn Fn(&mut Lowering<'_>) -> Result<Plan>;

impl Ways {
    /// The plan that is lowered so, to be written down.
    pub(super) fn plan(&self, make: Make<'_>) -> Result<Plan> {
        make(&mut Lowering {
            blocks: self.blocks,
            leaves: &mut |kind, _, node: &TypedNode| match kind {
                Kind::Dense => self.nodes.contains(&node.name),
                Kind::Blocked => self.convolutions,
            },
        })
    }

    /// Those that change the layout of the whole graph.
    pub(super) fn of_graph(usual: &Plan) -> Vec<Self> {
        let Some(blocks) = usual.blocks() else {
            return Vec::new();
        };
        let widths = [Isa::Avx2, Isa::Avx512].into_iter();
        let others = widths.filter(|&isa| isa.is_available() && isa != blocks);
        let mut ways: Vec<Self> = others
            .map(|isa| Self {
                blocks: Some(isa),
                ..Self::default()
            })
            .collect();
        ways.push(Self {
            convolutions: true,
            ..Self::default()
        });
        ways
    }
}

/// The ways that take the least time, and the plan made so where they aren't the usual ones. A way that can't be gone,
/// or can't be written down, is none.
pub(super) fn measured(
    usual: &Plan,
    inputs: &[Tensor],
    time: Duration,
    make: Make<'_>,
) -> (Ways, Option<Plan>) {
    let (mut ways, mut plan) = (Ways::default(), None);
    for other in Ways::of_graph(usual) {
        let Ok(variant) = other.plan(make).and_then(|plan| plan.as_read()) else {
            continue;
        };
        let best = plan.as_ref().unwrap_or(usual);
        let Ok([as_before, otherwise]) = least([best, &variant], inputs, time) else {
            continue;
        };
        let worth = otherwise < as_before.mul_f64(WORTH);
        tracing::debug!(?other, ?as_before, ?otherwise, worth, "measured");
        if worth {
            (ways, plan) = (other, Some(variant));
        }
    }
    let best = plan.as_ref().unwrap_or(usual);
    ways.nodes = faster_nodes(&ways, best, inputs, time, make).unwrap_or_default();
    if ways.nodes.is_empty() {
        return (ways, plan);
    }
    if let Ok(chosen) = ways.plan(make).and_then(|plan| plan.as_read()) {
        return (ways, Some(chosen));
    }
    ways.nodes.clear();
    (ways, plan)
}

/// Stretches with equal work.
#[derive(Default)]
struct Group {
    /// Of the first nodes.
    names: Vec<String>,
    /// In our way and in tract's.
    least: [Duration; 2],
}

/// The nodes between dense tensors that tract does faster. The whole graph runs, all of them in one way and all in the
/// other by turns: so each finds the caches as it will find them.
fn faster_nodes(
    ways: &Ways,
    ours: &Plan,
    inputs: &[Tensor],
    time: Duration,
    make: Make<'_>,
) -> Result<HashSet<String>> {
    let mut stretches = Vec::new();
    let tracts = make(&mut Lowering {
        blocks: ways.blocks,
        leaves: &mut |kind, model, node| match kind {
            Kind::Dense => {
                stretches.push(Stretch::from(model, node));
                true
            }
            Kind::Blocked => ways.convolutions,
        },
    })?;
    if stretches.is_empty() {
        return Ok(HashSet::new());
    }
    let tracts = tracts.as_read()?;
    let mut groups: Vec<(String, Group)> = Vec::new();
    let mut of_stretch = Vec::new();
    for Stretch { names, work } in &stretches {
        let known = groups.iter().position(|(known, _)| known == work);
        let at = known.unwrap_or(groups.len());
        if known.is_none() {
            let least = [Duration::MAX; 2];
            let group = Group {
                least,
                ..Group::default()
            };
            groups.push((work.clone(), group));
        }
        groups[at].1.names.push(names[0].clone());
        of_stretch.push(at);
    }
    let plans = [ours, &tracts].map(|plan| (plan, owners(plan, &stretches)));
    by_turns(time, || {
        for (way, (plan, owners)) in plans.iter().enumerate() {
            let mut times = Times::new();
            plan.run(inputs, Some(&mut times))?;
            let mut taken = vec![Duration::ZERO; groups.len()];
            for (node, time) in times {
                if let Some(&stretch) = owners.get(&node) {
                    taken[of_stretch[stretch]] += time;
                }
            }
            for ((_, group), taken) in groups.iter_mut().zip(taken) {
                group.least[way] = group.least[way].min(taken);
            }
        }
        Ok(groups
            .iter()
            .any(|(_, group)| group.least[1] < group.least[0]))
    })?;
    let mut faster = HashSet::new();
    for (work, Group { names, least }) in groups {
        let [ours, tracts] = least;
        let worth = !tracts.is_zero() && tracts < ours.mul_f64(WORTH);
        tracing::debug!(work, nodes = names.len(), ?ours, ?tracts, worth, "measured");
        if worth {
            faster.extend(names);
        }
    }
    Ok(faster)
}

/// The stretch that each node of a plan does work of.
pub(super) fn owners(plan: &Plan, stretches: &[Stretch]) -> HashMap<usize, usize> {
    let (graph, _) = plan.graph();
    let mut owners = HashMap::new();
    for node in &graph.nodes {
        // tract names the parts of a node after it: `conv1.im2col`.
        let is_part = |name: &str| {
            let rest = node.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let owned = stretches.iter().enumerate().flat_map(|(at, stretch)| {
            let names = stretch.names.iter().filter(|name| is_part(name));
            names.map(move |name| (name.len(), at))
        });
        // A node after two stretches, as the sum of their ends, is counted to the first.
        let mut longest: Option<(usize, usize)> = None;
        for (len, at) in owned {
            if longest.is_none_or(|(longest, _)| longest < len) {
                longest = Some((len, at));
            }
        }
        if let Some((_, stretch)) = longest {
            owners.insert(node.id, stretch);
        }
    }
    owners
}
