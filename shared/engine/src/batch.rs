//! Batches: run whole, or in parts of the size that was measured to be fastest.
//!
//! With tract 0.23.9 a batch is often dearer than its items one by one, and for small models much
//! cheaper. So the first batch is a trial: its first two items run one by one and together. Where
//! both give the same answer, parts are allowed, and the faster way stays; where two together were
//! faster, later batches try four, and so on. Where the answers differ (the items of a batch see
//! one another, or the first dimension is no batch), every batch runs whole.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dunlin_protocol::{Datatype, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::plan_file::Batches;

/// Timed rounds of a trial; the fastest counts. A trial longer than [`LONG`] has one round.
const ROUNDS: usize = 3;
const LONG: Duration = Duration::from_millis(100);

/// A larger part must be that much faster: it costs a plan of its own.
const CLEARLY: f64 = 0.95;

/// Runs some inputs whole.
pub(crate) type Run<'a> = dyn FnMut(&[Tensor]) -> Result<Vec<Tensor>> + 'a;

/// What is known about the batches of one model.
#[derive(Debug, Default)]
pub(crate) struct Batching {
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Known {
    /// No batch came so far that could tell.
    #[default]
    Nothing,
    /// Parts give the same answer as the whole, and parts of this size are the fastest so far.
    Parts { size: usize, settled: bool },
    /// A batch has to run whole.
    Whole,
}

impl Batching {
    /// What a plan tells of batches.
    pub(crate) fn of(batches: Batches) -> Self {
        let known = match batches {
            Batches::Unknown => Known::Nothing,
            Batches::Whole => Known::Whole,
            Batches::Parts(size) => Known::Parts {
                size: (size as usize).max(1),
                settled: true,
            },
        };
        Self {
            known: Mutex::new(known),
        }
    }

    /// What was found out so far, for a plan.
    pub(crate) fn known(&self) -> Batches {
        match *self.known.lock().unwrap_or_else(PoisonError::into_inner) {
            Known::Nothing => Batches::Unknown,
            Known::Whole => Batches::Whole,
            Known::Parts { size, .. } => Batches::Parts(size as u32),
        }
    }

    /// Runs a batch of `len` items, in parts where that is right and faster. Who comes during a
    /// trial waits for it, as one waits for a plan. `drop_plan` hears of inputs whose plan is of
    /// no further use.
    pub(crate) fn run(
        &self,
        inputs: &[Tensor],
        len: usize,
        run: &mut Run,
        drop_plan: &dyn Fn(&[Tensor]),
    ) -> Result<Vec<Tensor>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(size) = known.next_trial(len) {
            let Some(verdict) = trial(inputs, size, run, drop_plan)? else {
                break;
            };
            *known = match verdict {
                Verdict::Differ if size > 1 => Known::Parts {
                    size,
                    settled: true,
                },
                Verdict::Differ => Known::Whole,
                Verdict::Parts => Known::Parts {
                    size,
                    settled: true,
                },
                Verdict::Together => Known::Parts {
                    size: size * 2,
                    settled: false,
                },
            };
        }
        let now = *known;
        drop(known);
        match now {
            Known::Parts { size, .. } if size < len => in_parts(inputs, len, size, run),
            Known::Parts { size, .. } if !len.is_power_of_two() => in_parts(inputs, len, size, run),
            _ => run(inputs),
        }
    }
}

impl Known {
    /// The part size whose double should be tried on a batch of `len`.
    fn next_trial(self, len: usize) -> Option<usize> {
        let size = match self {
            Self::Nothing => 1,
            Self::Parts {
                size,
                settled: false,
            } => size,
            Self::Parts { .. } | Self::Whole => return None,
        };
        (size * 2 <= len).then_some(size)
    }
}

/// What came of two parts against their whole.
enum Verdict {
    Differ,
    Parts,
    Together,
}

/// Tries two parts of `size` items against the whole of both.
/// Nothing where the parts are the same items: that would show nothing.
fn trial(
    inputs: &[Tensor],
    size: usize,
    run: &mut Run,
    drop_plan: &dyn Fn(&[Tensor]),
) -> Result<Option<Verdict>> {
    let first = items(inputs, 0, size)?;
    let second = items(inputs, size, size)?;
    let both = items(inputs, 0, 2 * size)?;
    if first == second {
        return Ok(None);
    }
    // The first runs make the plans; they are for the answers, not for the clock.
    let parts = [run(&first)?, run(&second)?];
    let Ok(whole) = run(&both) else {
        return Ok(Some(Verdict::Differ));
    };
    if !agree(&parts, &whole, size) {
        return Ok(Some(Verdict::Differ));
    }
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let start = Instant::now();
        run(&first)?;
        run(&second)?;
        let middle = Instant::now();
        run(&both)?;
        let took = [middle - start, middle.elapsed()];
        fastest = [fastest[0].min(took[0]), fastest[1].min(took[1])];
        if took[0] + took[1] > LONG {
            break;
        }
    }
    let [parts, together] = fastest;
    tracing::debug!(items = 2 * size, ?parts, ?together, "batch measured");
    if together < parts.mul_f64(CLEARLY) {
        return Ok(Some(Verdict::Together));
    }
    drop_plan(&both);
    Ok(Some(Verdict::Parts))
}

