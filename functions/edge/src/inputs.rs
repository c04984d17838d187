//! Inputs for `bench`: from an archive of numpy's, or random ones of a given shape.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use dunlin_protocol::{Datatype, NamedTensor, Tensor, TensorMetadata};
use npyz::{DType, NpyHeader, Order};

use crate::exit::{Exit, Failure};

/// Random inputs are the same in every run.
const SEED: u64 = 1;

/// Bytes that one array may have.
const ARRAY_LIMIT: u64 = 2 << 30;

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

/// The arrays of an `.npz` file.
pub(crate) fn read_npz(path: &Path) -> Result<Vec<NamedTensor>, Failure> {
    let bad = |why: String| {
        Exit::Invalid.failure(format!(
            "{} is not an archive as numpy.savez writes it: {why}",
            path.display()
        ))
    };
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| bad(error.to_string()))?;
    (0..archive.len())
        .map(|index| {
            let mut entry = archive
                .by_index(index)
                .map_err(|error| bad(error.to_string()))?;
            let name = entry
                .name()
                .map_err(|error| bad(error.to_string()))?
                .into_owned();
            let Some(name) = npyz::npz::array_name_from_file_name(&name) else {
                return Err(bad(format!("{name} is no .npy file")));
            };
            let tensor =
                read_npy(&mut entry).map_err(|why| bad(format!("array \"{name}\": {why}")))?;
            Ok(NamedTensor::new(name, tensor))
        })
        .collect()
}

/// One array: numpy's little-endian bytes are a tensor's.
fn read_npy(reader: &mut impl Read) -> Result<Tensor, String> {
    let header = NpyHeader::from_reader(&mut *reader).map_err(|error| error.to_string())?;
    let datatype = datatype(&header.dtype())?;
    if header.order() == Order::Fortran && header.shape().len() > 1 {
        return Err("is in Fortran order; save numpy.ascontiguousarray of it".to_owned());
    }
    let shape: Vec<usize> = header.shape().iter().map(|&size| size as usize).collect();
    let mut data = Vec::new();
    reader
        .take(ARRAY_LIMIT + 1)
        .read_to_end(&mut data)
        .map_err(|error| error.to_string())?;
    if data.len() as u64 > ARRAY_LIMIT {
        return Err(format!("has more than {ARRAY_LIMIT} bytes"));
    }
    Tensor::new(datatype, shape, data.into()).map_err(|error| error.to_string())
}

fn datatype(dtype: &DType) -> Result<Datatype, String> {
    Ok(match dtype.descr().trim_matches('\'') {
        "|b1" => Datatype::Bool,
        "|u1" => Datatype::Uint8,
        "<u2" => Datatype::Uint16,
        "<u4" => Datatype::Uint32,
        "<u8" => Datatype::Uint64,
        "|i1" => Datatype::Int8,
        "<i2" => Datatype::Int16,
        "<i4" => Datatype::Int32,
        "<i8" => Datatype::Int64,
        "<f2" => Datatype::Fp16,
        "<f4" => Datatype::Fp32,
        "<f8" => Datatype::Fp64,
        other => {
            return Err(format!(
                "is of type {other}; little-endian numbers and bool are read"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `.npy` file as numpy writes it: magic, version, length, description, bytes.
    fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        let padded = format!("{header:<117}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((padded.len() as u16).to_le_bytes());
        file.extend(padded.as_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn arrays_are_read_as_they_are() {
        let file = npy("<i2", "False", "(1, 3)", &[1, 0, 2, 0, 255, 255]);
        let tensor = read_npy(&mut file.as_slice()).expect("a good array");
        assert_eq!(
            (tensor.shape(), tensor.to_vec::<i16>().expect("INT16")),
            (&[1, 3][..], vec![1, 2, -1])
        );
        let scalar = npy("|b1", "False", "()", &[1]);
        assert_eq!(
            read_npy(&mut scalar.as_slice())
                .expect("a scalar")
                .datatype(),
            Datatype::Bool
        );
    }

    #[test]
    fn what_is_not_an_array_of_ours_is_told() {
        let cases: [(Vec<u8>, &str); 5] = [
            (b"hello".to_vec(), ""),
            (npy(">f4", "False", "(1,)", &[0; 4]), ">f4"),
            (npy("<U3", "False", "(1,)", &[0; 12]), "<U3"),
            (npy("<f4", "True", "(2, 2)", &[0; 16]), "ascontiguousarray"),
            (npy("<f4", "False", "(2, 2)", &[0; 15]), "16"),
        ];
        for (file, wanted) in cases {
            let error = read_npy(&mut file.as_slice()).expect_err("no good array");
            assert!(error.contains(wanted), "{error}");
        }
    }

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
