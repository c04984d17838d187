//! A walk over the protobuf bytes before anything is decoded.
//!
//! Decoding two bytes can allocate two hundred (an empty message in a list), and truncation shows
//! only as "buffer underflow". This walk allocates nothing, counts what decoding would allocate,
//! and says at which byte a file ends too early. It follows only the fields that nest or repeat.

use crate::Limits;
use crate::error::{Error, Result};

/// The messages of ONNX that hold others in lists, and what their fields hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
    Training,
    /// Anything else: its own fields are counted where it stands, not followed.
    Leaf,
}

impl Message {
    /// What field `number` of this message holds. Numbers: `onnx.proto`.
    fn field(self, number: u64) -> Self {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) | (Self::Training, 1 | 2) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => {
                Self::Tensor
            }
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Node, 5) => Self::Attribute,
            _ => Self::Leaf,
        }
    }
}

/// Walks `bytes` as a model, under the limits on nodes, nesting and fields.
pub(crate) fn walk(bytes: &[u8], limits: &Limits) -> Result<()> {
    let mut walk = Walk {
        bytes,
        limits,
        nodes: 0,
        fields: 0,
    };
    walk.message(Message::Model, 0, bytes.len(), 0)
}

struct Walk<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    nodes: usize,
    fields: usize,
}

impl Walk<'_> {
    /// Walks the message at `at..end`; `graphs` counts the graphs around it.
    fn message(
        &mut self,
        message: Message,
        mut at: usize,
        end: usize,
        graphs: usize,
    ) -> Result<()> {
        let limits = self.limits;
        let graphs = graphs + usize::from(message == Message::Graph);
        if graphs > limits.subgraph_depth + 1 {
            let limit = limits.subgraph_depth;
            return Err(
                Error::too_large(format!("subgraphs nest deeper than {limit}"))
                    .with_cure("flatten the nested If, Loop and Scan nodes"),
            );
        }
        while at < end {
            let (tag, start) = self.varint(at, end)?;
            let next = match tag & 7 {
                0 => self.varint(start, end)?.1,
                1 => start.saturating_add(8),
                2 => {
                    let (len, start) = self.varint(start, end)?;
                    let stop = usize::try_from(len)
                        .ok()
                        .and_then(|len| start.checked_add(len));
                    let stop = stop.unwrap_or(usize::MAX);
                    if stop > end {
                        return Err(self.ends_early(at, stop));
                    }
                    self.count(message.field(tag >> 3))?;
                    let inner = message.field(tag >> 3);
                    if inner != Message::Leaf {
                        self.message(inner, start, stop, graphs)?;
                    }
                    stop
                }
                5 => start.saturating_add(4),
                wire => {
                    return Err(Error::invalid_model(format!(
                        "no ONNX file: protobuf wire type {wire} at byte {at}"
                    )));
                }
            };
            if next > end {
                return Err(self.ends_early(at, next));
            }
            at = next;
        }
        Ok(())
    }

    fn count(&mut self, message: Message) -> Result<()> {
        self.fields += 1;
        self.nodes += usize::from(message == Message::Node);
        let Limits { nodes, fields, .. } = *self.limits;
        if self.nodes > nodes {
            return Err(Error::too_large(format!("more than {nodes} nodes"))
                .with_cure("simplify the graph (onnxsim) or split the model"));
        }
        if self.fields > fields {
            return Err(Error::too_large(format!(
                "more than {fields} protobuf fields"
            )));
        }
        Ok(())
    }

    fn varint(&self, at: usize, end: usize) -> Result<(u64, usize)> {
        let mut value = 0_u64;
        for (index, &byte) in self.bytes[at..end].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f)
                .checked_shl(7 * index as u32)
                .unwrap_or(0);
            if byte < 0x80 {
                return Ok((value, at + index + 1));
            }
        }
        if end - at >= 10 {
            return Err(Error::invalid_model(format!(
                "no ONNX file: bad varint at byte {at}"
            )));
        }
        Err(self.ends_early(at, end + 1))
    }

    /// The field at `at` wants bytes up to `wanted`, beyond its message.
    fn ends_early(&self, at: usize, wanted: usize) -> Error {
        let len = self.bytes.len();
        if wanted > len {
            return Error::invalid_model(format!(
                "truncated, or no ONNX file: the field at byte {at} needs more than the {len} bytes of the file"
            ))
            .with_cure("copy or download the file again");
        }
        Error::invalid_model(format!(
            "no ONNX file: the field at byte {at} outgrows its message"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// A length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        assert!(content.len() < 1 << 14 && number < 16);
        let len = content.len();
        let mut bytes = vec![number << 3 | 2, (len & 0x7f) as u8 | 0x80, (len >> 7) as u8];
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn bounds() {
        let limits = Limits {
            nodes: 3,
            subgraph_depth: 2,
            fields: 100,
            ..Limits::default()
        };
        let nodes = |count: usize| field(7, &[0x0a, 0].repeat(count));
        let nested = |depth: usize| {
            let inner = (0..depth).fold(vec![], |graph: Vec<u8>, _| {
                field(1, &field(5, &field(6, &graph)))
            });
            field(7, &inner)
        };
        let cases: [(&str, Vec<u8>, Option<ErrorKind>); 9] = [
            ("empty", vec![], None),
            ("three nodes", nodes(3), None),
            ("four nodes", nodes(4), Some(ErrorKind::TooLarge)),
            ("two levels", nested(2), None),
            ("three levels", nested(3), Some(ErrorKind::TooLarge)),
            (
                "many strings",
                [0x12, 0].repeat(101),
                Some(ErrorKind::TooLarge),
            ),
            ("cut", nodes(3)[..5].to_vec(), Some(ErrorKind::InvalidModel)),
            (
                "text",
                b"hello, world".to_vec(),
                Some(ErrorKind::InvalidModel),
            ),
            (
                "endless varint",
                std::iter::once(0x08).chain([0xff; 12]).collect(),
                Some(ErrorKind::InvalidModel),
            ),
        ];
        for (name, bytes, wanted) in cases {
            let got = walk(&bytes, &limits).err().map(|error| error.kind());
            assert_eq!(got, wanted, "{name}");
        }
    }

    #[test]
    fn a_field_may_not_outgrow_its_message() {
        // A graph of 4 bytes whose node claims 6.
        let bytes = [0x3a, 4, 0x0a, 6, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            walk(&bytes, &Limits::default()).unwrap_err().kind(),
            ErrorKind::InvalidModel
        );
    }
}
