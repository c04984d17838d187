//! Replaying a pack on a model.
//!
//! This crate knows no engine: whoever has one gives the closure that runs an example.

use std::fmt;
use std::time::Instant;

use dunlin_protocol::NamedTensor;

use super::{Example, ExamplePack, compare};

/// What a replay that agreed saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replay {
    /// The examples that were run: all, or fewer where the deadline came first.
    pub replayed: usize,
    /// The largest absolute difference of any output element.
    pub max_difference: f64,
}

/// An example that did not come out as it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The example.
    pub example: String,
    /// What was wanted and what came.
    pub why: String,
}

/// Every example that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayFailed {
    /// At least one.
    pub failures: Vec<Failure>,
    /// Of how many that were run.
    pub replayed: usize,
}

impl fmt::Display for ReplayFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} examples failed",
            self.failures.len(),
            self.replayed
        )?;
        for failure in &self.failures {
            write!(f, "\n  {}: {}", failure.example, failure.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for ReplayFailed {}

impl ExamplePack {
    /// Runs the examples and compares. After `deadline` no further one is begun; the first always is.
    pub fn replay<E: fmt::Display>(
        &self,
        deadline: Option<Instant>,
        mut run: impl FnMut(&Example) -> Result<Vec<NamedTensor>, E>,
    ) -> Result<Replay, ReplayFailed> {
        let mut replay = Replay {
            replayed: 0,
            max_difference: 0.0,
        };
        let mut failures = Vec::new();
        for example in &self.examples {
            if replay.replayed > 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            replay.replayed += 1;
            let compared = match run(example) {
                Ok(outputs) => {
                    compare(&example.outputs, &outputs).map_err(|mismatch| mismatch.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            match compared {
                Ok(difference) => replay.max_difference = replay.max_difference.max(difference),
                Err(why) => failures.push(Failure {
                    example: example.name.clone(),
                    why,
                }),
            }
        }
        if failures.is_empty() {
            return Ok(replay);
        }
        Err(ReplayFailed {
            failures,
            replayed: replay.replayed,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dunlin_protocol::Tensor;

    use super::*;

    fn outputs(value: f32) -> Vec<NamedTensor> {
        vec![NamedTensor {
            name: "y".into(),
            tensor: Tensor::from_vec(vec![1], vec![value]).unwrap(),
        }]
    }

    fn pack(values: &[f32]) -> ExamplePack {
        let examples = values.iter().map(|&value| Example {
            name: format!("example {value}"),
            content_type: None,
            header_length: None,
            label: None,
            input: Bytes::copy_from_slice(&value.to_le_bytes()),
            outputs: outputs(value),
        });
        ExamplePack {
            examples: examples.collect(),
        }
    }

    fn echo(example: &Example) -> f32 {
        f32::from_le_bytes(example.input[..].try_into().unwrap())
    }

    #[test]
    fn agrees_and_fails() {
        let pack = pack(&[1.0, 2.0, 3.0]);
        let replay = pack
            .replay(None, |e| Ok::<_, String>(outputs(echo(e))))
            .unwrap();
        assert_eq!(
            replay,
            Replay {
                replayed: 3,
                max_difference: 0.0
            }
        );

        let failed = pack.replay(None, |e| match echo(e) {
            x if x < 1.5 => Ok(outputs(x)),
            x if x < 2.5 => Ok(outputs(7.0)),
            _ => Err("the engine broke"),
        });
        let text = failed.unwrap_err().to_string();
        assert!(
            text.starts_with("2 of 3 examples failed\n  example 2: output \"y\": 1 of 1 elements"),
            "{text}"
        );
        assert!(text.ends_with("example 3: the engine broke"), "{text}");
    }

    #[test]
    fn a_past_deadline_still_runs_one() {
        let replay =
            pack(&[1.0, 2.0]).replay(Some(Instant::now()), |e| Ok::<_, String>(outputs(echo(e))));
        assert_eq!(replay.unwrap().replayed, 1);
    }
}
