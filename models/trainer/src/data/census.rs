//! What the data is like: how many of what, what is damaged, and what is there twice.

use std::fmt;

use serde::Serialize;

use super::Part;

/// So many damaged files are listed by name.
const LISTED: usize = 20;

/// A count of the data, for people and for the report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Census {
    /// What is counted: `pictures`, `texts`, `windows`.
    pub unit: &'static str,
    /// Where the data is, and its form.
    pub source: String,
    /// SHA-256 over the digest, target and part of each example, in order.
    pub digest: String,
    /// Examples for training, validation and test.
    pub parts: [usize; 3],
    /// The same of each class, with its label.
    pub classes: Vec<(String, [usize; 3])>,
    /// Files or rows that could not be read, and were left out.
    pub damaged: usize,
    /// The first of them, and why.
    pub damaged_files: Vec<String>,
    /// Copies inside one part; they stay.
    pub copies: usize,
    /// Examples of the training or validation part that were left out since a part after it holds
    /// the same.
    pub leaks: usize,
    /// Examples that are there under two labels.
    pub contradictions: usize,
}

impl Census {
    /// How many examples a part has.
    pub fn size(&self, part: Part) -> usize {
        self.parts[part as usize]
    }

    pub(super) fn damage(&mut self, name: &str, why: &str) {
        self.damaged += 1;
        if self.damaged_files.len() < LISTED {
            self.damaged_files.push(format!("{name}: {why}"));
        }
    }

    /// Training examples of the largest class for one of the smallest.
    pub fn imbalance(&self) -> f64 {
        let sizes = || {
            self.classes
                .iter()
                .map(|(_, counts)| counts[Part::Train as usize])
        };
        let largest = sizes().max().unwrap_or(0);
        largest as f64 / sizes().min().unwrap_or(0).max(1) as f64
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, valid, test] = Part::ALL.map(|part| self.size(part));
        let unit = self.unit;
        writeln!(f, "data       {}", self.source)?;
        f.write_str("           ")?;
        if !self.classes.is_empty() {
            write!(f, "{} classes; ", self.classes.len())?;
        }
        write!(
            f,
            "{train} {unit} to train, {valid} to validate, {test} to test"
        )?;
        if self.imbalance() >= 3.0 {
            write!(
                f,
                "\n           unbalanced: the largest class has {:.0} times the {unit} of the smallest",
                self.imbalance()
            )?;
        }
        let findings = [
            (self.damaged, "damaged, left out"),
            (self.leaks, "left out: the same is held out"),
            (self.copies, "copies of another in their part"),
            (self.contradictions, "there under two labels"),
        ];
        for (count, what) in findings.iter().filter(|(count, _)| *count > 0) {
            write!(f, "\n           {count} {what}")?;
        }
        for file in self.damaged_files.iter().take(5) {
            write!(f, "\n             {file}")?;
        }
        Ok(())
    }
}
