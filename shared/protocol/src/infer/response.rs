//! The inference reply.

use bytes::Bytes;

use super::entry::{self, Finished};
use super::frame::Frame;
use super::{Encoded, Parameters};
use crate::json::{self, Cursor};
use crate::{Error, Limits, Tensor};

/// The reply to an inference request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InferResponse {
    /// The model that answered.
    pub model_name: String,
    /// Its version, by number.
    pub model_version: String,
    /// The id of the request.
    pub id: Option<String>,
    /// Parameters of the reply.
    pub parameters: Parameters,
    /// The output tensors.
    pub outputs: Vec<InferOutput>,
}

/// An output tensor of a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct InferOutput {
    /// The name of the model's output.
    pub name: String,
    /// Parameters of this output.
    pub parameters: Parameters,
    /// The tensor.
    pub tensor: Tensor,
    /// Whether it travels as binary data.
    pub binary: bool,
}

impl InferResponse {
    /// Writes the reply. Fails where JSON cannot carry an output that is not binary.
    pub fn encode(&self) -> Result<Encoded, Error> {
        let mut out = Vec::with_capacity(256);
        let mut data = Vec::new();
        out.extend_from_slice(b"{\"model_name\":");
        json::put(&mut out, &self.model_name)?;
        out.extend_from_slice(b",\"model_version\":");
        json::put(&mut out, &self.model_version)?;
        out.push(b',');
        entry::write_head(&mut out, self.id.as_deref(), &self.parameters)?;
        out.extend_from_slice(b"\"outputs\":[");
        for (at, output) in self.outputs.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let tensor = (output.name.as_str(), &output.parameters, &output.tensor);
            entry::write(&mut out, tensor, output.binary.then_some(&mut data))?;
        }
        out.extend_from_slice(b"]}");
        Ok(Frame::join(out, &data))
    }

    /// Reads a reply, as a client does.
    pub fn decode(
        body: &Bytes,
        header_length: Option<usize>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut frame = Frame::split(body, header_length, limits)?;
        let json = frame.json.clone();
        let (mut response, entries) =
            Self::read(&json, limits).map_err(|error| frame.explain(error))?;
        for entry in entries {
            let Finished {
                name,
                parameters,
                tensor,
                binary,
            } = entry.finish(&mut frame)?;
            response.outputs.push(InferOutput {
                name,
                parameters,
                tensor,
                binary,
            });
        }
        frame.end()?;
        Ok(response)
    }

    fn read(json: &[u8], limits: &Limits) -> Result<(Self, Vec<entry::Entry>), Error> {
        let mut cursor = Cursor::new(json, limits.json_depth);
        let (mut model_name, mut model_version) = (None, None);
        let (mut id, mut parameters, mut outputs) = (None, None, None);
        cursor.object(|cursor, field| match field {
            "model_name" => {
                entry::once(&mut model_name, field, entry::text(cursor, field, limits)?)
            }
            "model_version" => entry::once(
                &mut model_version,
                field,
                entry::text(cursor, field, limits)?,
            ),
            "id" => entry::once(&mut id, field, entry::text(cursor, field, limits)?),
            "parameters" => entry::once(&mut parameters, field, entry::object(cursor, field)?),
            "outputs" => entry::once(&mut outputs, field, entry::read_all(cursor, limits)?),
            _ => cursor.ignore(),
        })?;
        cursor.end()?;
        let response = Self {
            model_name: entry::required(model_name, "model_name", "the reply")?,
            model_version: model_version.unwrap_or_default(),
            id,
            parameters: parameters.unwrap_or_default(),
            outputs: Vec::new(),
        };
        Ok((response, entry::required(outputs, "outputs", "the reply")?))
    }
}
