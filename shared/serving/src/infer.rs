//! The protocol's inference: `decode` → `infer` → `encode`, as one piece of work on a worker.

use std::mem;

use bytes::Bytes;
use dunlin_protocol::{
    Datatype, Encoded, InferInput, InferOutput, InferRequest, InferResponse, Limits, NamedTensor,
    Parameters, RequestedOutput, Tensor, TensorMetadata,
};
use dunlin_telemetry::{Phase, Phases};
use dunlin_transforms::classify;

use crate::load::Loaded;
use crate::{Error, ErrorKind};

/// A request of the Open Inference Protocol v2.
#[derive(Debug, Clone)]
pub enum InferBody {
    /// As it came over the wire.
    Wire {
        /// The body, whole.
        body: Bytes,
        /// The value of `Inference-Header-Content-Length`. 0: the body is the one input's data.
        header_length: Option<usize>,
    },
    /// Decoded already.
    Request(InferRequest),
}

/// What a piece of work gave: the reply, and how many inferences it was.
#[derive(Debug)]
pub(crate) struct Done<T = Encoded> {
    pub(crate) reply: T,
    pub(crate) batch: u64,
}

/// Answers a request, and gives the outputs to `kept`. Runs on a worker thread.
pub(crate) fn infer(
    loaded: &Loaded,
    body: InferBody,
    limits: &Limits,
    phases: &mut Phases,
    kept: Option<&mut Vec<NamedTensor>>,
) -> Result<Done, Error> {
    let mut request = phases.time(Phase::Decode, || {
        let request = match body {
            InferBody::Wire {
                body,
                header_length: Some(0),
            } => raw(loaded, body)?,
            InferBody::Wire {
                body,
                header_length,
            } => InferRequest::decode(&body, header_length, limits)?,
            InferBody::Request(request) => request,
        };
        check_outputs(&request.outputs, loaded.model.outputs())?;
        Ok::<_, Error>(request)
    })?;
    let inputs = mem::take(&mut request.inputs).into_iter();
    let inputs = inputs
        .map(|input| NamedTensor::new(input.name, input.tensor))
        .collect();
    let (outputs, batch) = run(loaded, inputs, phases)?;
    if let Some(kept) = kept {
        kept.clone_from(&outputs);
    }
    let reply = phases.time(Phase::Encode, || {
        let response = InferResponse {
            model_name: loaded.manifest.name.to_string(),
            model_version: loaded.manifest.version.to_string(),
            parameters: Parameters::new(),
            outputs: select(&request, outputs, loaded.pipeline.labels())?,
            id: request.id,
        };
        Ok::<_, Error>(response.encode()?)
    })?;
    Ok(Done { reply, batch })
}

/// Checks the inputs, then runs the model. Gives the outputs and the batch size.
pub(crate) fn run(
    loaded: &Loaded,
    inputs: Vec<NamedTensor>,
    phases: &mut Phases,
) -> Result<(Vec<NamedTensor>, u64), Error> {
    let declared = loaded.model.inputs();
    phases.time(Phase::Decode, || check_inputs(&inputs, declared))?;
    let batch = batch(&inputs, declared);
    let outputs = phases.time(Phase::Infer, || loaded.model.run(inputs))?;
    Ok((outputs, batch))
}

/// The body as the data of the model's one input (Triton's raw binary request).
fn raw(loaded: &Loaded, body: Bytes) -> Result<InferRequest, Error> {
    let refuse = |why: String| Error::new(ErrorKind::InvalidRequest, why);
    let [input] = loaded.model.inputs() else {
        return Err(refuse(format!(
            "a raw binary request (Inference-Header-Content-Length: 0) needs a model with one input; this one has {}",
            loaded.model.inputs().len()
        )));
    };
    let shape = raw_shape(input, body.len()).ok_or_else(|| {
        refuse(format!(
            "{} bytes are not the data of input \"{}\", {} {:?}",
            body.len(),
            input.name,
            input.datatype,
            input.shape
        ))
    })?;
    let tensor = match input.datatype {
        // The whole body is the one element; on the wire it has no length before it.
        Datatype::Bytes => Tensor::from_strings(shape, [&body])?,
        datatype => Tensor::new(datatype, shape, body)?,
    };
    let input = InferInput {
        name: input.name.clone(),
        parameters: Parameters::new(),
        tensor,
    };
    let mut parameters = Parameters::new();
    parameters.insert("binary_data_output".into(), true.into());
    Ok(InferRequest {
        id: None,
        parameters,
        inputs: vec![input],
        outputs: Vec::new(),
    })
}

