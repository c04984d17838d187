//! Arithmetic of integers and matrices that no other operator says: `BitShift`, Det.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, Tensor, TractErrorContext, TractResult, bail, ensure, tensor1,
};

use super::kernel::Kernel;
use super::ports::{Given, Port};
use super::values::{from_reals, ravel, reals, unravel};

/// `x << y` or `x >> y`; a shift by the width and more, or by a negative amount, leaves nothing of
/// `x` but, to the right, its sign.
#[derive(Debug)]
pub(crate) struct BitShift {
    left: bool,
}

impl BitShift {
    pub(crate) fn parse(node: &NodeProto) -> TractResult<Self> {
        let direction: String = node.get_attr("direction")?;
        ensure!(
            direction == "LEFT" || direction == "RIGHT",
            "direction {direction} is unknown"
        );
        Ok(Self {
            left: direction == "LEFT",
        })
    }

    fn shift<T>(&self, x: &Tensor, y: &Tensor, shape: &[usize], bits: u32) -> TractResult<Tensor>
    where
        T: Datum + Copy + TryInto<i128> + TryFrom<i128>,
    {
        let (x_shape, y_shape) = (x.shape(), y.shape());
        let (x, y) = (x.try_as_plain_ram()?, y.try_as_plain_ram()?);
        let (x, y) = (x.as_slice::<T>()?, y.as_slice::<T>()?);
        let wide = |value: T| value.try_into().ok().context("a number out of range");
        let mut shifted = Vec::with_capacity(shape.iter().product());
        for place in 0..shape.iter().product() {
            let index = unravel(place, shape);
            let x = wide(x[spread(&index, x_shape)])?;
            let by = u32::try_from(wide(y[spread(&index, y_shape)])?)
                .ok()
                .filter(|&by| by < bits);
            let wanted: i128 = match by {
                Some(by) if self.left => cut(x << by, bits, T::datum_type().is_signed()),
                Some(by) => x >> by,
                None if !self.left && x < 0 => -1,
                None => 0,
            };
            shifted.push(T::try_from(wanted).ok().context("a number out of range")?);
        }
        tensor1(&shifted).into_shape(shape)
    }
}

/// The lowest bits of a number, as a signed or an unsigned one.
fn cut(value: i128, bits: u32, signed: bool) -> i128 {
    let low = value & ((1 << bits) - 1);
    if signed && low >> (bits - 1) == 1 {
        low - (1 << bits)
    } else {
        low
    }
}

/// Where an index falls in a shape that is spread to its own.
fn spread(index: &[usize], shape: &[usize]) -> usize {
    let index = &index[index.len() - shape.len()..];
    let inside: Vec<usize> = index
        .iter()
        .zip(shape)
        .map(|(&at, &dim)| if dim == 1 { 0 } else { at })
        .collect();
    ravel(&inside, shape)
}

/// The shape that both spread to.
fn broadcast(a: &[usize], b: &[usize]) -> TractResult<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[usize], axis: usize| {
        let missing = rank - shape.len();
        if axis < missing {
            1
        } else {
            shape[axis - missing]
        }
    };
    (0..rank)
        .map(|axis| match (dim(a, axis), dim(b, axis)) {
            (a, b) if a == b || b == 1 => Ok(a),
            (1, b) => Ok(b),
            _ => bail!("shapes {a:?} and {b:?} do not go together"),
        })
        .collect()
}

impl Kernel for BitShift {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let (x, y) = (inputs.need(0)?, inputs.need(1)?);
        ensure!(
            x.datatype == y.datatype && x.datatype.is_integer(),
            "{:?} by {:?}",
            x.datatype,
            y.datatype
        );
        Ok(vec![(x.datatype, broadcast(&x.shape, &y.shape)?)])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let (x, y) = (inputs.need(0)?, inputs.need(1)?);
        let shape = broadcast(x.shape(), y.shape())?;
        let shifted = match x.datum_type() {
            DatumType::U8 => self.shift::<u8>(x, y, &shape, 8),
            DatumType::U16 => self.shift::<u16>(x, y, &shape, 16),
            DatumType::U32 => self.shift::<u32>(x, y, &shape, 32),
            DatumType::U64 => self.shift::<u64>(x, y, &shape, 64),
            DatumType::I8 => self.shift::<i8>(x, y, &shape, 8),
            DatumType::I16 => self.shift::<i16>(x, y, &shape, 16),
            DatumType::I32 => self.shift::<i32>(x, y, &shape, 32),
            DatumType::I64 => self.shift::<i64>(x, y, &shape, 64),
            other => bail!("a shift of {other:?}"),
        };
        Ok(vec![shifted?])
    }
}

/// Determinants of square matrices, by elimination: `[…, n, n]` to `[…]`.
#[derive(Debug)]
pub(crate) struct Det;

impl Kernel for Det {
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
        let x = inputs.need(0)?;
        let rank = x.rank();
        ensure!(
            rank >= 2 && x.shape[rank - 1] == x.shape[rank - 2] && x.datatype.is_float(),
            "matrices of shape {:?}",
            x.shape
        );
        Ok(vec![(x.datatype, x.shape[..rank - 2].to_vec())])
    }

    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>> {
        let x = inputs.need(0)?;
        let (outer, matrix) = x.shape().split_at(x.rank() - 2);
        let size = matrix[0];
        let mut values = reals(x)?;
        let mut determinants = vec![1.0; outer.iter().product()];
        if size > 0 {
            for (matrix, determinant) in values.chunks_exact_mut(size * size).zip(&mut determinants)
            {
                *determinant = eliminate(matrix, size);
            }
        }
        Ok(vec![from_reals(outer, &determinants, x.datum_type())?])
    }
}

/// The determinant of a matrix, which is spent.
fn eliminate(matrix: &mut [f64], size: usize) -> f64 {
    let mut determinant = 1.0;
    for column in 0..size {
        let rows = column..size;
        let largest = |&a: &usize, &b: &usize| {
            let magnitude = |row: usize| matrix[row * size + column].abs();
            magnitude(a).total_cmp(&magnitude(b))
        };
        let Some(pivot) = rows.max_by(largest) else {
            break;
        };
        if pivot != column {
            for at in 0..size {
                matrix.swap(pivot * size + at, column * size + at);
            }
            determinant = -determinant;
        }
        let head = matrix[column * size + column];
        determinant *= head;
        if head == 0.0 {
            return 0.0;
        }
        for row in column + 1..size {
            let factor = matrix[row * size + column] / head;
            for at in column..size {
                matrix[row * size + at] -= factor * matrix[column * size + at];
            }
        }
    }
    determinant
}
