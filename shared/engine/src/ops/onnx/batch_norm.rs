//! `BatchNormalization` whose parameters are no constants, or whose statistics are the batch's own.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{TractResult, ensure};

use super::body::{Body, Writer, float, int};
use super::ports::{Given, Port};

/// Batch normalization whose parameters come as inputs, or whose statistics are the batch's own.
#[derive(Debug)]
pub(crate) struct BatchNormalization {
    epsilon: f32,
    momentum: f32,
    training: bool,
}

impl BatchNormalization {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        ensure!(
            node.get_attr_opt::<i64>("spatial")?.unwrap_or(1) == 1,
            "spatial=0"
        );
        Ok(Self {
            epsilon: node.get_attr_opt("epsilon")?.unwrap_or(1e-5),
            momentum: node.get_attr_opt("momentum")?.unwrap_or(0.9),
            training: node.get_attr_opt::<i64>("training_mode")? == Some(1),
        })
    }
}

impl Body for BatchNormalization {
    fn write(&self, body: &mut Writer, inputs: &Given<Port>) -> TractResult<Vec<String>> {
        let [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map(Writer::input);
        let known = (1..5).all(|place| inputs.get(place).is_some_and(|port| port.value.is_some()));
        if known && !self.training {
            let attributes = vec![float("epsilon", self.epsilon)];
            let read = [&*x, &scale, &bias, &mean, &variance];
            return Ok(vec![body.with(
                "tract.BatchNormalization",
                &read,
                attributes,
            )]);
        }
        let (port, parameters) = (inputs.need(0)?, inputs.need(3)?.datatype);
        let rank = port.rank();
        ensure!(rank >= 2, "an input of shape {:?}", port.shape);
        let mut across = vec![1; rank];
        across[1] = port.shape[1];
        let (mut mean, mut variance, mut outputs) = (mean, variance, vec![]);
        if self.training {
            let axes: Vec<i64> = (0..rank as i64).filter(|&axis| axis != 1).collect();
            let axes = body.ints(&axes);
            let wide = body.cast(&x, parameters)?;
            let flat = || vec![int("keepdims", 0)];
            let own = body.with("ReduceMean", &[&wide, &axes], flat());
            let spread = body.reshape(&own, &across);
            let off = body.op("Sub", &[&wide, &spread]);
            let squares = body.op("Mul", &[&off, &off]);
            let squares = body.with("ReduceMean", &[&squares, &axes], flat());
            let momentum = f64::from(self.momentum);
            let (old, new) = (
                body.scalar(momentum, parameters)?,
                body.scalar(1.0 - momentum, parameters)?,
            );
            for (past, now) in [(&mean, &own), (&variance, &squares)] {
                let past = body.op("Mul", &[past, &old]);
                let now = body.op("Mul", &[now, &new]);
                outputs.push(body.op("Add", &[&past, &now]));
            }
            (mean, variance) = (own, squares);
        }
        let mut spread = vec![];
        for name in [&scale, &bias, &mean, &variance] {
            let name = body.cast(name, port.datatype)?;
            spread.push(body.reshape(&name, &across));
        }
        let epsilon = body.scalar(f64::from(self.epsilon), port.datatype)?;
        let off = body.op("Sub", &[&x, &spread[2]]);
        let deviation = body.op("Add", &[&spread[3], &epsilon]);
        let deviation = body.op("Sqrt", &[&deviation]);
        let y = body.op("Div", &[&off, &deviation]);
        let y = body.op("Mul", &[&y, &spread[0]]);
        outputs.insert(0, body.op("Add", &[&y, &spread[1]]));
        Ok(outputs)
    }
}
