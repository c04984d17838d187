//! A row's columns → the body of a request.
//!
//! | the row has | it is |
//! | --- | --- |
//! | `inputs`, `texts` or `series` (JSON lines) | a request's body, as it is |
//! | `payload` | the input itself: bytes, or base64 in text; `content_type` may say what it is |
//! | `text`, where no input of the model is called so | a text; with `pair`, two that are judged together |
//! | else | tensors: each input of the model takes the column of its name (a value or a list); a model with one input takes all columns in their order |
//!
//! A column `id` is never an input, but for a model that has one of that name: it comes back with
//! the answer.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use dunlin_protocol::{Datatype, TensorMetadata};
use dunlin_serving::PredictBody;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Number, Value, json};

use crate::table::{Cell, Fields};

/// What is answered, and what the sender calls it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: Option<Value>,
    pub(crate) body: Result<PredictBody, String>,
}

/// The fields of a JSON line that are looked for first: a payload is not parsed into a tree.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    inputs: Option<&'a RawValue>,
    #[serde(borrow)]
    texts: Option<&'a RawValue>,
    #[serde(borrow)]
    series: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<std::borrow::Cow<'a, str>>,
    content_type: Option<String>,
    id: Option<Value>,
}

/// The body of a row, for a model with these inputs.
pub(crate) fn ask(fields: Result<Fields, String>, inputs: &[TensorMetadata]) -> Asked {
    match fields {
        Ok(Fields::Json(line)) => of_line(&line, inputs),
        Ok(Fields::Columns(cells)) => of_columns(&cells, inputs),
        Err(why) => Asked {
            id: None,
            body: Err(why),
        },
    }
}

fn body(body: impl Into<Bytes>, content_type: Option<&str>) -> PredictBody {
    PredictBody {
        body: body.into(),
        content_type: content_type.map(str::to_owned),
        header_length: None,
    }
}

fn of_line(line: &Bytes, inputs: &[TensorMetadata]) -> Asked {
    let read: Line<'_> = match serde_json::from_slice(line) {
        Ok(read) => read,
        Err(error) => {
            return Asked {
                id: None,
                body: Err(format!(
                    "the line is no JSON object that can be read: {error}"
                )),
            };
        }
    };
    let wanted = |name: &str| inputs.iter().any(|input| input.name == name);
    let bodies = [
        ("inputs", read.inputs),
        ("texts", read.texts),
        ("series", read.series),
    ];
    if bodies
        .iter()
        .any(|(name, value)| value.is_some() && !wanted(name))
    {
        return Asked {
            id: read.id,
            body: Ok(body(line.clone(), Some("application/json"))),
        };
    }
    if let (Some(payload), false) = (&read.payload, wanted("payload")) {
        let bytes = BASE64_STANDARD.decode(payload.as_bytes());
        let bytes = bytes.map_err(|error| format!("payload: {error}"));
        return Asked {
            id: read.id,
            body: bytes.map(|bytes| body(bytes, read.content_type.as_deref())),
        };
    }
    match serde_json::from_slice(line) {
        Ok(Value::Object(fields)) => {
            let cells = fields.into_iter();
            let cells: Vec<_> = cells
                .map(|(name, value)| (Arc::from(name), Cell::Value(value)))
                .collect();
            of_columns(&cells, inputs)
        }
        _ => Asked {
            id: None,
            body: Err("the line is no JSON object".to_owned()),
        },
    }
}

fn of_columns(cells: &[(Arc<str>, Cell)], inputs: &[TensorMetadata]) -> Asked {
    let wanted = |name: &str| inputs.iter().any(|input| input.name == name);
    let cell = |name: &str| {
        let found = cells.iter().find(|(column, _)| &**column == name);
        found.map(|(_, cell)| cell).filter(|_| !wanted(name))
    };
    let text = |name: &str| match cell(name) {
        Some(Cell::Value(Value::String(text))) => Some(text.as_str()),
        _ => None,
    };
    let id = match cell("id") {
        Some(Cell::Value(id)) if !id.is_null() => Some(id.clone()),
        _ => None,
    };
    let asked = match cell("payload") {
        Some(Cell::Bytes(bytes)) => Ok(body(bytes.clone(), text("content_type"))),
        Some(Cell::Value(Value::String(payload))) => BASE64_STANDARD
            .decode(payload)
            .map(|bytes| body(bytes, text("content_type")))
            .map_err(|error| format!("payload: {error}")),
        Some(_) => Err("payload is neither bytes nor base64".to_owned()),
        None => match text("text") {
            Some(one) => Ok(match text("pair") {
                Some(pair) => {
                    let both = json!({"text": one, "pair": pair});
                    body(both.to_string(), Some("application/json"))
                }
                None => body(one.to_owned(), Some("text/plain")),
            }),
            None => tensors(cells, inputs),
        },
    };
    Asked { id, body: asked }
}

