//! What a version on trial has to keep, as it is written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a version on trial has to keep; at least one. As text: `errors=1%,p95=50ms,p95=1.5x,agreement=98%`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// The share of its requests that may fail by its fault, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_rate: Option<f64>,
    /// Its 95th percentile of time, in milliseconds, from the queue to the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_p95_ms: Option<f64>,
    /// The same against that of the versions beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_p95_ratio: Option<f64>,
    /// The share of mirrored requests that it answers as the version that serves does, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_agreement: Option<f64>,
}

impl FromStr for Gates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut gates = Self::default();
        for gate in text.split(',').map(str::trim) {
            let (name, limit) = gate
                .split_once('=')
                .ok_or_else(|| format!("{gate:?} is not a gate, as in errors=1%"))?;
            let (slot, value) = match name {
                "errors" => (&mut gates.max_error_rate, of_percent(limit)),
                "agreement" => (&mut gates.min_agreement, of_percent(limit)),
                "p95" if limit.ends_with('x') => (&mut gates.max_p95_ratio, positive(limit, "x")),
                "p95" => (&mut gates.max_p95_ms, positive(limit, "ms")),
                _ => {
                    return Err(format!(
                        "{name:?} is no gate; there are errors=1%, p95=50ms, p95=1.5x and agreement=98%"
                    ));
                }
            };
            let value = value.ok_or_else(|| {
                format!("{gate:?}: write errors=1%, p95=50ms, p95=1.5x or agreement=98%")
            })?;
            if slot.replace(value).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        Ok(gates)
    }
}

fn of_percent(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn positive(text: &str, unit: &str) -> Option<f64> {
    let value: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    (value > 0.0 && value.is_finite()).then_some(value)
}

impl fmt::Display for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |share: f64| (share * 1e6).round() / 1e4;
        let gates = [
            self.max_error_rate
                .map(|rate| format!("errors={}%", whole(rate))),
            self.max_p95_ms.map(|ms| format!("p95={ms}ms")),
            self.max_p95_ratio.map(|ratio| format!("p95={ratio}x")),
            self.min_agreement
                .map(|share| format!("agreement={}%", whole(share))),
        ];
        let gates: Vec<String> = gates.into_iter().flatten().collect();
        f.write_str(&gates.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_as_they_are_written() {
        for text in [
            "errors=1%",
            "errors=0.5%,p95=50ms",
            "errors=0%,p95=50ms,p95=1.5x,agreement=98%",
        ] {
            let gates: Gates = text.parse().expect(text);
            assert_eq!(gates.to_string(), text);
        }
        for bad in [
            "",
            "errors",
            "errors=1",
            "errors=101%",
            "p95=5",
            "p95=-1ms",
            "p95=0x",
            "p95=1s",
            "speed=1x",
            "errors=1%,errors=2%",
        ] {
            assert!(bad.parse::<Gates>().is_err(), "{bad:?}");
        }
    }
}