/// The shape that `bytes` of data have: a dynamic first dimension is a batch of one, one more
/// dynamic dimension follows from the size.
fn raw_shape(input: &TensorMetadata, bytes: usize) -> Option<Vec<usize>> {
    if input.datatype == Datatype::Bytes {
        return input.accepts(&[1]).then(|| vec![1]);
    }
    let size = input.datatype.size()?;
    let elements = bytes.is_multiple_of(size).then_some(bytes / size)?;
    let dynamic = input.shape.iter().filter(|&&size| size < 0).count();
    let batched = dynamic == 2 && input.shape.first().is_some_and(|&size| size < 0);
    if dynamic > 1 && !batched {
        return None;
    }
    let known = input
        .shape
        .iter()
        .filter(|&&size| size >= 0)
        .try_fold(1usize, |product, &size| {
            product.checked_mul(usize::try_from(size).ok()?)
        })?;
    let rest = elements.checked_div(known)?;
    let shape: Vec<usize> = input
        .shape
        .iter()
        .enumerate()
        .map(|(axis, &size)| match usize::try_from(size) {
            Ok(size) => size,
            Err(_) if batched && axis == 0 => 1,
            Err(_) => rest,
        })
        .collect();
    let fits = rest > 0 && shape.iter().product::<usize>() == elements;
    fits.then_some(shape)
}

fn list<'a>(tensors: impl IntoIterator<Item = &'a TensorMetadata>) -> String {
    let names: Vec<_> = tensors
        .into_iter()
        .map(|tensor| format!("\"{}\"", tensor.name))
        .collect();
    names.join(", ")
}

fn check_inputs(inputs: &[NamedTensor], declared: &[TensorMetadata]) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::new(ErrorKind::InvalidRequest, why));
    for (index, NamedTensor { name, tensor }) in inputs.iter().enumerate() {
        let Some(wanted) = declared.iter().find(|wanted| wanted.name == *name) else {
            return refuse(format!(
                "input {name:?}: the model has no such input; it has {}",
                list(declared)
            ));
        };
        if inputs[..index].iter().any(|earlier| earlier.name == *name) {
            return refuse(format!("input {name:?}: given twice"));
        }
        if tensor.datatype() != wanted.datatype {
            return refuse(format!(
                "input {name:?}: got datatype {}, want {}",
                tensor.datatype(),
                wanted.datatype
            ));
        }
        if !wanted.accepts(tensor.shape()) {
            return refuse(format!(
                "input {name:?}: got shape {:?}, want {:?} (-1: any size)",
                tensor.shape(),
                wanted.shape
            ));
        }
    }
    let missing = declared
        .iter()
        .find(|wanted| !inputs.iter().any(|given| given.name == wanted.name));
    match missing {
        Some(missing) => refuse(format!(
            "input {:?} is missing; the model takes {}",
            missing.name,
            list(declared)
        )),
        None => Ok(()),
    }
}

fn check_outputs(wanted: &[RequestedOutput], declared: &[TensorMetadata]) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::new(ErrorKind::InvalidRequest, why));
    for (index, output) in wanted.iter().enumerate() {
        let name = &output.name;
        if !declared.iter().any(|known| known.name == *name) {
            return refuse(format!(
                "output {name:?}: the model has no such output; it has {}",
                list(declared)
            ));
        }
        if wanted[..index].iter().any(|earlier| earlier.name == *name) {
            return refuse(format!("output {name:?}: asked for twice"));
        }
    }
    Ok(())
}

