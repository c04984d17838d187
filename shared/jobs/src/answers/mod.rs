//! Answers of rows, written as a part of the result.

mod csv;
#[cfg(feature = "parquet")]
mod parquet;

use bytes::Bytes;
use dunlin_serving::{Error as Serving, facts};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::table::Format;
use crate::{Error, Result};

/// The answer of a row.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The row's number in the source, from 0.
    pub(crate) row: u64,
    /// What its sender calls it.
    pub(crate) id: Option<Value>,
    /// The JSON of the reply, or why there is none.
    pub(crate) answer: Result<Bytes, Refused>,
}

/// Why a row has no answer.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) kind: &'static str,
    pub(crate) reason: String,
}

impl Refused {
    pub(crate) fn of(error: &Serving) -> Self {
        Self {
            kind: facts(error.kind()).word,
            reason: error.chain(),
        }
    }
}

/// A line of a JSONL part.
#[derive(Serialize)]
struct Line<'a> {
    row: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The columns of a CSV or Parquet part, in their order.
#[cfg(feature = "parquet")]
const COLUMNS: [&str; 7] = ["row", "id", "label", "score", "answer", "kind", "reason"];

/// A record of a CSV or Parquet part: the best class, where the answer is of classes, and the
/// whole answer as JSON.
#[derive(Debug, Serialize)]
struct Record<'a> {
    row: u64,
    id: Option<String>,
    label: Option<String>,
    score: Option<f64>,
    answer: Option<&'a str>,
    kind: Option<&'static str>,
    reason: Option<&'a str>,
}

impl Answered {
    fn record(&self) -> Result<Record<'_>> {
        let id = self.id.as_ref().map(|id| match id {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let mut record = Record {
            row: self.row,
            id,
            label: None,
            score: None,
            answer: None,
            kind: None,
            reason: None,
        };
        match &self.answer {
            Ok(answer) => {
                let text = std::str::from_utf8(answer).map_err(|_| no_json(self.row))?;
                let tree: Value = serde_json::from_str(text).map_err(|_| no_json(self.row))?;
                // Of a batch of one, its one list.
                let first = &tree["predictions"][0];
                let best = if first.is_array() { &first[0] } else { first };
                record.label = match &best["label"] {
                    Value::String(label) => Some(label.clone()),
                    _ => best["index"].as_u64().map(|index| index.to_string()),
                };
                record.score = best["score"].as_f64();
                record.answer = Some(text);
            }
            Err(refused) => {
                record.kind = Some(refused.kind);
                record.reason = Some(&refused.reason);
            }
        }
        Ok(record)
    }
}

fn no_json(row: u64) -> Error {
    Error::internal(format!("the answer of row {row} is no JSON"))
}

/// A part as it is stored. The same answers are the same bytes.
pub(crate) fn write(format: Format, answers: &[Answered]) -> Result<Bytes> {
    match format {
        Format::Jsonl => lines(answers),
        Format::Csv => csv::write(answers),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::write(answers),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(Error::internal("Parquet was not refused")),
    }
}

fn lines(answers: &[Answered]) -> Result<Bytes> {
    let mut bytes = Vec::new();
    for answered in answers {
        let (answer, refused) = match &answered.answer {
            Ok(answer) => (Some(answer), None),
            Err(refused) => (None, Some(refused)),
        };
        let answer = answer
            .map(|answer| serde_json::from_slice(answer))
            .transpose()
            .map_err(|_| no_json(answered.row))?;
        let line = Line {
            row: answered.row,
            id: answered.id.as_ref(),
            answer,
            kind: refused.map(|refused| refused.kind),
            reason: refused.map(|refused| refused.reason.as_str()),
        };
        serde_json::to_writer(&mut bytes, &line).map_err(|_| no_json(answered.row))?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Vec<Answered> {
        let classes = br#"{"model":"m","version":1,"predictions":[{"label":"a, \"b\"","index":0,"score":0.5}]}"#;
        let tensors = br#"{"model":"m","version":1,"outputs":[]}"#;
        vec![
            Answered {
                row: 0,
                id: Some("x".into()),
                answer: Ok(Bytes::from_static(classes)),
            },
            Answered {
                row: 1,
                id: Some(7.into()),
                answer: Ok(Bytes::from_static(tensors)),
            },
            Answered {
                row: 2,
                id: None,
                answer: Err(Refused {
                    kind: "too_large",
                    reason: "why\nnot".to_owned(),
                }),
            },
        ]
    }

    #[test]
    fn lines_and_records() {
        let lines = write(Format::Jsonl, &answers()).unwrap();
        let lines: Vec<Value> = lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(lines[0]["id"], "x");
        assert_eq!(lines[1]["answer"]["version"], 1);
        assert_eq!(
            lines[2],
            serde_json::json!({"row": 2, "kind": "too_large", "reason": "why\nnot"})
        );

        let text = write(Format::Csv, &answers()).unwrap();
        let mut read = ::csv::Reader::from_reader(&text[..]);
        let headers = read.headers().unwrap().clone();
        assert_eq!(
            headers,
            vec!["row", "id", "label", "score", "answer", "kind", "reason"]
        );
        let records: Vec<_> = read.records().map(Result::unwrap).collect();
        assert_eq!(&records[0][2], "a, \"b\"");
        assert_eq!(&records[0][3], "0.5");
        assert_eq!(&records[1][1], "7");
        assert_eq!(&records[1][2], "");
        assert_eq!(&records[2][6], "why\nnot");
    }
}
