//! One tensor of a message: `{"name", "shape", "datatype", "parameters", "data"}`.

use bytes::Bytes;

use super::frame::Frame;
use super::{Parameters, data_in, data_out};
use crate::json::{self, Cursor};
use crate::tensor::element_count;
use crate::{Datatype, Error, ErrorKind, Limits, Tensor};

/// The parameter that says how many bytes of the binary data are a tensor's.
const BINARY_DATA_SIZE: &str = "binary_data_size";

/// A tensor as the JSON has it; its bytes may be still outside.
pub(super) struct Entry {
    name: String,
    parameters: Parameters,
    source: Source,
}

enum Source {
    Read(Tensor),
    Binary {
        datatype: Datatype,
        shape: Vec<usize>,
        size: usize,
    },
}

/// The fields of an entry as they come.
#[derive(Default)]
struct Fields<'a> {
    name: Option<String>,
    datatype: Option<Datatype>,
    shape: Option<Vec<usize>>,
    parameters: Option<Parameters>,
    tensor: Option<Tensor>,
    /// Elements that came before the fields that say how to read them.
    later: Option<Cursor<'a>>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, cursor: &mut Cursor<'a>, field: &str, limits: &Limits) -> Result<(), Error> {
        match field {
            "name" => once(&mut self.name, field, text(cursor, field, limits)?),
            "datatype" => once(
                &mut self.datatype,
                field,
                text(cursor, field, limits)?.parse()?,
            ),
            "shape" => once(&mut self.shape, field, dimensions(cursor, limits)?),
            "parameters" => once(&mut self.parameters, field, object(cursor, field)?),
            "data" => {
                // In the usual order of fields the elements are read here, in one pass.
                if let (Some(datatype), Some(shape)) = (self.datatype, &self.shape) {
                    let tensor = data_in::read(cursor, datatype, shape)?;
                    return once(&mut self.tensor, field, tensor);
                }
                let place = cursor.clone();
                cursor.raw()?;
                once(&mut self.later, field, place)
            }
            _ => cursor.ignore(),
        }
    }

    fn source(mut self) -> Result<(Parameters, Source), Error> {
        let datatype = required(self.datatype, "datatype", "this tensor")?;
        let shape = required(self.shape, "shape", "this tensor")?;
        let mut parameters = self.parameters.unwrap_or_default();
        if let Some(mut place) = self.later {
            once(
                &mut self.tensor,
                "data",
                data_in::read(&mut place, datatype, &shape)?,
            )?;
        }
        let source = match (self.tensor, parameters.remove(BINARY_DATA_SIZE)) {
            (Some(tensor), None) => Source::Read(tensor),
            (None, Some(size)) => {
                let bytes = size.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = bytes.ok_or_else(|| {
                    message(format!(
                        "{BINARY_DATA_SIZE:?} is {size}: not a number of bytes"
                    ))
                })?;
                Source::Binary {
                    datatype,
                    shape,
                    size,
                }
            }
            (None, None) => {
                return Err(message(format!(
                    "neither \"data\" nor {BINARY_DATA_SIZE:?}"
                )));
            }
            (Some(_), Some(_)) => {
                return Err(message(format!("both \"data\" and {BINARY_DATA_SIZE:?}")));
            }
        };
        Ok((parameters, source))
    }
}

impl Entry {
    /// Reads an entry, with the elements that it holds as JSON.
    pub(super) fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self, Error> {
        let mut fields = Fields::default();
        cursor.object(|cursor, field| {
            let taken = fields.take(cursor, field, limits);
            taken.map_err(|error| match &fields.name {
                Some(name) => error.at(name),
                None => error,
            })
        })?;
        let name = required(fields.name.take(), "name", "a tensor")?;
        let (parameters, source) = fields.source().map_err(|error| error.at(&name))?;
        Ok(Self {
            name,
            parameters,
            source,
        })
    }

    /// The tensor, with its bytes from the binary data if it is binary.
    pub(super) fn finish(self, frame: &mut Frame) -> Result<Finished, Error> {
        let Self {
            name,
            parameters,
            source,
        } = self;
        let (tensor, binary) = match source {
            Source::Read(tensor) => (tensor, false),
            Source::Binary {
                datatype,
                shape,
                size,
            } => {
                let data = frame.take(size).map_err(|error| error.at(&name))?;
                let tensor = Tensor::new(datatype, shape, data);
                (tensor.map_err(|error| error.at(&name))?, true)
            }
        };
        Ok(Finished {
            name,
            parameters,
            tensor,
            binary,
        })
    }
}

/// An entry with its tensor.
pub(super) struct Finished {
    pub(super) name: String,
    pub(super) parameters: Parameters,
    pub(super) tensor: Tensor,
    pub(super) binary: bool,
}

