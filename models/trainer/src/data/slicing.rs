//! Parts of the test examples whose figures are told apart: by the values of columns, and by what examples
//! are like.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Cursor;

use image::{ImageDecoder as _, ImageReader};
use rayon::prelude::*;

use super::{Dataset, Example, Part, Target, Task};
use crate::Result;

/// Slices of a column at most: the last one has all the rarer values.
const VALUES: usize = 20;

/// A way to part the test examples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slicing {
    /// A column, or `length`, `brightness`, `size`, `level`.
    pub by: String,
    /// What the examples of each slice have in common, and their places in the test part.
    pub slices: Vec<(String, Vec<usize>)>,
}

impl Dataset {
    /// By the columns that were asked for.
    pub fn by_columns(&self) -> Vec<Slicing> {
        let test = self.part(Part::Test);
        let columns = self.slice_by.iter().enumerate();
        columns
            .map(|(at, column)| by_value(column, test.iter().map(|example| &example.values[at])))
            .collect()
    }

    /// By the columns that were asked for; texts and pairs by length, pictures by brightness and by the size
    /// that they came in, forecasts by the level of the season before. Ways that leave all examples together
    /// are left out.
    pub fn slicings(&self) -> Result<Vec<Slicing>> {
        let test = self.part(Part::Test);
        let mut all = self.by_columns();
        match self.task {
            Task::TextClassification | Task::SentenceSimilarity => {
                let words =
                    |example: &Example| example.texts().flat_map(str::split_whitespace).count();
                let words: Vec<f64> = test.iter().map(|example| words(example) as f64).collect();
                all.push(thirds("length", &words, 0, "words"));
            }
            Task::ImageClassification => {
                let plain = self.decoder.plain()?;
                let bright = |example| Ok(100.0 * mean(&plain.numbers(example)?));
                let bright = test.par_iter().map(bright).collect::<Result<Vec<_>>>()?;
                all.push(thirds("brightness", &bright, 0, "%"));
                let sides = test.par_iter().map(|example| self.side(example));
                let sides = sides.collect::<Result<Vec<_>>>()?;
                all.push(thirds("size", &sides, 0, "pixels a side"));
            }
            Task::Forecasting => all.extend(self.by_level(test)),
            Task::SeriesClassification => {}
        }
        all.retain(|slicing| slicing.slices.len() > 1);
        Ok(all)
    }

    /// The side of a square with as many pixels as the picture came with.
    fn side(&self, example: &Example) -> Result<f64> {
        let file = self.decoder.body(example)?;
        let reader = ImageReader::new(Cursor::new(&file)).with_guessed_format();
        // It has been decoded before: what can't be read now is no picture by then.
        let decoder = reader.ok().and_then(|reader| reader.into_decoder().ok());
        Ok(decoder.map_or(0.0, |decoder| {
            let (width, height) = decoder.dimensions();
            (f64::from(width) * f64::from(height)).sqrt()
        }))
    }

    /// What was known when it was foretold, not what came: that would call its own surprises difficult.
    fn by_level(&self, test: &[Example]) -> Option<Slicing> {
        let forecasting = self.forecasting.as_ref()?;
        let level = |example: &Example| match &example.target {
            Target::Values { naive, .. } => mean(naive) * forecasting.std + forecasting.mean,
            Target::Class(_) | Target::Pair => f64::NAN,
        };
        let levels: Vec<f64> = test.iter().map(level).collect();
        let unit = forecasting.unit.as_deref().unwrap_or_default();
        Some(thirds("level", &levels, 2, unit))
    }
}

/// A slice a value; the rarer ones are one together.
fn by_value<'a>(column: &str, values: impl Iterator<Item = &'a String>) -> Slicing {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, value) in values.enumerate() {
        places.entry(value).or_default().push(place);
    }
    let mut slices: Vec<(String, Vec<usize>)> = places
        .into_iter()
        .map(|(value, places)| match value {
            "" => ("(none)".to_owned(), places),
            value => (value.to_owned(), places),
        })
        .collect();
    slices.sort_by_key(|(_, places)| Reverse(places.len()));
    if slices.len() > VALUES {
        let rest = slices.drain(VALUES - 1..).flat_map(|(_, places)| places);
        let mut rest: Vec<usize> = rest.collect();
        rest.sort_unstable();
        slices.push(("(other)".to_owned(), rest));
    }
    Slicing {
        by: column.to_owned(),
        slices,
    }
}

/// Three slices of about as many examples each; equal values stay together.
fn thirds(by: &str, values: &[f64], digits: usize, unit: &str) -> Slicing {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let cuts = [1, 2].map(|third| sorted[(third * sorted.len()).div_ceil(3) - 1]);
    let mut slices: [Vec<usize>; 3] = Default::default();
    for (place, value) in values.iter().enumerate() {
        let third = cuts.iter().filter(|cut| value > *cut).count();
        slices[third].push(place);
    }
    let tell = |places: Vec<usize>| {
        let each = || places.iter().map(|&place| values[place]);
        let low = each().fold(f64::INFINITY, f64::min);
        let high = each().fold(f64::NEG_INFINITY, f64::max);
        let range = format!("{low:.digits$} to {high:.digits$} {unit}");
        (range.trim_end().to_owned(), places)
    };
    let slices = slices.into_iter().filter(|places| !places.is_empty());
    Slicing {
        by: by.to_owned(),
        slices: slices.map(tell).collect(),
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_stay_together() {
        let slicing = thirds("length", &[3.0, 1.0, 5.0, 1.0, 1.0, 9.0], 0, "words");
        let want = [
            ("1 to 1 words".to_owned(), vec![1, 3, 4]),
            ("3 to 3 words".to_owned(), vec![0]),
            ("5 to 9 words".to_owned(), vec![2, 5]),
        ];
        assert_eq!(slicing.slices, want);
        assert_eq!(thirds("length", &[2.0; 4], 0, "words").slices.len(), 1);
    }

    #[test]
    fn rare_values_are_one_slice() {
        let values: Vec<String> = (0..100_u32)
            .map(|at| {
                if at < 60 {
                    "often".to_owned()
                } else {
                    at.to_string()
                }
            })
            .collect();
        let slicing = by_value("kind", values.iter());
        assert_eq!(slicing.slices.len(), VALUES);
        assert_eq!(slicing.slices[0], ("often".to_owned(), (0..60).collect()));
        let (other, places) = &slicing.slices[VALUES - 1];
        assert_eq!(
            (other.as_str(), places.len()),
            ("(other)", 40 - (VALUES - 2))
        );
    }
}
