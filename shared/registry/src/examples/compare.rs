//! When two runs agree.
//!
//! Floats agree where their distance is at most `absolute + relative × size`, where `size` is the
//! larger of the wanted value's magnitude and the root mean square of its tensor: the error of a
//! sum follows the size of its terms, so a value near zero among large ones is no more exact than
//! they are. FP32 and FP64 (the engine may compute in either) take 1e-4 relative and 1e-5
//! absolute; FP16 and BF16 a few of their own steps. All else must be equal. Two runs that agree
//! so have the same largest element, unless the wanted one was a tie within the tolerance.

use std::fmt;

use dunlin_protocol::{Datatype, Element, NamedTensor, Tensor};
use half::{bf16, f16};

/// How outputs differ from the ones wanted: the first output that does, and by how much.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// The output.
    pub output: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output \"{}\": {}", self.output, self.why)
    }
}

struct Tolerance {
    relative: f64,
    absolute: f64,
}

/// Compares outputs with the wanted ones, by name. Gives the largest absolute difference.
pub fn compare(wanted: &[NamedTensor], got: &[NamedTensor]) -> Result<f64, Mismatch> {
    let mut largest = 0f64;
    for want in wanted {
        let mismatch = |why| Mismatch {
            output: want.name.clone(),
            why,
        };
        let Some(got) = got.iter().find(|got| got.name == want.name) else {
            return Err(mismatch("is missing".into()));
        };
        let difference = compare_tensors(&want.tensor, &got.tensor).map_err(mismatch)?;
        largest = largest.max(difference);
    }
    Ok(largest)
}

fn compare_tensors(want: &Tensor, got: &Tensor) -> Result<f64, String> {
    if want.datatype() != got.datatype() || want.shape() != got.shape() {
        let (wd, ws, gd, gs) = (want.datatype(), want.shape(), got.datatype(), got.shape());
        return Err(format!("want {wd} {ws:?}, got {gd} {gs:?}"));
    }
    match want.datatype() {
        Datatype::Fp32 => floats::<f32>(
            want,
            got,
            &Tolerance {
                relative: 1e-4,
                absolute: 1e-5,
            },
        ),
        Datatype::Fp64 => floats::<f64>(
            want,
            got,
            &Tolerance {
                relative: 1e-4,
                absolute: 1e-5,
            },
        ),
        Datatype::Fp16 => floats::<f16>(
            want,
            got,
            &Tolerance {
                relative: 5e-3,
                absolute: 1e-3,
            },
        ),
        Datatype::Bf16 => floats::<bf16>(
            want,
            got,
            &Tolerance {
                relative: 4e-2,
                absolute: 8e-3,
            },
        ),
        _ if want.data() == got.data() => Ok(0.0),
        _ => {
            let at = want
                .data()
                .iter()
                .zip(got.data())
                .take_while(|(a, b)| a == b)
                .count();
            let width = want.datatype().size().unwrap_or(1);
            Err(format!(
                "{} data differs from element {} on",
                want.datatype(),
                at / width
            ))
        }
    }
}

fn floats<T: Element + Copy + Into<f64> + fmt::Display>(
    want: &Tensor,
    got: &Tensor,
    tolerance: &Tolerance,
) -> Result<f64, String> {
    let unreadable = |error: dunlin_protocol::Error| error.to_string();
    let wants = want.values::<T>().map_err(unreadable)?;
    let gots = got.values::<T>().map_err(unreadable)?;
    let finite = || {
        wants
            .iter()
            .map(|&x| x.into())
            .filter(|x: &f64| x.is_finite())
    };
    let root_mean_square =
        (finite().map(|x| x * x).sum::<f64>() / finite().count().max(1) as f64).sqrt();

    let (mut largest, mut wrong) = (0f64, 0usize);
    let (mut most, mut worst) = (0f64, None);
    for (index, (&w, &g)) in wants.iter().zip(gots.iter()).enumerate() {
        let (w, g): (f64, f64) = (w.into(), g.into());
        if w.total_cmp(&g).is_eq() || (w.is_nan() && g.is_nan()) {
            continue;
        }
        let difference = (w - g).abs();
        let allowed = tolerance.absolute + tolerance.relative * w.abs().max(root_mean_square);
        // Not-a-number and infinity agree with themselves only, which was seen above.
        let comparable = w.is_finite() && g.is_finite();
        if comparable && difference <= allowed {
            largest = largest.max(difference);
            continue;
        }
        wrong += 1;
        let excess = if comparable {
            difference / allowed
        } else {
            f64::INFINITY
        };
        if excess > most {
            most = excess;
            worst = Some((index, difference, allowed));
        }
    }
    let Some((index, difference, allowed)) = worst else {
        return Ok(largest);
    };
    Err(format!(
        "{wrong} of {} elements are off; the worst, at {:?}: want {}, got {} (difference \
         {difference:.3e}, allowed {allowed:.3e})",
        wants.len(),
        place(index, want.shape()),
        wants[index],
        gots[index],
    ))
}

