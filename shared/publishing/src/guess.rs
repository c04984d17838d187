//! What a graph says of itself, where nobody declared it.
//!
//! A guess fills a word for people. It never makes a transform: how pixels become numbers can't be
//! seen in a graph, and a wrong guess gives wrong answers with a straight face.

use dunlin_protocol::{Datatype, TensorMetadata};

/// The task that these inputs and outputs look like, and why.
pub(crate) fn task(
    inputs: &[TensorMetadata],
    outputs: &[TensorMetadata],
) -> Option<(&'static str, String)> {
    let ([input], [output]) = (inputs, outputs) else {
        return None;
    };
    let scores = matches!(
        output.datatype,
        Datatype::Fp32 | Datatype::Fp16 | Datatype::Bf16
    );
    let classes = matches!(output.shape[..], [_, classes] if classes > 1);
    if !(scores && classes && is_picture(input)) {
        return None;
    }
    let why = format!(
        "one picture-like input \"{}\" {:?} and one output \"{}\" {:?} with a score a class",
        input.name, input.shape, output.name, output.shape
    );
    Some(("image-classification", why))
}

/// `[N, C, H, W]` or `[N, H, W, C]` with 1 or 3 channels.
pub(crate) fn is_picture(input: &TensorMetadata) -> bool {
    let numbers = matches!(
        input.datatype,
        Datatype::Fp32 | Datatype::Fp16 | Datatype::Bf16 | Datatype::Uint8
    );
    let channels = |size: i64| size == 1 || size == 3;
    let side = |size: i64| !(0..8).contains(&size);
    numbers
        && match input.shape[..] {
            [_, a, b, c] => {
                (channels(a) && side(b) && side(c)) || (side(a) && side(b) && channels(c))
            }
            _ => false,
        }
}

/// Ids of tokens, by the name that exporters of Hugging Face's models give them.
pub(crate) fn is_text(input: &TensorMetadata) -> bool {
    input.name == "input_ids" && matches!(input.datatype, Datatype::Int64 | Datatype::Int32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[i64]) -> Vec<TensorMetadata> {
        vec![TensorMetadata {
            name: "x".into(),
            datatype: Datatype::Fp32,
            shape: shape.to_vec(),
        }]
    }

    #[test]
    fn tasks() {
        let cases: [(&[i64], &[i64], bool); 8] = [
            (&[1, 3, 224, 224], &[1, 1000], true),
            (&[-1, 1, 28, 28], &[-1, 10], true),
            (&[-1, 224, 224, 3], &[-1, 1000], true),
            (&[-1, 3, -1, -1], &[-1, 2], true),
            (&[1, 3, 224, 224], &[1, 1], false),
            (&[1, 3, 640, 640], &[1, 84, 8400], false),
            (&[1, 128], &[1, 10], false),
            (&[1, 64, 12, 12], &[1, 10], false),
        ];
        for (input, output, want) in cases {
            assert_eq!(
                task(&tensor(input), &tensor(output)).is_some(),
                want,
                "{input:?} {output:?}"
            );
        }
        let two = [tensor(&[1, 3, 8, 8]), tensor(&[1, 3, 8, 8])].concat();
        assert!(task(&two, &tensor(&[1, 10])).is_none());
    }
}
