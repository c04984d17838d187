//! Random inputs for `bench`, of the shapes that the command line gives.

use std::str::FromStr;

use dunlin_protocol::{NamedTensor, TensorMetadata};

use crate::exit::{Exit, Failure};

/// Random inputs are the same in every run.
const SEED: u64 = 1;

/// `NAME=N,N,…` of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedShape {
    name: String,
    shape: Vec<i64>,
}

impl FromStr for NamedShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("'{text}' is not NAME=N,N,… as in image=1,3,224,224");
        let (name, sizes) = text.rsplit_once('=').ok_or_else(wanted)?;
        let shape = sizes
            .split(',')
            .filter(|size| !size.is_empty())
            .map(|size| {
                size.trim()
                    .parse::<u32>()
                    .map(i64::from)
                    .map_err(|_| wanted())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            shape,
        })
    }
}

/// Random inputs for these tensors; dynamic dimensions that `shapes` doesn't set are 1.
pub(crate) fn random(
    inputs: &[TensorMetadata],
    shapes: &[NamedShape],
) -> Result<Vec<NamedTensor>, Failure> {
    let mut inputs = inputs.to_vec();
    for given in shapes {
        let Some(input) = inputs.iter_mut().find(|input| input.name == given.name) else {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(Exit::Usage.failure(format!(
                "--shape names \"{}\"; the model's inputs are: {}",
                given.name,
                names.join(", ")
            )));
        };
        input.shape.clone_from(&given.shape);
    }
    Ok(dunlin_publishing::seeded_inputs(&inputs, 1, SEED)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_from_text() {
        let shape: NamedShape = "image:0=1,3,8".parse().expect("a shape");
        assert_eq!(
            shape,
            NamedShape {
                name: "image:0".into(),
                shape: vec![1, 3, 8]
            }
        );
        for bad in ["image", "image=a", "image=-1,3"] {
            assert!(bad.parse::<NamedShape>().is_err(), "{bad}");
        }
    }
}
