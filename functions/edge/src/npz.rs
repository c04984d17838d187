//! Tensors in files: the archives that `numpy.savez` writes.

use std::fs::File;
use std::io::{BufWriter, Read, Write as _};
use std::path::Path;

use dunlin_protocol::{Datatype, NamedTensor, Tensor};
use npyz::{DType, NpyHeader, Order};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::exit::{Exit, Failure};

/// Bytes that one array may have.
const ARRAY_LIMIT: u64 = 2 << 30;

/// The arrays of an `.npz` file.
pub(crate) fn read(path: &Path) -> Result<Vec<NamedTensor>, Failure> {
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

/// Writes tensors as `numpy.savez` does, without compression.
pub(crate) fn write(path: &Path, tensors: &[NamedTensor]) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("{} can't be written: {error}", path.display()))
    };
    let file = File::create(path).map_err(|error| failed(&error))?;
    let mut archive = zip::ZipWriter::new(BufWriter::new(file));
    // An array over 4 GiB needs the larger form of an entry.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(true);
    for NamedTensor { name, tensor } in tensors {
        let header = header(tensor).ok_or_else(|| {
            failed(&format!(
                "numpy has no type for \"{name}\", {}",
                tensor.datatype()
            ))
        })?;
        archive
            .start_file(npyz::npz::file_name_from_array_name(name), options)
            .map_err(|error| failed(&error))?;
        archive
            .write_all(&header)
            .and_then(|()| archive.write_all(tensor.data()))
            .map_err(|error| failed(&error))?;
    }
    let mut file = archive.finish().map_err(|error| failed(&error))?;
    file.flush().map_err(|error| failed(&error))
}

/// What stands before an array's bytes in the `.npy` format, version 1.0; nothing for a type that numpy lacks.
fn header(tensor: &Tensor) -> Option<Vec<u8>> {
    let sizes: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
    // As a tuple of Python's: one size alone needs its comma.
    let shape = match sizes.as_slice() {
        [one] => format!("({one},)"),
        sizes => format!("({})", sizes.join(", ")),
    };
    let descr = descr(tensor.datatype())?;
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, version and length take 10 bytes; the whole is a multiple of 64 and ends with a newline.
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(u16::try_from(length).ok()?.to_le_bytes());
    header.extend(format!("{text:<width$}\n", width = length - 1).into_bytes());
    Some(header)
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

/// Numpy's types and ours, both little-endian.
const TYPES: [(&str, Datatype); 12] = [
    ("|b1", Datatype::Bool),
    ("|u1", Datatype::Uint8),
    ("<u2", Datatype::Uint16),
    ("<u4", Datatype::Uint32),
    ("<u8", Datatype::Uint64),
    ("|i1", Datatype::Int8),
    ("<i2", Datatype::Int16),
    ("<i4", Datatype::Int32),
    ("<i8", Datatype::Int64),
    ("<f2", Datatype::Fp16),
    ("<f4", Datatype::Fp32),
    ("<f8", Datatype::Fp64),
];

fn datatype(dtype: &DType) -> Result<Datatype, String> {
    let descr = dtype.descr();
    let descr = descr.trim_matches('\'');
    let known = TYPES.iter().find(|(known, _)| *known == descr);
    known
        .map(|(_, datatype)| *datatype)
        .ok_or_else(|| format!("is of type {descr}; little-endian numbers and bool are read"))
}

fn descr(datatype: Datatype) -> Option<&'static str> {
    let known = TYPES.iter().find(|(_, known)| *known == datatype);
    known.map(|(descr, _)| *descr)
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
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("arrays.npz");
        let bytes: Vec<u8> = (0..24).collect();
        let tensors: Vec<NamedTensor> = [vec![], vec![3], vec![3, 1], vec![1; 40]]
            .into_iter()
            .flat_map(|shape: Vec<usize>| TYPES.map(|(_, datatype)| (datatype, shape.clone())))
            .map(|(datatype, shape)| {
                let count = shape.iter().product::<usize>();
                let size = count * datatype.size().expect("a number");
                // Any byte is a number, but only two are truth values.
                let data = match datatype {
                    Datatype::Bool => vec![1; size],
                    _ => bytes[..size].to_vec(),
                };
                let name = format!("{datatype}/{shape:?}:0");
                let tensor = Tensor::new(datatype, shape, data.into()).expect("a tensor");
                NamedTensor::new(name, tensor)
            })
            .collect();
        write(&path, &tensors).expect("an archive");
        assert_eq!(read(&path).expect("the same archive"), tensors);
    }
}