/// An inference request of the columns.
fn tensors(cells: &[(Arc<str>, Cell)], inputs: &[TensorMetadata]) -> Result<PredictBody, String> {
    let named = |input: &TensorMetadata| cells.iter().find(|(name, _)| **name == *input.name);
    let mut tensors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let values = match (named(input), inputs) {
            (Some((name, cell)), _) => values(name, cell, input.datatype)?,
            (None, [_]) => {
                let mut all = Vec::new();
                for (name, cell) in cells.iter().filter(|(name, _)| &**name != "id") {
                    all.extend(values(name, cell, input.datatype)?);
                }
                all
            }
            (None, _) => return Err(format!("there is no column {:?}", input.name)),
        };
        let shape = shape(input, values.len()).ok_or_else(|| {
            format!(
                "{} values are not one input {:?}, {} {:?}",
                values.len(),
                input.name,
                input.datatype,
                input.shape
            )
        })?;
        tensors.push(
            json!({"name": input.name, "datatype": input.datatype, "shape": shape, "data": values}),
        );
    }
    let request = json!({ "inputs": tensors }).to_string();
    Ok(body(request, Some("application/json")))
}

/// The shape of one input with so many values: a first dynamic dimension is a batch of one, one
/// more follows from the number.
fn shape(input: &TensorMetadata, values: usize) -> Option<Vec<usize>> {
    let mut shape: Vec<Option<usize>> = input
        .shape
        .iter()
        .map(|&size| usize::try_from(size).ok())
        .collect();
    let dynamic = |shape: &[Option<usize>]| shape.iter().filter(|size| size.is_none()).count();
    if let (2.., Some(first)) | (1, Some(first @ None)) = (dynamic(&shape), shape.first_mut()) {
        // A model of one dynamic dimension alone takes as many values as there are.
        if first.is_none() && (input.shape.len() > 1 || values == 1) {
            *first = Some(1);
        }
    }
    let known = shape
        .iter()
        .flatten()
        .try_fold(1usize, |product, &size| product.checked_mul(size))?;
    let rest = match dynamic(&shape) {
        0 => 1,
        1 => values.checked_div(known)?,
        _ => return None,
    };
    let shape: Vec<usize> = shape.into_iter().map(|size| size.unwrap_or(rest)).collect();
    (values > 0 && known.checked_mul(rest)? == values).then_some(shape)
}

