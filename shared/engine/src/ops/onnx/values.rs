//! Values of tensors as plain lists, and where an element of them lies.

use tract_onnx::tract_hir::internal::{Datum, DatumType, Tensor, TractResult, ensure, tensor1};

/// The values of a tensor of numbers, widened.
pub(crate) fn reals(tensor: &Tensor) -> TractResult<Vec<f64>> {
    let tensor = tensor.cast_to::<f64>()?;
    Ok(tensor.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
}

/// A tensor of a datatype from widened values.
pub(crate) fn from_reals(
    shape: &[usize],
    values: &[f64],
    datatype: DatumType,
) -> TractResult<Tensor> {
    let tensor = Tensor::from_shape(shape, values)?;
    Ok(tensor.cast_to_dt(datatype)?.into_owned())
}

/// The distance between neighbours along each axis of a contiguous tensor.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// All indices into a shape, the last axis fastest.
pub(crate) fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let shape = shape.to_vec();
    let count: usize = shape.iter().product();
    (0..count).map(move |flat| unravel(flat, &shape))
}

/// The index of the element at a place in a contiguous tensor.
pub(crate) fn unravel(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        index[axis] = flat % shape[axis];
        flat /= shape[axis];
    }
    index
}

/// The place of an index in a contiguous tensor.
pub(crate) fn ravel(index: &[usize], shape: &[usize]) -> usize {
    let step = |place, (&at, &dim): (&usize, &usize)| place * dim + at;
    index.iter().zip(shape).fold(0, step)
}

/// Copies elements of any datatype: output element `i` is input element `from(i)`.
pub(crate) fn gather(
    tensor: &Tensor,
    shape: &[usize],
    mut from: impl FnMut(usize) -> usize,
) -> TractResult<Tensor> {
    if tensor.datum_type() == String::datum_type() {
        let view = tensor.try_as_plain_ram()?;
        let values = view.as_slice::<String>()?;
        let count: usize = shape.iter().product();
        let picked: Vec<String> = (0..count)
            .map(|place| values[from(place)].clone())
            .collect();
        return tensor1(&picked).into_shape(shape);
    }
    let size = tensor.datum_type().size_of();
    let bytes = tensor.as_bytes();
    let count: usize = shape.iter().product();
    let mut picked = Vec::with_capacity(count * size);
    for place in 0..count {
        let at = from(place) * size;
        picked.extend_from_slice(&bytes[at..at + size]);
    }
    raw(tensor.datum_type(), shape, &picked)
}

/// A tensor over a copy of these bytes.
pub(crate) fn raw(datatype: DatumType, shape: &[usize], bytes: &[u8]) -> TractResult<Tensor> {
    let mut tensor = Tensor::zero_dt(datatype, shape)?;
    let place = tensor.as_bytes_mut();
    ensure!(
        place.len() == bytes.len(),
        "{} bytes for {datatype:?} of shape {shape:?}",
        bytes.len()
    );
    place.copy_from_slice(bytes);
    Ok(tensor)
}