/// Whether the whole has the items of the parts, in order and value.
fn agree(parts: &[Vec<Tensor>; 2], whole: &[Tensor], size: usize) -> bool {
    whole.iter().enumerate().all(|(index, whole)| {
        let parts = [&parts[0][index], &parts[1][index]];
        let rows = |tensor: &Tensor| tensor.shape().first().copied();
        let rest = |tensor: &Tensor| tensor.shape().get(1..).map(<[usize]>::to_vec);
        rows(whole) == Some(2 * size)
            && parts.iter().all(|part| {
                rows(part) == Some(size)
                    && rest(part) == rest(whole)
                    && part.datatype() == whole.datatype()
            })
            && joined(&parts, size).is_ok_and(|joined| close(&joined, whole))
    })
}

/// Two parts of `size` items as one tensor.
fn joined(parts: &[&Tensor; 2], size: usize) -> Result<Tensor> {
    let mut joined = Joined::new(parts[0], size, 2 * size)?;
    for part in parts {
        joined.extend(part);
    }
    joined.done()
}

/// Whether two tensors of one datatype and shape hold the same numbers, but for the rounding of
/// sums taken in another order.
pub(crate) fn close(a: &Tensor, b: &Tensor) -> bool {
    fn floats(tensor: &Tensor) -> Option<(Vec<f64>, f64)> {
        Some(match tensor.datatype() {
            Datatype::Fp16 => (
                tensor
                    .to_vec::<half::f16>()
                    .ok()?
                    .into_iter()
                    .map(f64::from)
                    .collect(),
                1e-2,
            ),
            Datatype::Fp32 => (
                tensor
                    .to_vec::<f32>()
                    .ok()?
                    .into_iter()
                    .map(f64::from)
                    .collect(),
                1e-4,
            ),
            Datatype::Fp64 => (tensor.to_vec::<f64>().ok()?, 1e-9),
            _ => return None,
        })
    }
    let (Some((a_values, tolerance)), Some((b_values, _))) = (floats(a), floats(b)) else {
        return a.data() == b.data();
    };
    let finite = a_values.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0_f64, |largest, value| largest.max(value.abs()));
    a_values.iter().zip(&b_values).all(|(a, b)| {
        a.to_bits() == b.to_bits()
            || (a - b).abs() <= tolerance * largest
            || a.is_nan() && b.is_nan()
    })
}

/// Runs a batch in parts of `size`, and what is left in smaller powers of two: their plans are
/// few, and each was measured to be faster than its halves.
fn in_parts(inputs: &[Tensor], len: usize, size: usize, run: &mut Run) -> Result<Vec<Tensor>> {
    let mut whole = Vec::new();
    let mut at = 0;
    while at < len {
        let left = len - at;
        let part = if left >= size {
            size
        } else {
            1 << left.ilog2()
        };
        let outputs = run(&items(inputs, at, part)?)?;
        if at == 0 {
            let room = outputs.iter().map(|first| Joined::new(first, part, len));
            whole = room.collect::<Result<Vec<_>>>()?;
        }
        // Each part's memory is free, and in the cache, for the next one.
        for (whole, output) in whole.iter_mut().zip(&outputs) {
            whole.extend(output);
        }
        at += part;
    }
    whole.into_iter().map(Joined::done).collect()
}

/// The items `at..at + len` of each tensor, sharing their memory.
pub(crate) fn items(tensors: &[Tensor], at: usize, len: usize) -> Result<Vec<Tensor>> {
    let cut = |tensor: &Tensor| {
        let mut shape = tensor.shape().to_vec();
        let rows = shape.first_mut().filter(|rows| **rows > 0);
        let rows = rows.ok_or_else(|| Error::invalid_input("a batch without items"))?;
        let bytes = tensor.data().len() / *rows;
        *rows = len;
        let data = tensor.data().slice(at * bytes..(at + len) * bytes);
        Tensor::new(tensor.datatype(), shape, data)
            .map_err(|error| Error::invalid_input("the batch can't be split").caused_by(error))
    };
    tensors.iter().map(cut).collect()
}

/// A tensor of `len` items that parts of it are put into one after the other.
struct Joined {
    datatype: Datatype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Joined {
    /// Room for the whole of which a part has so many items; an error where there is none.
    fn new(part: &Tensor, items: usize, len: usize) -> Result<Self> {
        let mut shape = part.shape().to_vec();
        if let Some(rows) = shape.first_mut() {
            *rows = len;
        }
        let mut data = Vec::new();
        let bytes = (part.data().len() / items).saturating_mul(len);
        data.try_reserve_exact(bytes).map_err(|error| {
            let message = format!("an output of this batch would have {bytes} bytes");
            Error::new(ErrorKind::TooLarge, message).caused_by(error)
        })?;
        Ok(Self {
            datatype: part.datatype(),
            shape,
            data,
        })
    }

    fn extend(&mut self, part: &Tensor) {
        self.data.extend_from_slice(part.data());
    }

    fn done(self) -> Result<Tensor> {
        Tensor::new(self.datatype, self.shape, self.data.into()).map_err(|error| {
            let message = "the parts of a batch don't fit together";
            Error::new(ErrorKind::Failed, message).caused_by(error)
        })
    }
}
