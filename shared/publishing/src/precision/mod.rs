//! Which precision a model is published at: each one is made, proven and measured beside the source.

mod answers;
mod evaluation;
mod table;

use std::fmt;
use std::str::FromStr;

use dunlin_engine::{Limits, precision};
use dunlin_registry::Digest;
use serde::{Deserialize, Serialize};

use crate::ask::inputs;
use crate::{
    Candidate, CompileOptions, Compiled, Error, ErrorKind, ProveOptions, Result, Verified,
};
use answers::Answers;
pub use evaluation::Evaluation;
pub use table::{Fate, Trial};

/// How a model's weights are stored, and what its products are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As in the source.
    Source,
    /// Weights of 16 bits, computed as in the source.
    F16,
    /// Weights of 8 bits, multiplied in integers.
    Int8,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Choice {
    /// The source as it is; nothing is tried.
    #[default]
    Source,
    /// [`Precision::F16`]; it is an error where that is no gain, or loses too much.
    F16,
    /// [`Precision::Int8`], likewise.
    Int8,
    /// The fastest that does not lose too much; of those about as fast, the smallest.
    Auto,
}

impl Precision {
    /// As in manifests and options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Choice {
    /// All that can be asked for, as command lines show it.
    pub const NAMES: &str = "source|f16|int8|auto";

    /// What is made and measured beside the source.
    fn tried(self) -> &'static [Precision] {
        match self {
            Self::Source => &[],
            Self::F16 => &[Precision::F16],
            Self::Int8 => &[Precision::Int8],
            Self::Auto => &[Precision::F16, Precision::Int8],
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Source => "source",
            Self::F16 => "f16",
            Self::Int8 => "int8",
            Self::Auto => "auto",
        })
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "source" => Ok(Self::Source),
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            "auto" => Ok(Self::Auto),
            _ => Err("expected source, f16, int8 or auto".into()),
        }
    }
}

impl TryFrom<String> for Choice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// How precisions are weighed against each other.
#[derive(Debug, Clone)]
pub struct WeighOptions {
    /// What is asked for; if nothing is, what `model.toml` says.
    pub choice: Option<Choice>,
    /// The most that may be lost: of accuracy where the evaluation set has labels, else of agreement with the source.
    pub max_loss: f64,
    /// What answers are compared on; where it is empty, the examples.
    pub evaluation: Evaluation,
    /// How each is compiled.
    pub compile: CompileOptions,
    /// How each is proven.
    pub prove: ProveOptions,
}

impl Default for WeighOptions {
    /// What `model.toml` says, and a loss of one in a hundred.
    fn default() -> Self {
        Self {
            choice: None,
            max_loss: 0.01,
            evaluation: Evaluation::default(),
            compile: CompileOptions::default(),
            prove: ProveOptions::default(),
        }
    }
}

/// The model at the precision that was chosen, proven, and what it was chosen from.
#[derive(Debug)]
pub struct Weighed {
    /// Ready to be published.
    pub verified: Verified,
    /// One row a precision that was tried, the source first; empty where nothing was to be chosen.
    pub trials: Vec<Trial>,
}

/// So many inputs fix the ranges of what convolutions read.
const CALIBRATION: usize = 64;

impl Candidate {
    /// Compiles and proves the model at the precision that is asked for, measured against the others.
    ///
    /// `begin` is told of each precision before the work on it begins.
    pub fn weigh(self, options: &WeighOptions, begin: impl Fn(Precision)) -> Result<Weighed> {
        let choice = options.choice.or(self.description.precision);
        let tried = choice.unwrap_or_default().tried();
        let name = self.name.clone();
        begin(Precision::Source);
        let compiled = self.clone().compile(&options.compile)?;
        let proof = compiled.proof(&options.prove)?;
        if tried.is_empty() {
            return Ok(Weighed {
                verified: compiled.verified(proof),
                trials: Vec::new(),
            });
        }
        let evaluation = if options.evaluation.is_empty() {
            Evaluation::of(&proof.pack)
        } else {
            options.evaluation.clone()
        };
        let calibration = self.calibration(&compiled, options)?;
        let baseline = Answers::of(&compiled, &evaluation)?;
        let source = compiled.verified(proof);
        let mut trials = vec![Trial::source(&source, &baseline)];
        let mut made = vec![Some(source)];
        for &precision in tried {
            begin(precision);
            let trial = self
                .at(precision, &calibration)
                .and_then(|candidate| candidate.compile(&options.compile))
                .and_then(|compiled| {
                    let proof = compiled.proof(&options.prove)?;
                    let answers = Answers::of(&compiled, &evaluation)?;
                    Ok((compiled.verified(proof), answers))
                });
            match trial {
                Ok((mut verified, answers)) => {
                    verified.differs_from(made[0].as_ref());
                    let trial = Trial::of(precision, &verified, &answers, &baseline);
                    trials.push(trial.judged(&trials[0], options.max_loss));
                    made.push(Some(verified));
                }
                Err(error) => {
                    trials.push(Trial::failed(precision, &error));
                    made.push(None);
                }
            }
        }
        let chosen = match tried {
            [precision] if trials[1].fate != Fate::Fit => {
                let message = format!("{name} at {precision}: {}", trials[1].fate);
                return Err(Error::new(ErrorKind::Precision, message));
            }
            [_] => 1,
            _ => table::choose(&trials),
        };
        trials[chosen].fate = Fate::Chosen;
        let Some(mut verified) = made.swap_remove(chosen) else {
            unreachable!("what failed is not chosen")
        };
        verified.candidate.record(&trials, &self.source.digest())?;
        Ok(Weighed { verified, trials })
    }

    /// The model with its graph rewritten.
    fn at(&self, precision: Precision, calibration: &[Inputs]) -> Result<Self> {
        let (name, limits) = (self.name.as_str(), Limits::default());
        let onnx = self.source.bytes()?;
        let onnx = match precision {
            Precision::Source => onnx,
            Precision::F16 => precision::half(name, &onnx, &limits)?,
            Precision::Int8 => precision::int8(name, &onnx, calibration, &limits)?,
        };
        Ok(Self {
            report: dunlin_engine::inspect(name, &onnx, &limits)?,
            source: onnx.into(),
            precision: Some(precision).filter(|&precision| precision != Precision::Source),
            ..self.clone()
        })
    }

    /// Inputs such as the model will get: what came with it, then what it is evaluated on.
    fn calibration(&self, compiled: &Compiled, options: &WeighOptions) -> Result<Vec<Inputs>> {
        let given = Evaluation::given(&self.examples);
        let examples = given.examples().iter().chain(options.evaluation.examples());
        examples
            .take(CALIBRATION)
            .map(|example| {
                inputs(&compiled.pipeline, example).map_err(|error| {
                    let message = format!("{}: {error}", example.name);
                    Error::new(ErrorKind::Unproven, message).because(error)
                })
            })
            .collect()
    }

    /// Writes down what was chosen, from what, and what the source was.
    fn record(&mut self, trials: &[Trial], source: &Digest) -> Result<()> {
        let trials = serde_json::to_value(trials).map_err(|error| {
            Error::new(ErrorKind::InvalidDescription, "the table can't be written").because(error)
        })?;
        let provenance = &mut self.description.provenance;
        provenance.insert("precisions".into(), trials);
        provenance.insert("source".into(), source.to_string().into());
        Ok(())
    }
}

type Inputs = Vec<dunlin_protocol::NamedTensor>;