/// The indices of an element of a row-major tensor.
fn place(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut place = vec![0; shape.len()];
    for (at, &size) in place.iter_mut().zip(shape).rev() {
        *at = index % size.max(1);
        index /= size.max(1);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<T: Element>(values: Vec<T>) -> Vec<NamedTensor> {
        vec![NamedTensor {
            name: "y".into(),
            tensor: Tensor::from_vec(vec![2, values.len() / 2], values).unwrap(),
        }]
    }

    #[test]
    fn agreement() {
        type Case = (&'static str, [f32; 4], [f32; 4], Option<&'static str>);
        let nan = f32::NAN;
        let cases: [Case; 7] = [
            ("equal", [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], None),
            (
                "close",
                [100.0, -50.0, 1e-6, 0.0],
                [100.005, -50.004, 2e-6, 1e-5],
                None,
            ),
            (
                "near zero among large",
                [30.0, -30.0, 0.0, 30.0],
                [30.0, -30.0, 1e-3, 30.0],
                None,
            ),
            (
                "off",
                [1.0, 2.0, 3.0, 4.0],
                [1.0, 2.0, 3.1, 4.0],
                Some("1 of 4 elements are off; the worst, at [1, 0]: want 3, got 3.1"),
            ),
            (
                "both not numbers",
                [nan, f32::INFINITY, 1.0, 1.0],
                [nan, f32::INFINITY, 1.0, 1.0],
                None,
            ),
            (
                "one not a number",
                [1.0, 1.0, 1.0, 1.0],
                [1.0, nan, 1.0, 1.0],
                Some("at [0, 1]: want 1, got NaN"),
            ),
            (
                "infinity",
                [1.0, f32::INFINITY, 1.0, 1.0],
                [1.0, f32::NEG_INFINITY, 1.0, 1.0],
                Some("got -inf"),
            ),
        ];
        for (case, want, got, error) in cases {
            match (compare(&named(want.to_vec()), &named(got.to_vec())), error) {
                (Ok(_), None) => {}
                (Err(mismatch), Some(why)) => {
                    assert!(mismatch.to_string().contains(why), "{case}: {mismatch}");
                }
                (result, _) => panic!("{case}: {result:?}"),
            }
        }
        let largest = compare(&named(vec![1f64, 2.0]), &named(vec![1f64, 2.0001])).unwrap();
        assert!((largest - 1e-4).abs() < 1e-9);
    }

    #[test]
    fn whole_numbers_shapes_and_names() {
        let want = named(vec![1i64, 2]);
        for (got, why) in [
            (named(vec![1i64, 3]), "from element 1 on"),
            (named(vec![1f32, 2.0]), "want INT64 [2, 1], got FP32 [2, 1]"),
            (named(vec![1i64, 2, 3, 4]), "got INT64 [2, 2]"),
            (vec![], "is missing"),
        ] {
            let mismatch = compare(&want, &got).unwrap_err();
            assert!(mismatch.to_string().contains(why), "{mismatch}");
        }
        assert_eq!(compare(&want, &want), Ok(0.0));
    }
}
