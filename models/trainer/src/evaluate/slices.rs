//! Figures of parts of the test examples: where a model is worse than on the whole.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

use super::html::escape;
use super::{Evaluation, Interval, significance};
use crate::data::Slicing;

/// What is worse by chance alone so seldom is marked.
const CHANCE: f64 = 0.05;

/// How a model did on a part of the test examples.
#[derive(Debug, Clone, Serialize)]
pub struct Slice {
    /// What the examples were parted by: a column, `length`, `brightness`, `size`, `level`.
    pub by: String,
    /// What those of this slice have in common.
    pub of: String,
    /// How many there are.
    pub count: usize,
    /// The figures, by their names; the first one decides.
    #[serde(serialize_with = "by_name")]
    pub figures: Vec<(&'static str, f64)>,
    /// The interval of the first figure.
    pub interval: Interval,
    /// How often a part of as many examples, drawn by chance, is as bad.
    pub p: f64,
    /// Whether it is worse than the whole by more than chance: p, times the number of all slices (Bonferroni),
    /// is less than 0.05.
    pub worse: bool,
}

impl Evaluation {
    /// The figures of each slice.
    pub fn slices(&self, slicings: &[Slicing]) -> Vec<Slice> {
        let (names, values) = self.by_example();
        let more_is_better = !matches!(self, Self::Forecast { .. });
        let bad = |value: &f64| if more_is_better { -value } else { *value };
        let bad: Vec<f64> = values.iter().map(bad).collect();
        let all: usize = slicings.iter().map(|slicing| slicing.slices.len()).sum();
        let slice = |by: &String, of: &String, places: &[usize]| {
            let own = |values: &[f64]| places.iter().map(|&place| values[place]).collect();
            let (values, own_bad): (Vec<f64>, Vec<f64>) = (own(&values), own(&bad));
            let p = significance::as_large(&bad, places.len(), own_bad.iter().sum());
            let figure = |&name| Some((name, self.figure_of(name, places)?));
            Slice {
                by: by.clone(),
                of: of.clone(),
                count: places.len(),
                figures: names.iter().filter_map(figure).collect(),
                interval: Interval::of_mean(&values),
                p,
                worse: p * (all as f64) < CHANCE,
            }
        };
        let each = slicings.iter().flat_map(|slicing| {
            let slices = slicing.slices.iter();
            slices.map(|(of, places)| slice(&slicing.by, of, places))
        });
        each.collect()
    }
}

fn by_name<S: Serializer>(figures: &[(&str, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().copied())
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: ", self.by, self.of)?;
        for (at, (name, value)) in self.figures.iter().enumerate() {
            if at > 0 {
                write!(f, ", {name} {value:.4}")?;
            } else {
                let Interval { low, high } = self.interval;
                write!(f, "{name} {value:.4} (95 %: {low:.4} to {high:.4})")?;
            }
        }
        write!(f, ", on {}", self.count)
    }
}

/// A table for people.
pub(super) fn table(slices: &[Slice]) -> String {
    let Some(first) = slices.first() else {
        return String::new();
    };
    let main = first.figures.first().map_or("", |(name, _)| name);
    let heads = first
        .figures
        .iter()
        .map(|(name, _)| format!("<th>{name}</th>"));
    let heads: String = heads.collect();
    let mut table = format!(
        "<h2>Slices</h2><p>Parts of the test data. Bold: worse than the whole, by more than chance.</p><table>\
         <thead><tr><th>by</th><th>slice</th><th>count</th>{heads}<th>95 % of {main}</th><th>p</th></tr></thead><tbody>"
    );
    for slice in slices {
        let strong = if slice.worse {
            ["<b>", "</b>"]
        } else {
            [""; 2]
        };
        let Interval { low, high } = slice.interval;
        let (by, of, count, p) = (escape(&slice.by), escape(&slice.of), slice.count, slice.p);
        let figures = slice
            .figures
            .iter()
            .map(|(_, value)| format!("<td>{value:.4}</td>"));
        // Writing to a string can't fail.
        let _ = write!(
            table,
            "<tr><th>{by}</th><td class=\"text\">{}{of}{}</td><td>{count}</td>{}<td>{low:.4} to {high:.4}</td><td>{p:.4}</td></tr>",
            strong[0],
            strong[1],
            figures.collect::<String>()
        );
    }
    table + "</tbody></table>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Answers, Ranks};

    fn slicing(slices: [std::ops::Range<usize>; 2]) -> Slicing {
        let slice = |range: std::ops::Range<usize>| (format!("{range:?}"), range.collect());
        Slicing {
            by: "place".to_owned(),
            slices: slices.map(slice).into(),
        }
    }

    fn worse(slices: &[Slice]) -> Vec<bool> {
        slices.iter().map(|slice| slice.worse).collect()
    }

    /// Of two classes in turn; so many of the first 50 answers are wrong, and ten of the others.
    fn classifier(wrong: usize) -> Evaluation {
        let truth: Vec<usize> = (0..200).map(|at| at % 2).collect();
        let right = |at: usize| at >= wrong && !(50..60).contains(&at);
        let scores = truth.iter().enumerate().flat_map(|(at, &class)| {
            if right(at) == (class == 0) {
                [1.0, 0.0]
            } else {
                [0.0, 1.0]
            }
        });
        let answers = Answers::from_scores(scores.collect(), truth.clone(), 2);
        Evaluation::Classes {
            labels: vec!["no".to_owned(), "yes".to_owned()],
            metrics: answers.measure(),
            accuracy_interval: answers.accuracy_interval(),
            answers,
        }
    }

    #[test]
    fn what_is_worse_by_more_than_chance_is_marked() {
        let parts = [slicing([0..50, 50..200])];
        let slices = classifier(20).slices(&parts);
        assert_eq!(worse(&slices), [true, false]);
        let [accuracy, f1] = slices[0].figures[..] else {
            panic!("two figures");
        };
        assert_eq!(accuracy, ("accuracy", 0.6));
        assert!(f1.0 == "f1" && (f1.1 - 0.6).abs() < 0.01, "{f1:?}");
        assert!(slices[0].interval.low < 0.6 && slices[0].interval.high > 0.6);
        let told = slices[0].to_string();
        assert!(
            told.starts_with("place=0..50: accuracy 0.6000 (95 %: "),
            "{told}"
        );
        assert!(table(&slices).contains("<b>0..50</b>"));
        // As many faults as the others have, and three more.
        assert_eq!(worse(&classifier(3).slices(&parts)), [false; 2]);
        assert_eq!(worse(&classifier(6).slices(&parts)), [false; 2]);
    }

    #[test]
    fn a_class_without_examples_is_no_fault_of_a_slice() {
        // Of 200, all right from the 60th on: here those of the second class.
        let odd = (60..200).filter(|at| at % 2 == 1).collect();
        let parts = Slicing {
            by: "class".to_owned(),
            slices: vec![("yes".to_owned(), odd)],
        };
        let slices = classifier(0).slices(&[parts]);
        assert_eq!(slices[0].figures, [("accuracy", 1.0), ("f1", 1.0)]);
    }

    #[test]
    fn pairs_are_told_by_what_they_find_among_all() {
        // Pairs of the second half point the other way.
        let vectors = (0..40_u8).flat_map(|at| {
            let angle = f32::from(at) * 0.1;
            let turned = if at < 20 { angle } else { angle + 2.0 };
            [angle.cos(), angle.sin(), turned.cos(), turned.sin()]
        });
        let ranks = Ranks::from_vectors(&vectors.collect::<Vec<_>>(), 40);
        let evaluation = Evaluation::Retrieval {
            metrics: ranks.measure(),
            ranks,
        };
        let slices = evaluation.slices(&[slicing([0..20, 20..40])]);
        assert_eq!(worse(&slices), [false, true]);
        assert_eq!(slices[1].figures[0], ("recall_at_1", 0.0));
    }
}
