//! All examples, looked at once: what is sound, what belongs where.

use std::collections::HashMap;

use bytes::Bytes;
use dunlin_registry::Digest;

use super::{Census, Decoder, Example, Forecasting, Found, Part, Split, Target, Task};
use crate::{Error, Result};

/// How data is gathered.
#[derive(Debug, Clone)]
pub struct GatherOptions {
    /// What is held out.
    pub split: Split,
    /// More damaged files or rows than this are an error.
    pub damaged_limit: usize,
    /// Columns of tables whose values part the test examples in the report.
    pub slice_by: Vec<String>,
}

impl GatherOptions {
    /// Refuses columns to slice by, where there are none.
    pub(super) fn without_columns(&self) -> Result<()> {
        if self.slice_by.is_empty() {
            return Ok(());
        }
        Err(Error::usage(
            "--slice-by is for tables of texts, of pairs and of labelled series",
        ))
    }
}

/// Examples for training, validation and test.
#[derive(Debug)]
pub struct Dataset {
    /// What can be learned from it.
    pub task: Task,
    /// The label of each class; none where there are no classes.
    pub labels: Vec<String>,
    /// How values are to be foretold, if they are.
    pub forecasting: Option<Forecasting>,
    /// The columns that the test examples are sliced by.
    pub(super) slice_by: Vec<String>,
    /// The examples of each part, see [`part`](Self::part).
    parts: [Vec<Example>; 3],
    /// How their bytes are read.
    pub decoder: Decoder,
    /// Files that the model needs beside it: their names and bytes.
    pub files: Vec<(String, Bytes)>,
    /// What there is.
    pub census: Census,
}

impl Dataset {
    /// Examples that are parted already.
    pub(super) fn new(task: Task, parts: Sorted, decoder: Decoder) -> Self {
        Self {
            task,
            labels: parts.labels,
            forecasting: None,
            slice_by: parts.slice_by,
            parts: parts.parts,
            decoder,
            files: Vec::new(),
            census: parts.census,
        }
    }

    /// The examples of a part.
    pub fn part(&self, part: Part) -> &[Example] {
        &self.parts[part as usize]
    }

    /// The sizes that a network for this data is made for.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = self.decoder.sizes();
        match &self.forecasting {
            Some(forecasting) => {
                sizes.extend([forecasting.steps, forecasting.target, forecasting.season]);
            }
            None if self.labels.is_empty() => {}
            None => sizes.push(self.labels.len()),
        }
        sizes
    }
}

/// What a look at an example gave.
pub(super) enum Look {
    /// It can be used; the digest is that of its content.
    Sound(Digest),
    /// It can't, and why.
    Damaged(String),
}

/// Examples that are sound, each in its part.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) labels: Vec<String>,
    pub(super) slice_by: Vec<String>,
    pub(super) parts: [Vec<Example>; 3],
    pub(super) census: Census,
}

impl Sorted {
    /// Sorts examples into parts, and leaves out those that are damaged, and copies of what
    /// is held out.
    pub(super) fn sort(
        found: Vec<Found>,
        looks: Vec<Look>,
        census: Census,
        options: &GatherOptions,
    ) -> Result<Self> {
        let mut sorted = Self {
            labels: labels(&found),
            slice_by: options.slice_by.clone(),
            census,
            ..Self::default()
        };
        let has = |part| found.iter().any(|found| found.part == Some(part));
        let (tested, validated) = (has(Part::Test), has(Part::Valid));
        let count = sorted.census.damaged + found.len();
        for (found, look) in found.into_iter().zip(looks) {
            let digest = match look {
                Look::Sound(digest) => digest,
                Look::Damaged(why) => {
                    sorted.census.damage(&found.name, &why);
                    continue;
                }
            };
            let part = options.split.part(&digest, found.part, tested, validated);
            let class = |label| sorted.labels.partition_point(|known| *known < label);
            sorted.parts[part as usize].push(Example {
                name: found.name,
                target: found
                    .label
                    .map_or(Target::Pair, |label| Target::Class(class(label))),
                digest,
                values: found.values,
                content: found.content,
            });
        }
        sorted
            .census
            .check_damage(count, sorted.census.unit, options)?;
        sorted.leave_leaks_out();
        sorted.count();
        sorted.check()?;
        Ok(sorted)
    }

    pub(super) fn count(&mut self) {
        let mut counts = vec![[0; 3]; self.labels.len()];
        let mut all = Vec::new();
        for part in Part::ALL {
            for example in &self.parts[part as usize] {
                all.extend_from_slice(example.digest.as_bytes());
                if let Target::Class(class) = example.target {
                    counts[class][part as usize] += 1;
                    all.extend_from_slice(&(class as u32).to_le_bytes());
                }
                all.push(part as u8);
            }
        }
        self.census.parts = Part::ALL.map(|part| self.parts[part as usize].len());
        self.census.classes = self.labels.iter().cloned().zip(counts).collect();
        self.census.digest = Digest::of(&all).hex();
    }

    /// Leaves out of each part what a later part holds, too: test before validation before training.
    fn leave_leaks_out(&mut self) {
        let Self { parts, census, .. } = self;
        let mut known: HashMap<Digest, (Part, Target)> = HashMap::new();
        for part in Part::ALL.into_iter().rev() {
            parts[part as usize].retain(|example| match known.get(&example.digest) {
                None => {
                    known.insert(example.digest, (part, example.target.clone()));
                    true
                }
                Some((other, target)) => {
                    census.contradictions += usize::from(*target != example.target);
                    let stays = *other == part;
                    census.copies += usize::from(stays);
                    census.leaks += usize::from(!stays);
                    stays
                }
            });
        }
    }

    /// Refuses what teaches nothing.
    fn check(&self) -> Result<()> {
        if let [only] = &self.labels[..] {
            return Err(Error::data(format!(
                "there is one class, \"{only}\": a classifier needs two"
            )));
        }
        let unit = match self.census.unit {
            "series" => "series",
            units => units.trim_end_matches('s'),
        };
        for part in [Part::Train, Part::Test] {
            for (label, counts) in &self.census.classes {
                if counts[part as usize] == 0 {
                    return Err(Error::data(format!(
                        "class \"{label}\" is empty: no {unit} of it is left to {}",
                        part.name()
                    )));
                }
            }
            if self.census.size(part) == 0 {
                let part = part.name();
                return Err(Error::data(format!("no {unit} is left to {part}")));
            }
        }
        for (at, column) in self.slice_by.iter().enumerate() {
            let mut examples = self.parts.iter().flatten();
            if examples.all(|example| example.values[at].is_empty()) {
                return Err(Error::usage(format!(
                    "--slice-by {column}: no {unit} has a value there"
                )));
            }
        }
        Ok(())
    }
}

impl Census {
    /// Refuses data of which too much is damaged. `count`: how many of `what` were looked at.
    pub(super) fn check_damage(
        &self,
        count: usize,
        what: &str,
        options: &GatherOptions,
    ) -> Result<()> {
        if self.damaged <= options.damaged_limit {
            return Ok(());
        }
        let files = self.damaged_files.join("\n  ");
        Err(Error::data(format!(
            "{} of {count} {what} are damaged, at most {} may be (--damaged-limit):\n  {files}",
            self.damaged, options.damaged_limit
        )))
    }
}

/// Every label once, sorted.
fn labels(found: &[Found]) -> Vec<String> {
    let mut labels: Vec<String> = found
        .iter()
        .filter_map(|found| found.label.clone())
        .collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}
