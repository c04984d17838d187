//! The bytes of an examples artifact.

use bytes::{BufMut as _, Bytes, BytesMut};
use dunlin_protocol::{Datatype, NamedTensor, Tensor};
use serde::{Deserialize, Serialize};

use super::{Example, ExamplePack};
use crate::{Error, ErrorKind, Result};

/// The name of the format, as an artifact states it.
pub const FORMAT: &str = "examples-1";

const PREFIX: usize = size_of::<u64>();

/// What a pack may have at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleLimits {
    /// Bytes of the whole pack.
    pub pack_bytes: usize,
    /// Bytes of its header.
    pub header_bytes: usize,
    /// Examples.
    pub examples: usize,
}

impl Default for ExampleLimits {
    /// 256 MiB, a header of 4 MiB, 10,000 examples.
    fn default() -> Self {
        Self {
            pack_bytes: 256 << 20,
            header_bytes: 4 << 20,
            examples: 10_000,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    examples: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header_length: Option<usize>,
    input_bytes: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    outputs: Vec<Output>,
}

#[derive(Serialize, Deserialize)]
struct Output {
    name: String,
    datatype: Datatype,
    shape: Vec<usize>,
    binary_data_size: usize,
}

impl ExamplePack {
    /// The pack as an artifact's bytes.
    pub fn encode(&self, limits: &ExampleLimits) -> Result<Bytes> {
        let entries = self.examples.iter().map(|example| Entry {
            name: example.name.clone(),
            content_type: example.content_type.clone(),
            header_length: example.header_length,
            input_bytes: example.input.len(),
            label: example.label.clone(),
            outputs: example.outputs.iter().map(describe).collect(),
        });
        let header = Header {
            examples: entries.collect(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| {
            Error::with_source(
                ErrorKind::InvalidExamples,
                "the examples can't be written",
                error,
            )
        })?;
        let parts = || {
            self.examples.iter().flat_map(|example| {
                let outputs = example.outputs.iter().map(|output| output.tensor.data());
                std::iter::once(&example.input).chain(outputs)
            })
        };
        let size = PREFIX + header.len() + parts().map(Bytes::len).sum::<usize>();
        check("examples", self.examples.len(), limits.examples)?;
        check("bytes of header", header.len(), limits.header_bytes)?;
        check("bytes", size, limits.pack_bytes)?;

        let mut pack = BytesMut::with_capacity(size);
        pack.put_u64_le(header.len() as u64);
        pack.put_slice(&header);
        for part in parts() {
            pack.put_slice(part);
        }
        Ok(pack.freeze())
    }

    /// Reads an artifact's bytes. Inputs and outputs are slices of them, not copies.
    pub fn decode(pack: &Bytes, limits: &ExampleLimits) -> Result<Self> {
        check("bytes", pack.len(), limits.pack_bytes)?;
        let mut rest = pack.clone();
        let prefix = take(&mut rest, PREFIX, "the header's length")?;
        let length = prefix
            .iter()
            .rev()
            .fold(0u64, |length, byte| length << 8 | u64::from(*byte));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        check("bytes of header", length, limits.header_bytes)?;
        let header = take(&mut rest, length, "the header")?;
        let header: Header = serde_json::from_slice(&header).map_err(|error| {
            Error::with_source(
                ErrorKind::InvalidExamples,
                "the header of the examples can't be read",
                error,
            )
        })?;
        check("examples", header.examples.len(), limits.examples)?;

        let mut examples = Vec::with_capacity(header.examples.len());
        for entry in header.examples {
            let input = take(&mut rest, entry.input_bytes, &entry.name)?;
            let mut outputs = Vec::with_capacity(entry.outputs.len());
            for output in entry.outputs {
                let data = take(&mut rest, output.binary_data_size, &entry.name)?;
                let tensor = Tensor::new(output.datatype, output.shape, data).map_err(|error| {
                    Error::with_source(
                        ErrorKind::InvalidExamples,
                        format!(
                            "example {:?}: output {:?} is no tensor",
                            entry.name, output.name
                        ),
                        error,
                    )
                })?;
                outputs.push(NamedTensor {
                    name: output.name,
                    tensor,
                });
            }
            examples.push(Example {
                name: entry.name,
                content_type: entry.content_type,
                header_length: entry.header_length,
                label: entry.label,
                input,
                outputs,
            });
        }
        if rest.is_empty() {
            return Ok(Self { examples });
        }
        let message = format!(
            "the examples have {} bytes more than their header says",
            rest.len()
        );
        Err(Error::new(ErrorKind::InvalidExamples, message))
    }
}

fn describe(output: &NamedTensor) -> Output {
    Output {
        name: output.name.clone(),
        datatype: output.tensor.datatype(),
        shape: output.tensor.shape().to_vec(),
        binary_data_size: output.tensor.data().len(),
    }
}

fn take(rest: &mut Bytes, length: usize, of: &str) -> Result<Bytes> {
    if length > rest.len() {
        let message = format!(
            "the examples end in {of:?}: want {length} bytes, {} are left",
            rest.len()
        );
        return Err(Error::new(ErrorKind::InvalidExamples, message));
    }
    Ok(rest.split_to(length))
}

fn check(what: &str, got: usize, limit: usize) -> Result<()> {
    if got <= limit {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!("the examples have {got} {what}, at most {limit} are allowed"),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> impl Strategy<Value = Example> {
        let output = (
            "[a-z:/0-9]{1,12}",
            proptest::collection::vec(
                any::<f32>().prop_filter("comparable", |x| !x.is_nan()),
                1..9,
            ),
        )
            .prop_map(|(name, values)| NamedTensor {
                name,
                tensor: Tensor::from_vec(vec![1, values.len()], values).unwrap(),
            });
        (
            ".{0,12}",
            proptest::option::of("[a-z]{1,8}/[a-z]{1,8}"),
            proptest::option::of(0usize..100),
            proptest::option::of(".{0,5}"),
            proptest::collection::vec(any::<u8>(), 0..64),
            proptest::collection::vec(output, 0..3),
        )
            .prop_map(
                |(name, content_type, header_length, label, input, outputs)| Example {
                    name,
                    content_type,
                    header_length,
                    label,
                    input: input.into(),
                    outputs,
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(examples in proptest::collection::vec(example(), 0..4)) {
            let (pack, limits) = (ExamplePack { examples }, ExampleLimits::default());
            let bytes = pack.encode(&limits).unwrap();
            prop_assert_eq!(ExamplePack::decode(&bytes, &limits).unwrap(), pack);
        }

        #[test]
        fn cut_or_lengthened_is_refused(example in example(), cut in any::<prop::sample::Index>()) {
            let (pack, limits) = (ExamplePack { examples: vec![example] }, ExampleLimits::default());
            let bytes = pack.encode(&limits).unwrap();
            prop_assert!(ExamplePack::decode(&bytes.slice(..cut.index(bytes.len())), &limits).is_err());
            let longer = [&bytes[..], &[0]].concat().into();
            prop_assert!(ExamplePack::decode(&longer, &limits).is_err());
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let framed = [&(noise.len() as u64 / 2).to_le_bytes()[..], &noise].concat();
            let _ = ExamplePack::decode(&noise.into(), &ExampleLimits::default());
            let _ = ExamplePack::decode(&framed.into(), &ExampleLimits::default());
        }
    }

    #[test]
    fn hostile_headers() {
        let with_header = |header: &str| {
            let mut pack = (header.len() as u64).to_le_bytes().to_vec();
            pack.extend_from_slice(header.as_bytes());
            Bytes::from(pack)
        };
        let huge = u64::MAX;
        let shape = format!(
            r#"{{"examples":[{{"name":"a","input_bytes":0,"outputs":[{{"name":"o","datatype":"FP32","shape":[{huge},{huge}],"binary_data_size":0}}]}}]}}"#
        );
        let cases = [
            Bytes::from(u64::MAX.to_le_bytes().to_vec()),
            with_header("[]"),
            with_header(
                r#"{"examples":[{"name":"a","input_bytes":18446744073709551615,"outputs":[]}]}"#,
            ),
            with_header(&shape),
        ];
        for case in cases {
            assert!(ExamplePack::decode(&case, &ExampleLimits::default()).is_err());
        }
        let few = ExampleLimits {
            examples: 0,
            ..ExampleLimits::default()
        };
        let one = with_header(r#"{"examples":[{"name":"a","input_bytes":0,"outputs":[]}]}"#);
        assert_eq!(
            ExamplePack::decode(&one, &few).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
    }
}
