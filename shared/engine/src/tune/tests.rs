//! Each way, forced: its answers, and its plan on disk.

use dunlin_protocol::{Datatype, Tensor};

use super::ways::{Ways, owners};
use super::*;
use crate::ops::{Kind, Stretch};
use crate::plan::Times;
use crate::plan_file::{self, Batches, ShapedGraph};
use crate::portable::Opened;
use crate::signature::Signature;
use crate::source::{Decoded, Graph};
use crate::{ErrorKind, Limits};

/// A model, one shape of its only input, and what makes plans of it.
struct Case {
    opened: Opened,
    signature: Signature,
    shapes: Shapes,
    input: Vec<Tensor>,
}

impl Case {
    fn new(file: &str, shape: &[usize]) -> Self {
        let path = format!("{}/tests/data/{file}.onnx", env!("CARGO_MANIFEST_DIR"));
        let onnx = std::fs::read(path).expect("a model");
        let limits = Limits::default();
        let checked =
            Decoded::new(&onnx.into(), &limits).and_then(|decoded| decoded.check(&limits));
        let graph = checked.and_then(crate::source::Checked::graph);
        let Graph {
            model,
            signature,
            weights,
        } = graph.expect("a graph");
        assert_eq!(signature.inputs[0].datatype, Datatype::Fp32, "{file}");
        let len = shape.iter().product::<usize>();
        let values = (0..len).map(|at| (at * 37 % 101) as f32 / 101.0).collect();
        let input = Tensor::from_vec(shape.to_vec(), values).expect("sound");
        Self {
            opened: Opened {
                graph: model,
                weights,
            },
            signature,
            shapes: vec![shape.to_vec()],
            input: vec![input],
        }
    }

    fn make(&self, lowering: &mut Lowering<'_>) -> Result<Plan> {
        self.make_for(&self.shapes, lowering)
    }

    fn make_for(&self, shapes: &[Vec<usize>], lowering: &mut Lowering<'_>) -> Result<Plan> {
        let inputs = &self.signature.inputs;
        let (limits, kind) = (Limits::default(), ErrorKind::Failed);
        Plan::make(&self.opened, inputs, shapes, &limits, kind, lowering)
    }

    /// The plans for this shape and for the other batch.
    fn plans(&self, batch: usize) -> Plans {
        let plans = Plans::new(2);
        for batch in [self.shapes[0][0], batch] {
            let mut shapes = self.shapes.clone();
            shapes[0][0] = batch;
            let made = plans.get(&shapes, || {
                Ways::default().plan(&|lowering| self.make_for(&shapes, lowering))
            });
            made.expect("a plan");
        }
        plans
    }

    fn plan(&self, ways: &Ways) -> Plan {
        ways.plan(&|lowering| self.make(lowering)).expect("a plan")
    }

    /// The plan in which tract does what lies between dense tensors.
    fn tracts(&self) -> (Plan, Vec<Stretch>) {
        let mut stretches = Vec::new();
        let plan = self.make(&mut Lowering {
            blocks: None,
            leaves: &mut |kind, model, node| {
                let dense = kind == Kind::Dense;
                if dense {
                    stretches.push(Stretch::from(model, node));
                }
                dense
            },
        });
        (plan.expect("a plan"), stretches)
    }

    fn read_again(&self, plan: &Plan) -> Plan {
        let (graph, origins) = plan.graph();
        let shaped = ShapedGraph {
            shapes: self.shapes.clone(),
            batch: None,
            graph,
            origins,
        };
        let file = plan_file::write(&self.signature, Batches::Unknown, &[shaped]);
        let read = plan_file::read(&file.expect("a file"), &Limits::default());
        let (_, graph) = read.expect("sound").graphs.remove(0);
        Plan::read(graph).expect("a plan")
    }
}

fn cases() -> [Case; 4] {
    [
        Case::new("../../../../models/digits/model", &[1, 1, 28, 28]),
        Case::new("precision_pictures_17", &[1, 8, 10, 10]),
        Case::new("qdq_network", &[2, 3, 11, 13]),
        Case::new("matmul_of_bytes", &[2, 5, 12]),
    ]
}

#[test]
fn each_way_gives_the_same_answers_and_has_a_plan() {
    for (at, case) in cases().iter().enumerate() {
        let usual = case.plan(&Ways::default());
        let wanted = usual.run(&case.input, None).expect("a run");
        let (tracts, stretches) = case.tracts();
        assert!(!stretches.is_empty(), "{at}: has a product");
        let mut plans: Vec<Plan> = Ways::of_graph(&usual)
            .iter()
            .map(|ways| case.plan(ways))
            .collect();
        assert_eq!(plans.is_empty(), usual.blocks().is_none(), "{at}");
        plans.push(tracts);
        for plan in &plans {
            let got = plan.run(&case.input, None).expect("a run");
            // Numbers that were quantized may be a step apart.
            assert!(
                at == 2 || close(&got[0], &wanted[0]),
                "{at}: {got:?} {wanted:?}"
            );
            let again = case.read_again(plan).run(&case.input, None);
            assert_eq!(again.expect("a run"), got, "{at}: as written");
        }
    }
}

#[test]
fn a_node_that_tract_fused_counts_for_its_product() {
    for (at, case) in cases().iter().enumerate() {
        let (tracts, stretches) = case.tracts();
        for plan in [case.plan(&Ways::default()), tracts] {
            let plan = &plan.as_read().expect("a plan");
            let owners = owners(plan, &stretches);
            let mut times = Times::new();
            plan.run(&case.input, Some(&mut times)).expect("a run");
            for (at_stretch, stretch) in stretches.iter().enumerate() {
                let ran = |&(node, _): &(usize, Duration)| owners.get(&node) == Some(&at_stretch);
                assert!(times.iter().any(ran), "{at}: {stretch:?}");
            }
        }
    }
}

#[test]
fn a_choice_holds_for_all_shapes() {
    let [digits, ..] = cases();
    let plans = digits.plans(3);
    let wanted = plans.made()[0].1.run(&digits.input, None).expect("a run");
    let usual = digits.plan(&Ways::default());
    let ways = Ways::of_graph(&usual).pop().expect("convolutions");
    let make =
        |shapes: &[Vec<usize>], lowering: &mut Lowering<'_>| digits.make_for(shapes, lowering);
    apply(&plans, Some(&make), &ways, &Methods::default()).expect("plans");
    let made = plans.made();
    assert!(
        made.iter().all(|(_, plan)| plan.blocks().is_none()),
        "tract's convolutions"
    );
    let (_, plan) = made
        .iter()
        .find(|(shapes, _)| *shapes == digits.shapes)
        .expect("its plan");
    let got = plan.run(&digits.input, None).expect("a run");
    assert!(close(&got[0], &wanted[0]));
}

#[test]
fn what_is_chosen_must_be_right() {
    let [digits, ..] = cases();
    let fashion = Case::new("../../../../models/fashion/model", &[1, 1, 28, 28]);
    let [usual, other] = [&digits, &fashion].map(|case| case.plan(&Ways::default()));
    let agrees = |plan: &Plan| agrees(plan, &usual, &digits.input).expect("runs");
    assert!(agrees(&usual));
    assert!(!agrees(&other), "the same graph with other weights");
}