/// Appends an entry; where it is `binary`, its bytes go to that list instead of the JSON.
pub(super) fn write(
    out: &mut Vec<u8>,
    (name, parameters, tensor): (&str, &Parameters, &Tensor),
    binary: Option<&mut Vec<Bytes>>,
) -> Result<(), Error> {
    out.extend_from_slice(b"{\"name\":");
    json::put(out, name)?;
    out.extend_from_slice(b",\"datatype\":");
    json::put(out, &tensor.datatype())?;
    out.extend_from_slice(b",\"shape\":");
    json::put(out, tensor.shape())?;
    if let Some(binary) = binary {
        let mut parameters = parameters.clone();
        parameters.insert(BINARY_DATA_SIZE.into(), tensor.data().len().into());
        out.extend_from_slice(b",\"parameters\":");
        json::put(out, &parameters)?;
        binary.push(tensor.data().clone());
    } else {
        if !parameters.is_empty() {
            out.extend_from_slice(b",\"parameters\":");
            json::put(out, parameters)?;
        }
        out.extend_from_slice(b",\"data\":");
        data_out::write(out, tensor).map_err(|error| error.at(name))?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends the fields that both messages may have in front of their tensors.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    id: Option<&str>,
    parameters: &Parameters,
) -> Result<(), Error> {
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        json::put(out, id)?;
        out.push(b',');
    }
    if !parameters.is_empty() {
        out.extend_from_slice(b"\"parameters\":");
        json::put(out, parameters)?;
        out.push(b',');
    }
    Ok(())
}

/// Reads the entries of an array; each name may come once.
pub(super) fn read_all(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    cursor.array(|cursor| {
        check_count(entries.len(), limits)?;
        let entry = Entry::read(cursor, limits)?;
        if entries.iter().any(|other| other.name == entry.name) {
            return Err(message("comes twice".into()).at(&entry.name));
        }
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

/// Fails where `count` tensors are as many as may come.
pub(super) fn check_count(count: usize, limits: &Limits) -> Result<(), Error> {
    if count < limits.tensors {
        return Ok(());
    }
    let text = format!("more tensors than the limit of {}", limits.tensors);
    Err(Error::new(ErrorKind::TooLarge, text))
}

/// Reads a short string: an id, a name.
pub(super) fn text(cursor: &mut Cursor<'_>, field: &str, limits: &Limits) -> Result<String, Error> {
    if cursor.peek() != Some(b'"') {
        return Err(message(format!(
            "{field:?} is {}: not a string",
            cursor.shown()
        )));
    }
    let text = cursor.string()?;
    let (length, limit) = (text.len(), limits.name_bytes);
    if length > limit {
        let text = format!("{field:?} has {length} bytes; the limit is {limit}");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(text.into_owned())
}

/// Reads an object of parameters.
pub(super) fn object(cursor: &mut Cursor<'_>, field: &str) -> Result<Parameters, Error> {
    if cursor.peek() != Some(b'{') {
        return Err(message(format!(
            "{field:?} is {}: not an object",
            cursor.shown()
        )));
    }
    cursor.value()
}

/// Puts a field's value in its place; fails where one is there already.
pub(super) fn once<T>(place: &mut Option<T>, field: &str, value: T) -> Result<(), Error> {
    if place.replace(value).is_some() {
        return Err(message(format!("{field:?} comes twice")));
    }
    Ok(())
}

/// A field that must be there.
pub(super) fn required<T>(value: Option<T>, field: &str, what: &str) -> Result<T, Error> {
    value.ok_or_else(|| message(format!("{what} has no {field:?}")))
}

/// The JSON is not the message.
pub(super) fn message(text: String) -> Error {
    Error::new(ErrorKind::Message, text)
}

fn dimensions(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<usize>, Error> {
    let mut shape = Vec::new();
    cursor.array(|cursor| {
        if shape.len() == limits.rank {
            let text = format!("more dimensions than the limit of {}", limits.rank);
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let shown = cursor.shown();
        let dim = cursor.number().and_then(crate::json::Decimal::to_integer);
        let dim = dim
            .and_then(|dim| usize::try_from(dim).ok())
            .ok_or_else(|| {
                let text =
                    format!("a dimension of the shape is {shown}: not a whole number from 0");
                Error::new(ErrorKind::Shape, text)
            })?;
        shape.push(dim);
        Ok(())
    })?;
    let (count, limit) = (element_count(&shape)?, limits.elements);
    if count > limit {
        let text = format!("shape {shape:?} has {count} elements; the limit is {limit}");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(shape)
}
