//! The stages from bytes to a graph of tract's: each is a type, so the wrong order won't compile.
//!
//! [`Decoded`] (sound protobuf) → [`Checked`] (sound graph, rewritten for tract) → [`Graph`].

use bytes::Bytes;
use tract_onnx::pb;
use tract_onnx::prelude::{InferenceModel, InferenceModelExt};
use tract_onnx::tract_hir::infer::{DimFact, Factoid};

use crate::border::guarded;
use crate::error::{Error, ErrorKind, Result};
use crate::signature::Signature;
use crate::{Limits, check, framework, import, proto};

/// Sound protobuf, its nodes in the order of their evaluation.
pub(crate) struct Decoded {
    pub(crate) proto: pb::ModelProto,
}

/// A sound graph that means what the file means, in operators that tract computes rightly.
pub(crate) struct Checked {
    proto: pb::ModelProto,
    pub(crate) signature: Signature,
    /// Bytes of all weights.
    pub(crate) weights: u64,
    /// Why the engine can't run it, if it can't.
    pub(crate) problems: Vec<Error>,
}

/// A graph of tract's, its input shapes still open.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) model: InferenceModel,
    pub(crate) signature: Signature,
    pub(crate) weights: u64,
}

impl Decoded {
    pub(crate) fn new(onnx: &Bytes, limits: &Limits) -> Result<Self> {
        let mut proto = proto::decode(onnx, limits)?;
        import::flatten(&mut proto, limits)?;
        Ok(Self { proto })
    }

    pub(crate) fn check(self, limits: &Limits) -> Result<Checked> {
        let mut proto = self.proto;
        check::structure(&proto, limits)?;
        let signature = Signature::of(proto::graph(&proto))?;
        import::apply(&mut proto);
        let weights = proto::graph(&proto).initializer.iter().map(weight).sum();
        let problems = check::problems(&proto);
        Ok(Checked {
            proto,
            signature,
            weights,
            problems,
        })
    }
}

impl Checked {
    pub(crate) fn graph(self) -> Result<Graph> {
        if let Some(problem) = self.problems.into_iter().next() {
            return Err(problem);
        }
        let failed =
            |error| Error::from_tract(ErrorKind::Unsupported, "the graph can't be read", error);
        let model = guarded(ErrorKind::Unsupported, "reading the graph", || {
            let parsed = framework::onnx().parse(&self.proto, None).map_err(failed)?;
            let unresolved = parsed.unresolved_inputs.first();
            unresolved.map_or(Ok(parsed.model), |name| {
                Err(Error::invalid_model(format!("nothing gives \"{name}\"")))
            })
        })?;
        let mut signature = self.signature;
        if !signature.shapeless.is_empty() {
            infer_outputs(&model, &mut signature);
        }
        Ok(Graph {
            model,
            signature,
            weights: self.weights,
        })
    }
}

fn weight(tensor: &pb::TensorProto) -> u64 {
    let typed = tensor.float_data.len() + tensor.int32_data.len();
    let wide = tensor.int64_data.len() + tensor.double_data.len();
    (tensor.raw_data.len() + 4 * typed + 8 * wide) as u64
}

/// Fills in the shapes of outputs that declare none, as far as they follow from the inputs; a
/// wholly unknown one is one dynamic dimension.
fn infer_outputs(model: &InferenceModel, signature: &mut Signature) {
    let inferred = guarded(ErrorKind::Failed, "inferring shapes", || {
        let mut model = model.clone();
        // What could be inferred stands, also where the analysis ends in an error.
        let _ = model.analyse(true);
        Ok(model)
    });
    for &index in &signature.shapeless {
        let shape = inferred.as_ref().ok().and_then(|model| {
            let fact = model.output_fact(index).ok()?;
            let rank = fact.shape.rank().concretize()?;
            let dims = fact.shape.dims().take(usize::try_from(rank).ok()?);
            let known = |dim: &DimFact| dim.concretize().and_then(|dim| dim.to_i64().ok());
            Some(dims.map(|dim| known(dim).unwrap_or(-1)).collect())
        });
        signature.outputs[index].shape = shape.unwrap_or_else(|| vec![-1]);
    }
}
