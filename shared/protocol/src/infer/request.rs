//! The inference request.

use bytes::Bytes;

use super::entry::{self, Finished};
use super::frame::Frame;
use super::{Encoded, Parameters};
use crate::json::{self, Cursor};
use crate::{Error, Limits, Tensor};

/// A request for an inference.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InferRequest {
    /// The caller's own id, given back in the reply.
    pub id: Option<String>,
    /// Parameters of the whole request.
    pub parameters: Parameters,
    /// The input tensors.
    pub inputs: Vec<InferInput>,
    /// The outputs that are wanted; empty for all.
    pub outputs: Vec<RequestedOutput>,
}

/// An input tensor of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct InferInput {
    /// The name of the model's input.
    pub name: String,
    /// Parameters of this input.
    pub parameters: Parameters,
    /// The tensor.
    pub tensor: Tensor,
}

/// An output that a request asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestedOutput {
    /// The name of the model's output.
    pub name: String,
    /// Parameters of this output: `binary_data`, `classification`.
    pub parameters: Parameters,
}

impl RequestedOutput {
    /// The `classification` parameter: how many classes to answer instead of the tensor.
    pub fn classification(&self) -> Option<usize> {
        let count = self.parameters.get(CLASSIFICATION)?.as_u64()?;
        usize::try_from(count).ok().filter(|&count| count > 0)
    }
}

const BINARY_DATA: &str = "binary_data";
const BINARY_DATA_OUTPUT: &str = "binary_data_output";
const CLASSIFICATION: &str = "classification";

impl InferRequest {
    /// Reads a request. `header_length` is the value of
    /// [`HEADER_LENGTH`](crate::HEADER_LENGTH), where the request has that header.
    pub fn decode(
        body: &Bytes,
        header_length: Option<usize>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut frame = Frame::split(body, header_length, limits)?;
        let json = frame.json.clone();
        let (mut request, entries) =
            Self::read(&json, limits).map_err(|error| frame.explain(error))?;
        for entry in entries {
            let Finished {
                name,
                parameters,
                tensor,
                ..
            } = entry.finish(&mut frame)?;
            request.inputs.push(InferInput {
                name,
                parameters,
                tensor,
            });
        }
        frame.end()?;
        Ok(request)
    }

    fn read(json: &[u8], limits: &Limits) -> Result<(Self, Vec<entry::Entry>), Error> {
        let mut cursor = Cursor::new(json, limits.json_depth);
        let (mut id, mut parameters, mut inputs, mut outputs) = (None, None, None, None);
        cursor.object(|cursor, field| match field {
            "id" => entry::once(&mut id, field, entry::text(cursor, field, limits)?),
            "parameters" => entry::once(&mut parameters, field, entry::object(cursor, field)?),
            "inputs" => entry::once(&mut inputs, field, entry::read_all(cursor, limits)?),
            "outputs" => entry::once(&mut outputs, field, read_outputs(cursor, limits)?),
            _ => cursor.ignore(),
        })?;
        cursor.end()?;
        let inputs = entry::required(inputs, "inputs", "the request")?;
        let parameters = parameters.unwrap_or_default();
        check_flag(&parameters, BINARY_DATA_OUTPUT)?;
        let outputs = outputs.unwrap_or_default();
        Ok((
            Self {
                id,
                parameters,
                inputs: Vec::new(),
                outputs,
            },
            inputs,
        ))
    }

    /// Whether the output `name` is to be sent as binary: by its own parameter `binary_data`,
    /// else by the request's `binary_data_output`.
    pub fn wants_binary(&self, name: &str) -> bool {
        let output = self.outputs.iter().find(|output| output.name == name);
        let own = output.and_then(|output| output.parameters.get(BINARY_DATA));
        let flag = own.or_else(|| self.parameters.get(BINARY_DATA_OUTPUT));
        flag.and_then(serde_json::Value::as_bool).unwrap_or(false)
    }

    /// Writes the request, as a client sends it; `binary`: tensors as binary data. Fails where
    /// JSON cannot carry a tensor.
    pub fn encode(&self, binary: bool) -> Result<Encoded, Error> {
        let mut out = vec![b'{'];
        let mut data = Vec::new();
        entry::write_head(&mut out, self.id.as_deref(), &self.parameters)?;
        out.extend_from_slice(b"\"inputs\":[");
        for (at, input) in self.inputs.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let tensor = (input.name.as_str(), &input.parameters, &input.tensor);
            entry::write(&mut out, tensor, binary.then_some(&mut data))?;
        }
        out.push(b']');
        for (at, output) in self.outputs.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b",\"outputs\":[" } else { b"," });
            out.extend_from_slice(b"{\"name\":");
            json::put(&mut out, &output.name)?;
            out.extend_from_slice(b",\"parameters\":");
            json::put(&mut out, &output.parameters)?;
            out.push(b'}');
        }
        out.extend_from_slice(if self.outputs.is_empty() { b"}" } else { b"]}" });
        Ok(Frame::join(out, &data))
    }
}

fn read_outputs(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<RequestedOutput>, Error> {
    let mut outputs: Vec<RequestedOutput> = Vec::new();
    cursor.array(|cursor| {
        entry::check_count(outputs.len(), limits)?;
        let (mut name, mut parameters) = (None, None);
        cursor.object(|cursor, field| match field {
            "name" => entry::once(&mut name, field, entry::text(cursor, field, limits)?),
            "parameters" => entry::once(&mut parameters, field, entry::object(cursor, field)?),
            _ => cursor.ignore(),
        })?;
        let name: String = entry::required(name, "name", "a requested output")?;
        let parameters = parameters.unwrap_or_default();
        let output = RequestedOutput { name, parameters };
        check_output(&outputs, &output).map_err(|error| error.at(&output.name))?;
        outputs.push(output);
        Ok(())
    })?;
    Ok(outputs)
}

fn check_output(before: &[RequestedOutput], output: &RequestedOutput) -> Result<(), Error> {
    if before.iter().any(|other| other.name == output.name) {
        return Err(entry::message("is asked for twice".into()));
    }
    check_flag(&output.parameters, BINARY_DATA)?;
    match output.parameters.get(CLASSIFICATION) {
        Some(count) if output.classification().is_none() => Err(entry::message(format!(
            "{CLASSIFICATION:?} is {count}: not a number of classes"
        ))),
        _ => Ok(()),
    }
}

fn check_flag(parameters: &Parameters, name: &str) -> Result<(), Error> {
    match parameters.get(name) {
        Some(value) if !value.is_boolean() => Err(entry::message(format!(
            "{name:?} is {value}: not true or false"
        ))),
        _ => Ok(()),
    }
}
