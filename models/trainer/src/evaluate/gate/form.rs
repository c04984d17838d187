//! How a gate is written, and read.

use std::fmt;
use std::str::FromStr;

use super::{Bound, Gate};
use crate::evaluate::evaluation::FIGURES;
use crate::evaluate::significance;

const FORM: &str = "a gate is METRIC>=NUMBER, METRIC>=production or METRIC>=production+NUMBER, or with <=; \
                    ` (p<0.05)` after it asks for significance, `[COLUMN=VALUE]` after METRIC for a slice";

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, slice) = slice(text)?;
        let text: String = text.split_whitespace().collect();
        let names = || FIGURES.join(", ");
        let (condition, p) = match text.split_once('(') {
            None => (&text[..], None),
            Some((condition, rest)) => (condition, Some(limit(rest)?)),
        };
        let parts = condition
            .split_once(">=")
            .map(|parts| (parts, true))
            .or_else(|| condition.split_once("<=").map(|parts| (parts, false)));
        let Some(((name, bound), least)) = parts else {
            return Err(format!("{FORM}; metrics: {}", names()));
        };
        let figure = FIGURES.into_iter().find(|known| *known == name);
        let figure = figure
            .ok_or_else(|| format!("there is no metric \"{name}\"; there are {}", names()))?;
        Ok(Self {
            figure,
            slice,
            least,
            bound: bound.parse()?,
            p,
        })
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number: Option<f64> = text.parse().ok();
            number
                .filter(|number| number.is_finite())
                .ok_or_else(|| format!("\"{text}\" is no number; {FORM}"))
        };
        match text.strip_prefix("production") {
            None => number(text).map(Self::Number),
            Some("") => Ok(Self::Production(0.0)),
            Some(plus) if plus.starts_with(['+', '-']) => number(plus).map(Self::Production),
            Some(rest) => Err(format!("\"{rest}\" after production; {FORM}")),
        }
    }
}

/// The text without what stands in brackets, and that: `lang=de`.
fn slice(text: &str) -> Result<(String, Option<[String; 2]>), String> {
    let Some((before, rest)) = text.split_once('[') else {
        return Ok((text.to_owned(), None));
    };
    let slice = rest.split_once(']').and_then(|(slice, after)| {
        let (column, value) = slice.split_once('=')?;
        let slice = [column, value].map(|part| part.trim().to_owned());
        Some((format!("{before}{after}"), Some(slice)))
    });
    slice.ok_or_else(|| format!("\"[{rest}\" names no slice; {FORM}"))
}

/// The rest of `(p<0.05)`.
fn limit(rest: &str) -> Result<f64, String> {
    let number = rest
        .strip_prefix("p<")
        .and_then(|rest| rest.strip_suffix(')'));
    let p = number.and_then(|number| number.parse().ok());
    p.filter(|p| (significance::LEAST..=0.5).contains(p))
        .ok_or_else(|| {
            format!(
                "({rest}: write (p<0.05), with a number from {} to 0.5",
                significance::LEAST
            )
        })
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.least { ">=" } else { "<=" };
        f.write_str(self.figure)?;
        if let Some([column, value]) = &self.slice {
            write!(f, "[{column}={value}]")?;
        }
        f.write_str(sign)?;
        match self.bound {
            Bound::Number(number) => write!(f, "{number}")?,
            Bound::Production(0.0) => f.write_str("production")?,
            Bound::Production(plus) => write!(f, "production{plus:+}")?,
        }
        match self.p {
            None => Ok(()),
            Some(p) => write!(f, " (p<{p})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_as_they_are_written() {
        for gate in [
            "accuracy>=0.9",
            "f1>=0.9 (p<0.05)",
            "accuracy>=production",
            "accuracy>=production+0.01 (p<0.05)",
            "mae<=production-0.1",
            "accuracy[lang=de]>=0.9",
            "f1[kind of text=(other) >= 5]>=production (p<0.05)",
        ] {
            assert_eq!(gate.parse::<Gate>().expect(gate).to_string(), gate);
        }
        for gate in [
            "accuracy",
            "accuracy>0.9",
            "speed>=1",
            "accuracy>=x",
            "accuracy>=NaN",
            "accuracy>=production0.1",
            "accuracy>=production+",
            "accuracy>=production*2",
            "accuracy>=0.9 (p<0)",
            "accuracy>=0.9 (p<0.6)",
            "accuracy>=0.9 (p<0.05",
            "accuracy>=0.9 (q<0.05)",
            "accuracy[lang=de>=0.9",
            "accuracy[de]>=0.9",
        ] {
            assert!(gate.parse::<Gate>().is_err(), "{gate}");
        }
    }
}