/// The values of a cell, flat, as JSON has them for this datatype.
fn values(column: &str, cell: &Cell, datatype: Datatype) -> Result<Vec<Value>, String> {
    let refuse = |what: &str| Err(format!("column {column:?}: {what}"));
    let value = match cell {
        Cell::Bytes(_) => return refuse("bytes are not the values of a tensor"),
        Cell::Value(value) => value,
    };
    match value {
        Value::Null => refuse("there is no value"),
        Value::Array(values) => {
            let mut flat = Vec::with_capacity(values.len());
            for inner in values {
                flat.extend(self::values(column, &Cell::Value(inner.clone()), datatype)?);
            }
            Ok(flat)
        }
        Value::Object(_) => refuse("an object is not the values of a tensor"),
        Value::String(text) => match datatype {
            Datatype::Bytes => Ok(vec![text.as_str().into()]),
            Datatype::Bool => match text.trim() {
                "true" | "True" | "1" => Ok(vec![true.into()]),
                "false" | "False" | "0" => Ok(vec![false.into()]),
                other => refuse(&format!("{other:?} is neither true nor false")),
            },
            _ => match text.trim().parse::<Number>() {
                Ok(number) => Ok(vec![Value::Number(number)]),
                Err(_) => refuse(&format!("{text:?} is not a number")),
            },
        },
        number => Ok(vec![number.clone()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, datatype: Datatype, shape: &[i64]) -> TensorMetadata {
        TensorMetadata {
            name: name.to_owned(),
            datatype,
            shape: shape.to_vec(),
        }
    }

    fn line(text: &str, inputs: &[TensorMetadata]) -> (Option<Value>, String) {
        let fields = Fields::Json(Bytes::copy_from_slice(text.as_bytes()));
        let asked = ask(Ok(fields), inputs);
        let told = match asked.body {
            Ok(body) => {
                let kind = body.content_type.unwrap_or_else(|| "-".to_owned());
                format!("{kind} {}", String::from_utf8_lossy(&body.body))
            }
            Err(why) => why,
        };
        (asked.id, told)
    }

    #[test]
    fn what_lines_are() {
        let features = [input("x", Datatype::Fp32, &[-1, 3])];
        let one = r#"application/json {"inputs":[{"data":[1,2.5,3],"datatype":"FP32","name":"x","shape":[1,3]}]}"#;
        let cases = [
            (
                r#"{"id": "a", "payload": "aGk=", "content_type": "image/png"}"#,
                "image/png hi",
            ),
            (r#"{"payload": "aGk="}"#, "- hi"),
            (r#"{"payload": "a"}"#, "payload: "),
            (r#"{"text": "hello"}"#, "text/plain hello"),
            (
                r#"{"text": "a", "pair": "b", "id": 1}"#,
                r#"application/json {"pair":"b","text":"a"}"#,
            ),
            (
                r#"{"series": [1, 2]}"#,
                r#"application/json {"series": [1, 2]}"#,
            ),
            (r#"{"inputs": []}"#, r#"application/json {"inputs": []}"#),
            (r#"{"id": 7, "a": 1, "b": "2.5", "c": [[3]]}"#, one),
            (r#"{"x": [1, 2.5, 3], "other": "ignored"}"#, one),
            (
                r#"{"a": 1}"#,
                "1 values are not one input \"x\", FP32 [-1, 3]",
            ),
            (r#"{"a": "b"}"#, "column \"a\": \"b\" is not a number"),
            (r#"{"a": null}"#, "column \"a\": there is no value"),
            ("[1]", "the line is no JSON object"),
            ("nonsense", "the line is no JSON object that can be read"),
        ];
        for (text, want) in cases {
            let (_, told) = line(text, &features);
            assert!(told.starts_with(want), "{text}: {told}");
        }
        assert_eq!(line(cases[0].0, &features).0, Some("a".into()));
        assert_eq!(line(cases[7].0, &features).0, Some(7.into()));
    }

    #[test]
    fn several_inputs_take_columns_of_their_names() {
        let inputs = [
            input("id", Datatype::Int64, &[-1]),
            input("text", Datatype::Bytes, &[-1, 1]),
            input("on", Datatype::Bool, &[1]),
        ];
        let (id, told) = line(r#"{"id": 3, "text": "hi", "on": "true"}"#, &inputs);
        assert_eq!(id, None);
        let request: Value =
            serde_json::from_str(told.trim_start_matches("application/json ")).unwrap();
        let data: Vec<_> = (0..3)
            .map(|n| request["inputs"][n]["data"][0].clone())
            .collect();
        assert_eq!(data, [json!(3), json!("hi"), json!(true)]);
        assert_eq!(request["inputs"][1]["shape"], json!([1, 1]));
        let (_, told) = line(r#"{"text": "hi", "on": 1}"#, &inputs);
        assert_eq!(told, "there is no column \"id\"");
    }

    #[test]
    fn shapes_follow_from_the_number_of_values() {
        for (declared, values, want) in [
            (&[-1, 3][..], 3, Some(&[1, 3][..])),
            (&[-1, 3], 6, None),
            (&[-1, -1], 5, Some(&[1, 5])),
            (&[-1, -1, 2], 6, Some(&[1, 3, 2])),
            (&[-1, -1, -1], 6, None),
            (&[-1], 5, Some(&[5])),
            (&[-1], 1, Some(&[1])),
            (&[2, 2], 4, Some(&[2, 2])),
            (&[2, -1], 4, Some(&[2, 2])),
            (&[0], 0, None),
            (&[], 1, Some(&[])),
        ] {
            let shape = shape(&input("x", Datatype::Fp32, declared), values);
            assert_eq!(shape.as_deref(), want, "{declared:?} of {values}");
        }
    }
}