/// How many inferences a request is: the size of the first dimension where it is dynamic.
fn batch(inputs: &[NamedTensor], declared: &[TensorMetadata]) -> u64 {
    let batched = |input: &&NamedTensor| {
        let known = declared.iter().find(|known| known.name == input.name);
        known
            .and_then(|known| known.shape.first())
            .is_some_and(|&size| size < 0)
    };
    let size = inputs
        .iter()
        .find(batched)
        .and_then(|input| input.tensor.shape().first());
    size.map_or(1, |&size| size as u64)
}

/// The outputs that were asked for, in that order, each in the form asked for.
fn select(
    request: &InferRequest,
    outputs: Vec<NamedTensor>,
    labels: &[String],
) -> Result<Vec<InferOutput>, Error> {
    let give = |NamedTensor { name, tensor }: NamedTensor, classes: Option<usize>| {
        let tensor = match classes {
            Some(count) => classify(&tensor, count, labels)?,
            None => tensor,
        };
        let binary = request.wants_binary(&name);
        Ok(InferOutput {
            name,
            parameters: Parameters::new(),
            tensor,
            binary,
        })
    };
    if request.outputs.is_empty() {
        return outputs
            .into_iter()
            .map(|output| give(output, None))
            .collect();
    }
    let chosen = request.outputs.iter().filter_map(|wanted| {
        let output = outputs.iter().find(|output| output.name == wanted.name)?;
        Some(give(output.clone(), wanted.classification()))
    });
    chosen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(datatype: Datatype, shape: &[i64]) -> TensorMetadata {
        TensorMetadata {
            name: "x".into(),
            datatype,
            shape: shape.to_vec(),
        }
    }

    #[test]
    fn the_shape_of_raw_data_follows_from_its_size() {
        type Case<'a> = (&'a [i64], usize, Option<&'a [usize]>);
        let cases: [Case<'_>; 9] = [
            (&[1, 3], 12, Some(&[1, 3])),
            (&[-1, 3], 24, Some(&[2, 3])),
            (&[1, -1], 20, Some(&[1, 5])),
            (&[-1, -1], 20, Some(&[1, 5])),
            (&[2, -1, -1], 20, None),
            (&[-1, 0], 20, None),
            (&[-1, 3], 0, None),
            (&[-1, 3], 3, None),
            (&[-1, 3], 16, None),
        ];
        for (shape, bytes, wanted) in cases {
            let got = raw_shape(&declared(Datatype::Fp32, shape), bytes);
            assert_eq!(got.as_deref(), wanted, "{shape:?} of {bytes} bytes");
        }
    }

    #[test]
    fn wrong_inputs_are_told_apart() {
        let given = |name: &str, shape: &[usize]| {
            let values = vec![0f32; shape.iter().product()];
            NamedTensor::new(
                name,
                Tensor::from_vec(shape.to_vec(), values).expect("it fits"),
            )
        };
        let wanted = [declared(Datatype::Fp32, &[-1, 2])];
        let cases = [
            (vec![], "input \"x\" is missing"),
            (vec![given("y", &[1, 2])], "no such input; it has \"x\""),
            (
                vec![given("x", &[1, 2]), given("x", &[1, 2])],
                "given twice",
            ),
            (vec![given("x", &[1, 3])], "got shape [1, 3], want [-1, 2]"),
        ];
        for (inputs, why) in cases {
            let error = check_inputs(&inputs, &wanted).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
        let integers = [declared(Datatype::Int64, &[-1, 2])];
        let error = check_inputs(&[given("x", &[1, 2])], &integers).expect_err("wrong datatype");
        assert!(
            error.to_string().contains("got datatype FP32, want INT64"),
            "{error}"
        );
        assert!(check_inputs(&[given("x", &[7, 2])], &wanted).is_ok());
        assert_eq!(batch(&[given("x", &[7, 2])], &wanted), 7);
    }
}
