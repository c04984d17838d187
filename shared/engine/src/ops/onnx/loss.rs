//! `NegativeLogLikelihoodLoss` and `SoftmaxCrossEntropyLoss`: training's losses, met in evaluation graphs.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    DatumType, Tensor, TractErrorContext, TractResult, bail, ensure,
};

use super::kernel::Kernel;
use super::ports::{Given, Port, integers};
use super::values::{from_reals, reals};

/// A loss over class scores `[N, C, d…]`, given the right class of each of `[N, d…]`.
#[derive(Debug)]
pub(crate) struct Loss {
    reduction: Reduction,
    ignored: Option<i64>,
    /// Whether the scores are logits, to be normalized first.
    softmax: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    None,
    Sum,
    Mean,
}

impl Loss {
    pub(crate) fn parse(node: &NodeProto, softmax: bool) -> TractResult<Self> {
        let reduction = node.get_attr_opt::<String>("reduction")?;
        Ok(Self {
            reduction: match reduction.as_deref().unwrap_or("mean") {
                "none" => Reduction::None,
                "sum" => Reduction::Sum,
                "mean" => Reduction::Mean,
                other => bail!("reduction {other} is unknown"),
            },
            ignored: node.get_attr_opt::<i64>("ignore_index")?,
            softmax,
        })
    }
}

impl Kernel for Loss {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let (scores, labels) = (inputs.need(0)?, inputs.need(1)?);
        ensure!(scores.rank() >= 2, "scores of shape {:?}", scores.shape);
        let mut wanted = scores.shape.clone();
        wanted.remove(1);
        ensure!(
            labels.shape == wanted,
            "labels of shape {:?} for scores of shape {:?}",
            labels.shape,
            scores.shape
        );
        if let Some(weights) = inputs.get(2) {
            ensure!(weights.shape == scores.shape[1..2], "one weight a class");
        }
        let loss = if self.reduction == Reduction::None {
            labels.shape.clone()
        } else {
            vec![]
        };
        Ok(vec![
            (scores.datatype, loss),
            (scores.datatype, scores.shape.clone()),
        ])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (scores, labels) = (inputs.need(0)?, inputs.need(1)?);
        let datatype = scores.datum_type();
        let shape = scores.shape();
        let (classes, inner) = (shape[1], shape[2..].iter().product::<usize>());
        let mut logs = reals(scores)?;
        if self.softmax {
            log_softmax(&mut logs, classes, inner);
        }
        let labels_shape = labels.shape();
        let labels = integers(labels)?;
        let weights = inputs.get(2).map(|weights| reals(weights)).transpose()?;
        let (mut losses, mut total_weight) = (Vec::with_capacity(labels.len()), 0.0);
        for (place, &label) in labels.iter().enumerate() {
            if self.ignored == Some(label) {
                losses.push(0.0);
                continue;
            }
            let class = usize::try_from(label).ok().filter(|&class| class < classes);
            let class = class.with_context(|| format!("label {label} of {classes} classes"))?;
            let weight = weights.as_ref().map_or(1.0, |weights| weights[class]);
            let (batch, at) = (place / inner, place % inner);
            losses.push(-weight * logs[(batch * classes + class) * inner + at]);
            total_weight += weight;
        }
        let sum: f64 = losses.iter().sum();
        let loss = match self.reduction {
            Reduction::None => from_reals(labels_shape, &losses, datatype)?,
            Reduction::Sum => from_reals(&[], &[sum], datatype)?,
            Reduction::Mean => from_reals(&[], &[sum / total_weight], datatype)?,
        };
        Ok(vec![loss, from_reals(shape, &logs, datatype)?])
    }
}

/// Normalizes `[N, classes, inner]` scores over the classes.
fn log_softmax(scores: &mut [f64], classes: usize, inner: usize) {
    if classes * inner == 0 {
        return;
    }
    for batch in scores.chunks_exact_mut(classes * inner) {
        for at in 0..inner {
            let column = || (0..classes).map(|class| class * inner + at);
            let most = column().fold(f64::NEG_INFINITY, |most, place| most.max(batch[place]));
            let sum: f64 = column().map(|place| (batch[place] - most).exp()).sum();
            let log = most + sum.ln();
            column().for_each(|place| batch[place] -= log);
        }
    }
}
