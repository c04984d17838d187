//! What is known of an operator's inputs when a plan is made.

use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, TDim, Tensor, TractErrorContext, TractResult, TypedFact, ensure,
};

/// An input: its datatype, its shape, and its value where that is constant.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) datatype: DatumType,
    pub(crate) shape: Vec<usize>,
    pub(crate) value: Option<Arc<Tensor>>,
}

impl Port {
    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The index of an axis that may be counted from the end.
    pub(crate) fn axis(&self, axis: i64) -> TractResult<usize> {
        let rank = self.rank() as i64;
        let from_start = if axis < 0 { axis + rank } else { axis };
        ensure!(
            (0..rank.max(1)).contains(&from_start),
            "axis {axis} of {rank} dimensions"
        );
        Ok(from_start as usize)
    }

    /// The constant value as integers.
    pub(crate) fn ints(&self, name: &str) -> TractResult<Vec<i64>> {
        let value = self.value.as_ref();
        let value = value.with_context(|| format!("the input {name} must be a constant"))?;
        integers(value)
    }
}

/// A tensor's values as integers.
pub(crate) fn integers(tensor: &Tensor) -> TractResult<Vec<i64>> {
    let tensor = tensor.cast_to::<i64>()?;
    Ok(tensor.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
}

/// Inputs by their place in the operator's definition, with gaps where optional ones are not given.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Vec<Option<usize>>);

impl Slots {
    pub(crate) fn of(node: &NodeProto) -> Self {
        let mut count = 0;
        let slot = |name: &String| {
            (!name.is_empty()).then(|| {
                count += 1;
                count - 1
            })
        };
        Self(node.input.iter().map(slot).collect())
    }

    /// Puts what is given in its place.
    pub(crate) fn place<T: Clone>(&self, given: &[T]) -> Given<T> {
        let at = |slot: &Option<usize>| slot.and_then(|index| given.get(index).cloned());
        Given(self.0.iter().map(at).collect())
    }
}

/// What is given of an operator's inputs.
#[derive(Clone, Debug)]
pub(crate) struct Given<T>(Vec<Option<T>>);

impl<T> Given<T> {
    /// An optional input.
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index)?.as_ref()
    }

    /// A required input.
    pub(crate) fn need(&self, index: usize) -> TractResult<&T> {
        self.get(index)
            .with_context(|| format!("input {index} is missing"))
    }

    /// All that are given, with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let filled = |(index, slot): (usize, &'_ Option<T>)| slot.as_ref().map(|_| index);
        let indices: Vec<usize> = self.0.iter().enumerate().filter_map(filled).collect();
        indices
            .into_iter()
            .filter_map(|index| Some((index, self.get(index)?)))
    }
}

/// The port of a fact with concrete dimensions. Shapes that tract counts in symbols are integers.
pub(crate) fn port(fact: &TypedFact) -> TractResult<Port> {
    let shape = fact.shape.as_concrete();
    let shape = shape.with_context(|| format!("the shape {:?} is not known", fact.shape))?;
    let counted = fact.datum_type == TDim::datum_type();
    let value = match &fact.konst {
        Some(value) if counted => value
            .cast_to::<i64>()
            .ok()
            .map(std::borrow::Cow::into_owned),
        Some(value) => Some(Tensor::clone(value)),
        None => None,
    };
    Ok(Port {
        datatype: if counted {
            DatumType::I64
        } else {
            fact.datum_type
        },
        shape: shape.to_vec(),
        value: value.map(Arc::new),
    })
}
