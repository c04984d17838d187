//! Adagrad, Adam and Momentum: the update steps of ai.onnx.preview.training.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    DatumType, Tensor, TractError, TractErrorContext, TractResult, bail, ensure,
};

use super::kernel::Kernel;
use super::ports::{Given, Port};
use super::values::{from_reals, reals};

/// One step of an optimizer for any number of tensors. The inputs are the learning rate, the count
/// of steps, then all tensors, all gradients, and all of each state; the outputs the new tensors
/// and states.
#[derive(Debug)]
pub(crate) struct Optimizer {
    rule: Rule,
    /// The factor of the L2 regularization.
    norm: f64,
}

#[derive(Debug)]
enum Rule {
    Adagrad {
        decay: f64,
        epsilon: f64,
    },
    Adam {
        alpha: f64,
        beta: f64,
        epsilon: f64,
        norm_after: f64,
    },
    Momentum {
        alpha: f64,
        beta: f64,
        nesterov: bool,
    },
}

impl Optimizer {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let number = |name: &str, default: f32| {
            Ok::<_, TractError>(f64::from(
                node.get_attr_opt::<f32>(name)?.unwrap_or(default),
            ))
        };
        let rule = match node.op_type.as_str() {
            "Adagrad" => Rule::Adagrad {
                decay: number("decay_factor", 0.0)?,
                epsilon: number("epsilon", 1e-6)?,
            },
            "Adam" => Rule::Adam {
                alpha: number("alpha", 0.9)?,
                beta: number("beta", 0.999)?,
                epsilon: number("epsilon", 1e-6)?,
                norm_after: number("norm_coefficient_post", 0.0)?,
            },
            "Momentum" => Rule::Momentum {
                alpha: f64::from(node.get_attr::<f32>("alpha")?),
                beta: f64::from(node.get_attr::<f32>("beta")?),
                nesterov: node.get_attr::<String>("mode")? == "nesterov",
            },
            other => bail!("{other} is no optimizer"),
        };
        Ok(Self {
            rule,
            norm: number("norm_coefficient", 0.0)?,
        })
    }

    fn states(&self) -> usize {
        if matches!(self.rule, Rule::Adam { .. }) {
            2
        } else {
            1
        }
    }

    /// The inputs after the first two come in so many groups.
    fn groups<T>(&self, inputs: &Given<T>) -> TractResult<usize> {
        let given = inputs.iter().count();
        let groups = 2 + self.states();
        ensure!(
            given > 2 && (given - 2).is_multiple_of(groups),
            "{given} inputs"
        );
        Ok((given - 2) / groups)
    }

    /// One number's step: the new one and its new states.
    fn step(&self, rate: f64, count: f64, x: f64, gradient: f64, states: [f64; 2]) -> [f64; 3] {
        let gradient = self.norm * x + gradient;
        match self.rule {
            Rule::Adagrad { decay, epsilon } => {
                let squares = states[0] + gradient * gradient;
                let rate = rate / (1.0 + count * decay);
                [
                    x - rate * gradient / (squares.sqrt() + epsilon),
                    squares,
                    0.0,
                ]
            }
            Rule::Adam {
                alpha,
                beta,
                epsilon,
                norm_after,
            } => {
                let mean = alpha * states[0] + (1.0 - alpha) * gradient;
                let squares = beta * states[1] + (1.0 - beta) * gradient * gradient;
                let rate = if count > 0.0 {
                    rate * (1.0 - beta.powf(count)).sqrt() / (1.0 - alpha.powf(count))
                } else {
                    rate
                };
                let x = x - rate * mean / (squares.sqrt() + epsilon);
                [(1.0 - norm_after) * x, mean, squares]
            }
            Rule::Momentum {
                alpha,
                beta,
                nesterov,
            } => {
                let beta = if count > 0.0 { beta } else { 1.0 };
                let speed = alpha * states[0] + beta * gradient;
                let by = if nesterov {
                    gradient + alpha * speed
                } else {
                    speed
                };
                [x - rate * by, speed, 0.0]
            }
        }
    }
}

impl Kernel for Optimizer {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let tensors = self.groups(inputs)?;
        let mut outputs = vec![];
        for group in 0..=self.states() {
            for number in 0..tensors {
                let x = inputs.need(2 + number)?;
                let same = inputs.need(2 + (group + 1) * tensors + number)?;
                ensure!(
                    same.shape == x.shape,
                    "shapes {:?} and {:?}",
                    x.shape,
                    same.shape
                );
                outputs.push((x.datatype, x.shape.clone()));
            }
        }
        Ok(outputs)
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let tensors = self.groups(inputs)?;
        let first =
            |place: usize| Ok::<_, TractError>(reals(inputs.need(place)?)?.first().copied());
        let rate = first(0)?.context("an empty learning rate")?;
        let count = first(1)?.context("an empty count")?;
        let mut groups = vec![vec![]; 1 + self.states()];
        for number in 0..tensors {
            let x = inputs.need(2 + number)?;
            let read = |group: usize| reals(inputs.need(2 + group * tensors + number)?);
            let (values, gradients) = (read(0)?, read(1)?);
            let states = (0..self.states()).map(|state| read(2 + state));
            let states = states.collect::<TractResult<Vec<_>>>()?;
            let mut made = vec![Vec::with_capacity(values.len()); groups.len()];
            for (place, (&value, &gradient)) in values.iter().zip(&gradients).enumerate() {
                let state = |index: usize| states.get(index).map_or(0.0, |state| state[place]);
                let new = self.step(rate, count, value, gradient, [state(0), state(1)]);
                made.iter_mut()
                    .zip(new)
                    .for_each(|(made, new)| made.push(new));
            }
            for (group, values) in groups.iter_mut().zip(made) {
                group.push(from_reals(x.shape(), &values, x.datum_type())?);
            }
        }
        Ok(groups.into_iter().flatten().collect())
    }
}
